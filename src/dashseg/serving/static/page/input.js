// Ways in and out of the page: keys, dropped and pasted files, lines that are read aloud, downloads.

/**
 * @param {Object<string, () => void>} keys what each key does
 * @param {(file: File | undefined) => void} open gets what is dropped or pasted
 */
export function listen(keys, open) {
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, key)) return;
    if (target.matches("select") || document.querySelector("dialog[open]")) return;
    keys[key]();
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser opens the file itself
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    open(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => open(event.clipboardData.files[0]));
}

/** Write where screen readers listen: only what is new, or they would say it for every frame. */
export function write(id, text) {
  const line = document.getElementById(id);
  if (line.textContent !== text) line.textContent = text;
}

/** Download a file. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser has read it by then
}
