// The desk's HTTP answers. Whatever goes wrong becomes an Error whose message is one sentence.

import { decodeIds, encodeIds } from "../page/ids.js";

const ROOT = "/desk/api";

/** Somebody else saved the frame first: what the server says of their version. */
export class Stale extends Error {
  constructor({ detail, version, edited_by: by }) {
    super(detail);
    Object.assign(this, { version, by });
  }
}

export async function getInfo() {
  return (await request("/info")).json();
}

/** {order, state, offset, limit} -> {total, items}. */
export async function getFrames(query) {
  return (await request(`/frames?${new URLSearchParams(query)}`)).json();
}

export async function getFrame(id) {
  return (await request(`/frames/${id}`)).json();
}

export async function getHistory(id) {
  return (await request(`/frames/${id}/history`)).json();
}

/** The frame's pixels as the label has them: upright, colours as in the file. */
export async function getImage(id) {
  const blob = await (await request(`/frames/${id}/image`)).blob();
  return createImageBitmap(blob, { imageOrientation: "none", colorSpaceConversion: "none" });
}

/** version: "drawn", "current" or a number -> {ids, width, height, version}. */
export async function getLabel(id, version) {
  // A number names one label for ever; "current" must come from the server.
  const response = await request(`/frames/${id}/label?version=${version}`, { cache: "no-cache" });
  const label = await decodeIds(await response.blob());
  return { ...label, version: Number((response.headers.get("ETag") ?? "").replace(/\D/g, "")) };
}

export async function getSeen(id, model, signal) {
  const query = model ? `?${new URLSearchParams({ model })}` : "";
  return (await decodeIds(await (await request(`/frames/${id}/seen${query}`, { signal })).blob())).ids;
}

/** Saves onto `version`; the new version's number. Throws Stale if it is not the newest. */
export async function putLabel(id, label, version, by) {
  const { version: saved } = await (
    await request(`/frames/${id}/label?${new URLSearchParams({ by })}`, {
      method: "PUT",
      headers: { "Content-Type": "image/png", "If-Match": `"${version}"` },
      body: await encodeIds(label),
    })
  ).json();
  return saved;
}

/** mark: {verdict, comment, by} -> the frame's item. */
export async function putMark(id, mark) {
  return (
    await request(`/frames/${id}/mark`, {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(mark),
    })
  ).json();
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(ROOT + path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer.");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  if (response.status === 409) throw new Stale(answer);
  const { detail } = answer;
  if (typeof detail === "string") throw new Error(detail);
  throw new Error(detail?.[0]?.msg ?? `The server answered with ${response.status}.`);
}
