// A video's job: upload, progress, cancel, and the result to play and to keep.
import { cancelVideo, startVideo, videoJob, videoResult } from "./api.js";

const POLL = 500; // ms between two looks at a job

const [section, job, text, progress, player, link] = [
  "video", "job", "job-text", "progress", "player", "video-link",
].map((id) => document.getElementById(id));

/** Take the video away. */
export function hideVideo() {
  player.removeAttribute("src");
  player.load(); // which stops the download
  section.hidden = player.hidden = link.hidden = true;
}

/**
 * Segment a video and play the result.
 * @param {AbortSignal} signal aborted: the job is cancelled
 * @returns {Promise<void>} when the result is there
 * @throws {Error} the service refuses it, or its job fails
 */
export async function runVideo(file, model, signal) {
  hideVideo();
  section.hidden = job.hidden = false;
  progress.removeAttribute("value");
  text.textContent = `Uploading ${file.name}`;
  let state;
  signal.addEventListener("abort", () => {
    hideVideo();
    if (state) cancelVideo(state.id).catch(() => {}); // it may have ended meanwhile
  });
  try {
    state = await startVideo(file, model, signal);
    while (["queued", "running"].includes(state.status)) {
      describe(state);
      await new Promise((resolve) => setTimeout(resolve, POLL));
      signal.throwIfAborted();
      state = await videoJob(state.id);
    }
    if (state.status !== "done") throw new Error(state.detail || `the job was ${state.status}`);
  } catch (error) {
    if (!signal.aborted) hideVideo();
    throw error;
  }
  job.hidden = true;
  player.src = link.href = videoResult(state.id);
  link.download = `${file.name.replace(/\.\w+$/, "")}-overlay.mp4`;
  player.hidden = link.hidden = false;
  player.play().catch(() => {}); // the browser may want a click first
}

function describe({ status, frames, total }) {
  if (status === "queued") text.textContent = "Waiting for other videos";
  else if (!frames) text.textContent = "Starting";
  else text.textContent = total ? `Frame ${frames} of ${total}` : `Frame ${frames}`;
  if (total && status === "running") progress.value = Math.min(1, frames / total);
}
