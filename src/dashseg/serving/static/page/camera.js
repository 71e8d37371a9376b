// The webcam: each frame goes to the service over a WebSocket, and the next one when it is back.

const WIDTH = 640; // asked of the webcam; the networks work at about this size
const QUALITY = 0.85; // of the JPEGs
const PAUSE = 500; // ms after an error, so that a busy server gets a rest
const SECONDS = 2; // that the frames/s are counted over

/**
 * Run until the signal aborts.
 * @param {string[]} models one WebSocket each; all get the same frames
 * @param {(canvas: HTMLCanvasElement, answers: ArrayBuffer[], rate: number) => Promise} show the canvas
 *   is the frame's until the promise ends
 * @param {(message: string) => void} complain an error of the service; the next frame follows
 * @param {AbortSignal} signal
 * @throws {Error} no webcam, or the connection is lost.
 */
export async function runCamera(models, show, complain, signal) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the webcam only to pages of localhost or over https.");
  }
  const stream = await navigator.mediaDevices
    .getUserMedia({ video: { width: { ideal: WIDTH }, facingMode: "environment" } })
    .catch((error) => {
      throw new Error(`No webcam: ${error.message || error.name}.`);
    });
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  const canvas = document.createElement("canvas");
  const sockets = models.map((model) => new Live(model));
  try {
    video.srcObject = stream;
    for (const track of stream.getTracks()) track.onended = () => complain("The webcam is gone.");
    await video.play();
    await Promise.all(sockets.map((socket) => socket.opened));
    const times = [];
    while (!signal.aborted) {
      await nextFrame(video, signal);
      if (signal.aborted) break;
      [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
      canvas.getContext("2d").drawImage(video, 0, 0);
      const jpeg = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
      try {
        const answers = await Promise.all(sockets.map((socket) => socket.segment(jpeg)));
        if (signal.aborted) break;
        times.push(performance.now());
        while (times.length > 2 && times[0] < times.at(-1) - 1000 * SECONDS) times.shift();
        const span = (times.at(-1) - times[0]) / 1000;
        await show(canvas, answers, span ? (times.length - 1) / span : 0);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        complain(error.message);
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
    }
  } finally {
    for (const socket of sockets) socket.close();
    for (const track of stream.getTracks()) track.stop();
  }
}

/** Resolves when the webcam has a new frame, so that none is sent twice, or when the signal aborts. */
function nextFrame(video, signal) {
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener("abort", done);
      resolve();
    };
    signal.addEventListener("abort", done);
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(done);
    else requestAnimationFrame(done);
  });
}

class Refused extends Error {}

/** A WebSocket to one model, one frame at a time. */
class Live {
  constructor(model) {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const query = new URLSearchParams({ model });
    this.socket = new WebSocket(`${scheme}//${location.host}/v1/live?${query}`);
    this.socket.binaryType = "arraybuffer";
    this.waiting = null;
    this.opened = new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.socket.onclose = ({ reason }) => {
        const error = new Error(reason || "The connection to the server is lost.");
        reject(error);
        this.lost = error;
        this.waiting?.reject(error);
      };
    });
    this.socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.waiting?.reject(new Refused(JSON.parse(data).detail));
      else this.waiting?.resolve(data);
    };
  }

  /** @returns {Promise<ArrayBuffer>} a PNG of ids */
  segment(jpeg) {
    return new Promise((resolve, reject) => {
      if (this.lost) return reject(this.lost);
      this.waiting = { resolve, reject };
      this.socket.send(jpeg);
    });
  }

  close() {
    this.socket.onclose = null;
    this.socket.close();
  }
}
