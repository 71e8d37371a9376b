// The page at /: an image, a video or the webcam in, what one or two models see in it out.
import { getModels, segment } from "./api.js";
import { runCamera } from "./camera.js";
import { ClassTable, percent } from "./classes.js";
import { decodeIds } from "./ids.js";
import { hideVideo, runVideo } from "./video.js";
import { View, agreement } from "./view.js";

const NO_MODEL = "";
const HINT = "Point at the picture, or move the crosshair over it with the arrow keys.";
const VIDEO_FILE = /\.(mp4|m4v|mov|mkv|avi|webm|ts|hevc|h264|h265)$/i; // where the browser knows no type

const at = (id) => document.getElementById(id);
const table = new ClassTable(at("classes"), () => {
  for (const view of views) view.paint(table.hidden);
});
let models = [];
let views = []; // one or two
let image = null; // the File on show
let cursor = null; // the pixel under the crosshair
let work = new AbortController(); // of what runs now: it ends when something else begins
let running = false;
let camera = false;

// What runs

function begin() {
  work.abort();
  work = new AbortController();
  setCamera(false);
  complain("");
  return work.signal;
}

/** Run something until it ends, fails or is stopped. */
async function attempt(action) {
  const signal = begin();
  running = true;
  try {
    await action(signal);
  } catch (error) {
    if (signal.aborted) return; // it was stopped, by whatever runs now
    say("");
    complain(error.message);
    if (camera) setCamera(false);
  } finally {
    if (!signal.aborted) running = false;
  }
}

/** Write where screen readers listen: only what is new, or they would say it for every frame. */
function write(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

const say = (text) => write("status", text);

function complain(text) {
  write("error", text);
  at("error").hidden = !text;
}

function open(file) {
  if (!file) return;
  at("drop").hidden = true;
  if (file.type.startsWith("video/") || VIDEO_FILE.test(file.name)) openVideo(file);
  else openImage(file);
}

function openImage(file) {
  return attempt(async (signal) => {
    if (file !== image) cursor = null;
    image = file;
    say(`Segmenting ${file.name} …`);
    hideVideo();
    const picture = await createImageBitmap(file).catch(() => null); // a TIFF, for one
    signal.throwIfAborted();
    const chosen = arrange();
    at("picture").hidden = !picture;
    if (picture) views.forEach((view) => view.setFrame(picture, picture.width, picture.height));
    await Promise.all(
      chosen.map(async (model, index) => {
        const result = await segment(file, model, signal);
        const { width, height } = result.label;
        const view = views[index];
        if (!picture || width !== view.width || height !== view.height) {
          view.setFrame(picture, width, height);
        }
        view.setResult(result, table.hidden, `${Math.round(1000 * result.answer.seconds)} ms`);
      }),
    );
    picture?.close();
    at("picture").hidden = false;
    showNumbers();
    const { width, height } = views[0];
    const note = picture ? "" : ", which this browser cannot show: here is the mask alone";
    say(`${file.name}: ${width} × ${height} pixels${note}.`);
  });
}

function openVideo(file) {
  return attempt(async (signal) => {
    at("picture").hidden = true;
    image = null;
    say(`Segmenting ${file.name} …`);
    await runVideo(file, at("model-a").value, signal);
    say(`${file.name} is segmented.`);
  });
}

function startCamera() {
  return attempt(async (signal) => {
    at("drop").hidden = true;
    hideVideo();
    setCamera(true);
    say("Starting the webcam …");
    const chosen = arrange();
    cursor = null;
    const lists = chosen.map((name) => models.find((model) => model.name === name).classes);
    await runCamera(
      chosen,
      async (canvas, answers, rate) => {
        const labels = await Promise.all(answers.map(decodeIds));
        if (signal.aborted) return;
        views.forEach((view, index) => {
          view.setFrame(canvas, canvas.width, canvas.height);
          const result = { model: chosen[index], label: labels[index], classes: lists[index] };
          view.setResult(result, table.hidden, rate ? `${rate.toFixed(1)} frames/s` : "");
        });
        at("picture").hidden = false;
        complain("");
        say("The webcam is on.");
        showNumbers();
      },
      complain,
      signal,
    );
  });
}

/** End the webcam; its last frame stays, as an image like any other. */
function stopCamera() {
  const shown = views[0].result !== null;
  begin();
  running = false;
  if (!shown) return say("");
  views[0].frame.toBlob((png) => openImage(new File([png], "webcam.png", { type: png.type })));
}

function setCamera(on) {
  camera = on;
  at("camera").setAttribute("aria-pressed", on);
  at("camera").textContent = on ? "Stop the webcam" : "Use the webcam";
}

function stop() {
  if (camera) return stopCamera();
  if (!running) return;
  begin();
  running = false;
  say("Stopped.");
}

// What is shown

/** One view for each model that is chosen. @returns {string[]} their names */
function arrange() {
  const chosen = [at("model-a").value, at("model-b").value].filter((name) => name !== NO_MODEL);
  if (views.length !== chosen.length) {
    views = chosen.map(() => new View());
    views.forEach(connect);
    at("views").replaceChildren(...views.map((view) => view.root));
    showLook();
  }
  const two = chosen.length === 2;
  at("name-a").textContent = two ? "Model A" : "Model";
  at("share-a").textContent = two ? "A, %" : "Share, %";
  at("share-b").hidden = !two;
  table.list(chosen.map((name) => models.find((model) => model.name === name).classes));
  showNumbers();
  return chosen;
}

function showNumbers() {
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

function showLook() {
  for (const view of views) view.setLook(look());
  at("opacity-text").textContent = `${at("opacity").value} %`;
  at("split-text").textContent = at("split").value === "0" ? "off" : `${at("split").value} %`;
}

/** Let a view be pointed at, and its pictures be kept. */
function connect(view, index) {
  const point = (event) => {
    cursor = view.pixelAt(event);
    showCursor();
  };
  view.stage.addEventListener("pointermove", point);
  view.stage.addEventListener("pointerdown", point);
  view.stage.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault(); // or the page scrolls
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(view.width / 100));
    const from = cursor ?? { x: view.width >> 1, y: view.height >> 1 };
    const within = (value, length) => Math.min(length - 1, Math.max(0, value));
    cursor = {
      x: within(from.x + step * way[0], view.width),
      y: within(from.y + step * way[1], view.height),
    };
    showCursor();
  });
  for (const button of view.downloads.children) {
    button.addEventListener("click", () => download(index, button.dataset.save));
  }
}

async function download(index, kind) {
  const view = views[index];
  if (!view?.result?.answer) return;
  const stem = image.name.replace(/\.\w+$/, "");
  const model = views.length === 2 ? `-${view.result.model.replace(/[^\w.-]+/g, "-")}` : "";
  const ending = { mask: "-mask.png", overlay: "-overlay.png", json: ".json" }[kind];
  const url = URL.createObjectURL(await view.toBlob(kind, look().opacity));
  Object.assign(document.createElement("a"), { href: url, download: stem + model + ending }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser has read it by then
}

// Buttons, keys, drop and paste

const slide = (id, by) => {
  at(id).valueAsNumber += by;
  showLook();
};
const toggleCamera = () => (camera ? stopCamera() : startCamera());
const keys = {
  f: () => at("choose").click(),
  c: toggleCamera,
  o: () => at("overlay").click(),
  "[": () => slide("opacity", -10),
  "]": () => slide("opacity", 10),
  ",": () => slide("split", -5),
  ".": () => slide("split", 5),
  0: () => table.showAll(),
  m: () => views.forEach((_, index) => download(index, "mask")),
  p: () => views.forEach((_, index) => download(index, "overlay")),
  j: () => views.forEach((_, index) => download(index, "json")),
  "?": () => at("keys").showModal(),
  Escape: stop,
};
for (let digit = 1; digit <= 9; digit++) keys[digit] = () => table.toggle(digit - 1);

document.addEventListener("keydown", (event) => {
  const busy = at("keys").open || event.target.matches("select") || !models.length;
  if (busy || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  keys[event.key]();
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
  if (models.length) open(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  if (models.length) open(event.clipboardData.files[0]);
});
addEventListener("pagehide", () => work.abort());
at("choose").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => {
  open(at("file").files[0]);
  at("file").value = ""; // so that the same file can be chosen again
});
at("camera").addEventListener("click", toggleCamera);
at("cancel").addEventListener("click", stop);
at("help").addEventListener("click", keys["?"]);
for (const id of ["overlay", "opacity", "split"]) at(id).addEventListener("input", showLook);
for (const id of ["model-a", "model-b"]) {
  at(id).addEventListener("change", () => {
    if (camera) startCamera();
    else if (image) openImage(image);
  });
}

try {
  models = await getModels();
  const options = models.map(({ name }) => new Option(name, name));
  at("model-a").replaceChildren(...options);
  at("model-a").value = (models.find((model) => model.default) ?? models[0]).name;
  at("model-b").replaceChildren(new Option("none", NO_MODEL), ...models.map(({ name }) => new Option(name, name)));
  at("compare").hidden = models.length < 2;
  showLook();
} catch (error) {
  complain(error.message);
}
