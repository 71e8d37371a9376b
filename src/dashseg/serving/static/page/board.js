// What is on show: a view for each chosen model, the table of classes, and the crosshair.
import { ClassTable, percent } from "./classes.js";
import { save, write } from "./input.js";
import { View, agreement } from "./view.js";

const HINT = "Point at the picture, or move the crosshair over it with the arrow keys.";

const at = (id) => document.getElementById(id);
export const table = new ClassTable(at("classes"), () => {
  for (const view of views) view.paint(table.hidden);
});
export let views = []; // one or two
let source = ""; // the name of the file on show
let cursor = null; // the pixel under the crosshair

/**
 * One view for each model, without a picture yet where there was none.
 * @param {Model[]} models one or two
 * @param {string} name of the file on show
 */
export function arrange(models, name) {
  source = name;
  if (views.length !== models.length) {
    views = models.map(() => new View());
    views.forEach(connect);
    at("views").replaceChildren(...views.map((view) => view.root));
    showLook();
  }
  const two = models.length === 2;
  at("name-a").textContent = two ? "Model A" : "Model";
  at("share-a").textContent = two ? "A, %" : "Share, %";
  at("share-b").hidden = !two;
  table.list(models.map(({ classes }) => classes));
  showNumbers();
}

/** Move the crosshair. @param {{x: number, y: number} | null} pixel null: take it away */
export function point(pixel) {
  cursor = pixel;
  showCursor();
}

/** Show what the results say, in numbers. */
export function showNumbers() {
  table.show(views.map((view) => view.shares()));
  const share = views.length === 2 ? agreement(...views) : null;
  at("agreement").textContent = share === null ? "" : `A and B agree on ${percent(share)} % of the pixels.`;
  showCursor();
}

function showCursor() {
  for (const view of views) view.setCursor(cursor);
  write("readout", cursor ? `${cursor.x}, ${cursor.y}${textAtCursor()}` : HINT);
}

function textAtCursor() {
  const texts = views.map((view) => view.textAt(cursor));
  return texts.length === 2 ? `\nA: ${texts[0]}\nB: ${texts[1]}` : `: ${texts[0]}`;
}

function look() {
  const [opacity, split] = ["opacity", "split"].map((id) => at(id).valueAsNumber / 100);
  return { opacity: at("overlay").checked ? opacity : 0, split };
}

/** Opacity and split, as their sliders say. */
export function showLook() {
  for (const view of views) view.setLook(look());
  at("opacity-text").textContent = `${at("opacity").value} %`;
  at("split-text").textContent = at("split").value === "0" ? "off" : `${at("split").value} %`;
}

/** Let a view be pointed at, and its pictures be kept. */
function connect(view, index) {
  for (const kind of ["pointermove", "pointerdown"]) {
    view.stage.addEventListener(kind, (event) => point(view.pixelAt(event)));
  }
  view.stage.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault(); // or the page scrolls
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(view.width / 100));
    const from = cursor ?? { x: view.width >> 1, y: view.height >> 1 };
    const within = (value, length) => Math.min(length - 1, Math.max(0, value));
    point({
      x: within(from.x + step * way[0], view.width),
      y: within(from.y + step * way[1], view.height),
    });
  });
  for (const button of view.downloads.children) {
    button.addEventListener("click", () => download(index, button.dataset.save));
  }
}

/** @param {number} index of the view @param {"mask" | "overlay" | "json"} kind */
export async function download(index, kind) {
  const view = views[index];
  if (at("picture").hidden || !view?.result?.answer) return;
  const stem = source.replace(/\.\w+$/, "");
  const model = views.length === 2 ? `-${view.result.model.replace(/[^\w.-]+/g, "-")}` : "";
  const ending = { mask: "-mask.png", overlay: "-overlay.png", json: ".json" }[kind];
  save(await view.toBlob(kind, look().opacity), stem + model + ending);
}
