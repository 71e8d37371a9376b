// The dialogs: the keys, and who is at the desk.

import { KEYS } from "./keys.js";
import { TOOLS } from "./tools.js";

const NAME = "dashseg-desk-name";

/** An element with text and children. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Fills the help's dialog: what each tool does, and the keys. */
export function fillHelp(dialog) {
  const tools = element("dl", { className: "tools-help" });
  for (const { text, help } of Object.values(TOOLS)) {
    tools.append(element("dt", { textContent: text }), element("dd", { textContent: help }));
  }
  const keys = element("div", { className: "keys" });
  let list;
  for (const [action, pressed, text, shown] of KEYS) {
    if (!pressed) {
      list = element("dl");
      keys.append(element("section", {}, element("h3", { textContent: action }), list));
      continue;
    }
    const key = shown ?? pressed[0].replace(/^./, (letter) => letter.toUpperCase());
    list.append(element("dt", {}, element("kbd", { textContent: key })));
    list.append(element("dd", { textContent: text }));
  }
  dialog.querySelector(".content").append(keys, element("h3", { textContent: "Tools" }), tools);
}

/** The person's name; asked once and kept in this browser. Null: they would rather not say. */
export async function askName(dialog, again = false) {
  const known = stored();
  if (known && !again) return known;
  const input = dialog.querySelector("input");
  input.value = known;
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  const name = input.value.trim();
  if (dialog.returnValue !== "ok" || !name) return again ? known || null : null;
  try {
    localStorage.setItem(NAME, name);
  } catch { /* it lasts as long as the page then */ }
  remembered = name;
  return name;
}

let remembered = "";

export function stored() {
  try {
    return localStorage.getItem(NAME) || remembered;
  } catch {
    return remembered;
  }
}
