// The service's HTTP answers. Whatever goes wrong becomes an Error whose message is one sentence.
import { decodeIds } from "./ids.js";

/** @returns {Promise<{name: string, default: boolean, classes: Class[]}[]>} */
export async function getModels() {
  return (await request("/v1/models")).json();
}

/**
 * Segment one image.
 * @param {Blob} image any kind that the service reads
 * @param {string} model
 * @param {AbortSignal} signal
 * @returns {Promise<Result>} label and confidence (255: sure) have one byte per pixel; answer is
 *   what the service said.
 */
export async function segment(image, model, signal) {
  const query = new URLSearchParams({ model, confidence: 1 });
  const headers = { Accept: "application/json", "Content-Type": typeOf(image) };
  const options = { method: "POST", headers, body: image, signal };
  const answer = await (await request(`/v1/segment?${query}`, options)).json();
  const [label, confidence] = await Promise.all(
    [answer.segmentation_mask, answer.confidence].map((png) => decodeIds(fromBase64(png))),
  );
  return { model, label, confidence: confidence.ids, classes: answer.classes, answer };
}

/** Start a video's job. @returns {Promise<Job>} {id, status, frames, total, detail} */
export async function startVideo(video, model, signal) {
  const options = { method: "POST", headers: { "Content-Type": typeOf(video) }, body: video, signal };
  return (await request(`/v1/video?${new URLSearchParams({ model })}`, options)).json();
}

export const videoResult = (id) => `/v1/video/${encodeURIComponent(id)}/result`;

export async function videoJob(id) {
  return (await request(`/v1/video/${encodeURIComponent(id)}`)).json();
}

export async function cancelVideo(id) {
  // keepalive: it is sent even when the page is being closed.
  await request(`/v1/video/${encodeURIComponent(id)}`, { method: "DELETE", keepalive: true });
}

const typeOf = (file) => file.type || "application/octet-stream";

function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer.");
  }
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({}));
  throw new Error(typeof detail === "string" ? detail : `The server says ${response.status}.`);
}
