// Marks are kept by frame name, under a key that only this review of this data has.
const store = "dashseg-review:" + review.id;
const suspects = [...document.querySelectorAll(".suspect")];
const marks = readMarks();
let current = 0;

function readMarks() {
  const none = Object.create(null); // without properties: a frame may be called "constructor"
  try {
    return Object.assign(none, JSON.parse(localStorage.getItem(store)));
  } catch {
    return none; // a browser that keeps nothing for files, or something else under this key
  }
}

function mark(suspect, value) {
  const name = suspect.dataset.name;
  if (value && marks[name] !== value) marks[name] = value;
  else delete marks[name];
  try {
    localStorage.setItem(store, JSON.stringify(marks));
  } catch { /* they last as long as the page then */ }
  show();
}

function show() {
  const counts = { wrong: 0, right: 0, unsure: 0 };
  suspects.forEach((suspect, i) => {
    const value = marks[suspect.dataset.name];
    if (value) counts[value] += 1;
    suspect.dataset.mark = value || "";
    suspect.querySelector(".mark").textContent = value ? "– " + value : "";
    suspect.classList.toggle("current", i === current);
    for (const button of suspect.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.dataset.mark === value);
    }
  });
  for (const value in counts) document.getElementById("count-" + value).textContent = counts[value];
  document.getElementById("marked").textContent = counts.wrong + counts.right + counts.unsure;
}

function go(to) {
  if (!suspects.length) return;
  current = Math.max(0, Math.min(suspects.length - 1, to));
  show();
  // Below the bar, which takes more lines in a narrow window.
  suspects[current].style.scrollMarginTop = document.getElementById("bar").offsetHeight + 10 + "px";
  suspects[current].scrollIntoView({ block: "start" });
}

function exported() {
  const names = suspects.map((suspect) => suspect.dataset.name).filter((name) => marks[name]);
  return JSON.stringify({
    schema: 1,
    data: review.data,
    fingerprint: review.fingerprint,
    shown: suspects.length,
    marks: names.map((name) => ({ name, mark: marks[name] })),
  }, null, 1) + "\n";
}

const KEYS = { w: "wrong", r: "right", u: "unsure", x: null };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !suspects.length) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "j" || key === "ArrowRight") go(current + 1);
  else if (key === "k" || key === "ArrowLeft") go(current - 1);
  else if (key === "o") document.body.classList.toggle("bare");
  else if (key in KEYS) {
    const suspect = suspects[current];
    const again = marks[suspect.dataset.name] === KEYS[key];
    if (!again) mark(suspect, KEYS[key]);
    if (KEYS[key]) go(current + 1);
  } else return;
  event.preventDefault();
});

suspects.forEach((suspect, i) => {
  suspect.addEventListener("click", () => { current = i; show(); });
  for (const button of suspect.querySelectorAll("button")) {
    button.addEventListener("click", () => mark(suspect, button.dataset.mark));
  }
});

document.getElementById("export").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([exported()], { type: "application/json" }));
  link.download = "marks.json";
  link.click();
  URL.revokeObjectURL(link.href);
});
show();
