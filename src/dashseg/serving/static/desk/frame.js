// One open frame: its picture, the label as drawn, as it is being edited, and what the model sees.

import { getFrame, getImage, getLabel, getSeen, putLabel } from "./api.js";
import { Label } from "./label.js";
import { borderSegments } from "./shapes.js";

export class Frame {
  /** Opens a frame. With a draft {ids, version}, editing goes on from there. */
  static async open(id, draft) {
    const item = await getFrame(id);
    const [image, drawn, current] = await Promise.all([
      getImage(id),
      getLabel(id, "drawn"),
      getLabel(id, draft ? draft.version || "drawn" : "current"),
    ]);
    if (image.width !== current.width || image.height !== current.height) {
      throw new Error("The frame and its label are not of the same size.");
    }
    const frame = new Frame();
    const { width, height } = current;
    Object.assign(frame, { item, image, width, height, seen: null, drawn: drawn.ids });
    frame.base = current.ids.slice(); // what the server holds as `version`
    frame.version = draft ? draft.version : current.version;
    frame.label = new Label(current.ids, width, height);
    if (draft) frame.label.replace(draft.ids);
    return frame;
  }

  async look(model, signal) {
    const seen = await getSeen(this.item.id, model, signal);
    if (seen.length !== this.drawn.length) throw new Error("The model's label has another size.");
    this.seen = seen;
  }

  /** RGBA bytes of the picture. */
  pixels() {
    if (!this.rgba) {
      const context = new OffscreenCanvas(this.width, this.height).getContext("2d");
      context.drawImage(this.image, 0, 0);
      this.rgba = context.getImageData(0, 0, this.width, this.height).data;
    }
    return this.rgba;
  }

  /** Saves the label as it is now. Throws Stale if somebody else saved first. */
  async save(by) {
    const { label, width, height, version } = this;
    const ids = label.ids.slice(); // drawing may go on meanwhile
    const steps = label.steps.length;
    this.version = await putLabel(this.item.id, { ids, width, height }, version, by);
    this.base = ids;
    label.saved = label.steps.length < steps ? -1 : steps;
  }

  /** Goes on from somebody else's version: `ids` is the merged label, one step to undo. */
  rebase(ids, theirs, version) {
    this.base = theirs;
    this.version = version;
    this.label.saved = -1; // nothing that undo reaches is what the server holds
    this.label.replace(ids);
  }

  /** Outlines of the regions that review suspects, for what is not mended yet. */
  suspects() {
    const { drawn, seen, width } = this;
    const { ids } = this.label;
    return (this.item.regions ?? []).map(({ number, drawn: from, seen: to, box }) => {
      const [left, top, right, bottom] = box;
      const inside = (x, y) => {
        const at = y * width + x;
        return seen ? drawn[at] === from && seen[at] === to && ids[at] === from : true;
      };
      const within = [left, top, Math.min(right, width), Math.min(bottom, this.height)];
      return { number, box: within, segments: borderSegments(inside, within), colour: "#ffd400" };
    });
  }
}
