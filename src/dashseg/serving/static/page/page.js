// The page at /: an image, a video or the webcam in, what one or two models see in it out.
import { getModels, segment } from "./api.js";
import { arrange, download, point, showLook, showNumbers, table, views } from "./board.js";
import { runCamera } from "./camera.js";
import { decodeIds } from "./ids.js";
import { listen, write } from "./input.js";
import { hideVideo, runVideo } from "./video.js";

const NO_MODEL = "";
const VIDEO_FILE = /\.(mp4|m4v|mov|mkv|avi|webm|ts|hevc|h264|h265)$/i; // where the browser knows no type

const at = (id) => document.getElementById(id);
let models = [];
let image = null; // the File on show
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

/** Run something until it ends, fails or is stopped. @param {string} what begins the error's line */
async function attempt(what, action) {
  const signal = begin();
  running = true;
  try {
    await action(signal);
  } catch (error) {
    if (signal.aborted) return; // it was stopped, by whatever runs now
    say("");
    complain(what + error.message);
    setCamera(false);
    showDrop();
  } finally {
    if (!signal.aborted) running = false;
  }
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
  return attempt(`${file.name}: `, async (signal) => {
    if (file !== image) point(null);
    image = file;
    say(`Segmenting ${file.name} …`);
    hideVideo();
    const picture = await createImageBitmap(file).catch(() => null); // a TIFF, for one
    signal.throwIfAborted();
    const chosen = chosenModels();
    arrange(chosen, file.name);
    at("picture").hidden = !picture;
    if (picture) views.forEach((view) => view.setFrame(picture, picture.width, picture.height));
    await Promise.all(
      chosen.map(async ({ name }, index) => {
        const result = await segment(file, name, signal);
        signal.throwIfAborted();
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
  return attempt(`${file.name}: `, async (signal) => {
    at("picture").hidden = true;
    image = null;
    say(`Segmenting ${file.name} …`);
    await runVideo(file, at("model-a").value, signal);
    say(`${file.name} is segmented.`);
  });
}

function startCamera() {
  return attempt("", async (signal) => {
    at("drop").hidden = true;
    hideVideo();
    setCamera(true);
    say("Starting the webcam …");
    const chosen = chosenModels();
    arrange(chosen, "webcam");
    point(null);
    await runCamera(
      chosen.map(({ name }) => name),
      async (canvas, answers, rate) => {
        const labels = await Promise.all(answers.map(decodeIds));
        if (signal.aborted) return;
        views.forEach((view, index) => {
          view.setFrame(canvas, canvas.width, canvas.height);
          const { name, classes } = chosen[index];
          const result = { model: name, label: labels[index], classes };
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
  const shown = !at("picture").hidden && views[0].result !== null;
  begin();
  running = false;
  if (!shown) {
    say("");
    return showDrop();
  }
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
  showDrop();
}

/** Invite an image or a video again if nothing is on show. */
function showDrop() {
  at("drop").hidden = !(at("picture").hidden && at("video").hidden);
}

/** The models that are chosen, one or two. */
function chosenModels() {
  const names = [at("model-a").value, at("model-b").value].filter((name) => name !== NO_MODEL);
  return names.map((name) => models.find((model) => model.name === name));
}

const keep = (kind) => views.forEach((_, index) => download(index, kind));

// Buttons and keys

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
  m: () => keep("mask"),
  p: () => keep("overlay"),
  j: () => keep("json"),
  "?": () => at("keys").showModal(),
  Escape: stop,
};
for (let digit = 1; digit <= 9; digit++) keys[digit] = () => table.toggle(digit - 1);

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
  const others = models.map(({ name }) => new Option(name, name));
  at("model-b").replaceChildren(new Option("none", NO_MODEL), ...others);
  at("compare").hidden = models.length < 2;
  showLook();
  listen(keys, open);
} catch (error) {
  complain(error.message);
}
