// One picture with what one model sees in it: two canvases at the frame's own size, the mask's
// over the frame's. Opacity and split are CSS, so moving a slider repaints no pixel.
import { encodeIds } from "./ids.js";

const template = document.getElementById("view");

export class View {
  constructor() {
    this.root = template.content.firstElementChild.cloneNode(true);
    for (const part of ["stage", "frame", "mask", "line", "cross", "about", "downloads"]) {
      this[part] = this.root.querySelector(`.${part}`);
    }
    this.result = null;
  }

  get width() {
    return this.frame.width;
  }

  get height() {
    return this.frame.height;
  }

  /** Show a frame, without a label yet. @param {CanvasImageSource} source */
  setFrame(source, width, height) {
    for (const canvas of [this.frame, this.mask]) {
      canvas.width = width; // which clears it
      canvas.height = height;
    }
    if (source) this.frame.getContext("2d").drawImage(source, 0, 0, width, height);
    // As wide as there is room for, but no taller than what a window shows beside the rest.
    this.stage.style.aspectRatio = `${width} / ${height}`;
    this.root.style.maxWidth = `calc(74vh * ${width / height})`;
    this.result = null;
    this.describe();
  }

  /** Show a result. @param {Result} result its label has the frame's size */
  setResult(result, hidden, note) {
    this.result = result;
    this.paint(hidden);
    this.describe(note);
  }

  describe(note = "") {
    const model = this.result?.model;
    this.about.textContent = [model, note].filter(Boolean).join(", ");
    this.stage.setAttribute("aria-label", model ? `Segmented by ${model}` : "Not yet segmented");
    this.downloads.setAttribute("aria-label", `Download what ${model || "the model"} sees`);
    for (const button of this.downloads.children) {
      button.disabled = !this.result?.answer;
      button.setAttribute("aria-label", `Download ${button.textContent}${model ? ` of ${model}` : ""}`);
    }
  }

  /** Colour the label. @param {Set<string>} hidden names of classes that are not drawn */
  paint(hidden) {
    if (!this.result) return;
    const { label, classes } = this.result;
    const image = new ImageData(label.width, label.height);
    const colours = new Uint32Array(256); // of each id, as the canvas's 4 bytes; 0: transparent
    const bytes = new Uint8Array(colours.buffer);
    for (const { id, name, colour } of classes) {
      if (!hidden.has(name)) bytes.set([...rgb(colour), 255], 4 * id);
    }
    const pixels = new Uint32Array(image.data.buffer);
    for (let at = 0; at < pixels.length; at++) pixels[at] = colours[label.ids[at]];
    this.mask.getContext("2d").putImageData(image, 0, 0);
  }

  /** @param {{opacity: number, split: number}} look both from 0 to 1 */
  setLook({ opacity, split }) {
    this.mask.style.opacity = opacity;
    this.mask.style.clipPath = `inset(0 0 0 ${100 * split}%)`;
    this.line.style.left = `${100 * split}%`;
    this.line.hidden = split === 0 || split === 1;
  }

  /** @param {{x: number, y: number} | null} cursor a pixel */
  setCursor(cursor) {
    this.cross.hidden = !cursor;
    if (!cursor) return;
    this.cross.style.left = `${(100 * (cursor.x + 0.5)) / this.width}%`;
    this.cross.style.top = `${(100 * (cursor.y + 0.5)) / this.height}%`;
  }

  /** The pixel under the pointer. */
  pixelAt(event) {
    const box = this.stage.getBoundingClientRect();
    const along = (at, length, pixels) =>
      Math.min(pixels - 1, Math.max(0, Math.floor((at / length) * pixels)));
    return {
      x: along(event.clientX - box.left, box.width, this.width),
      y: along(event.clientY - box.top, box.height, this.height),
    };
  }

  /** What the model sees at a pixel: "road, 98 % sure". */
  textAt({ x, y }) {
    if (!this.result) return "";
    const { label, confidence, classes } = this.result;
    const at = y * label.width + x;
    const name = classes.find(({ id }) => id === label.ids[at])?.name ?? `id ${label.ids[at]}`;
    return confidence ? `${name}, ${Math.round(confidence[at] / 2.55)} % sure` : name;
  }

  /** Class name -> its share of the pixels. */
  shares() {
    if (!this.result) return new Map();
    const { label, classes } = this.result;
    const counts = new Array(256).fill(0);
    for (const id of label.ids) counts[id] += 1;
    return new Map(classes.map(({ id, name }) => [name, counts[id] / label.ids.length]));
  }

  /** @param {"mask" | "overlay" | "json"} kind @returns {Promise<Blob>} */
  async toBlob(kind, opacity) {
    const { label, classes, answer } = this.result;
    if (kind === "mask") return encodeIds(label, classes.map(({ colour }) => rgb(colour)));
    if (kind === "json") return new Blob([JSON.stringify(answer)], { type: "application/json" });
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.width, this.height];
    const context = canvas.getContext("2d");
    context.drawImage(this.frame, 0, 0);
    context.globalAlpha = opacity;
    context.drawImage(this.mask, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }
}

/** "#rrggbb" -> three bytes. */
function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** The share of pixels that two views give one name; null: they cannot be compared. */
export function agreement(first, second) {
  if (!first.result || !second.result) return null;
  const [a, b] = [first.result, second.result];
  if (a.label.ids.length !== b.label.ids.length) return null;
  const names = new Map(a.classes.map(({ id, name }) => [name, id]));
  if (!b.classes.some(({ name }) => names.has(name))) return null;
  const same = new Int16Array(256).fill(-1); // b's id -> a's id of that name
  for (const { id, name } of b.classes) same[id] = names.get(name) ?? -1;
  let count = 0;
  for (let at = 0; at < a.label.ids.length; at++) count += a.label.ids[at] === same[b.label.ids[at]];
  return count / a.label.ids.length;
}
