// A label that is being edited: one id per pixel, and every change since the frame was opened.

/** ids: Uint8Array of height·width class ids (255 = ignore), row by row. */
export class Label {
  constructor(ids, width, height) {
    this.ids = ids;
    this.width = width;
    this.height = height;
    this.steps = []; // what undo takes back, the last at the end: Uint32Array of [start, length, from, to]
    this.undone = []; // what redo brings back
    this.open = null; // the step that is being drawn
    this.saved = 0; // how many steps the server holds; -1: it holds a state that is undone for good
  }

  get modified() {
    return this.steps.length !== this.saved;
  }

  /** Starts a step: all that `put` changes until `end` is undone at once. */
  begin() {
    this.open = [];
  }

  /** Writes pixels [start, end): one id, or those of a label of the same size. With `only`, pixels
   * of other classes stay as they are. */
  put(start, end, value, only = null) {
    const { ids, open } = this;
    const same = typeof value === "number";
    for (let i = start; i < end; ) {
      const from = ids[i];
      const to = same ? value : value[i];
      if (from === to || (only !== null && from !== only)) {
        i++;
        continue;
      }
      let next = i + 1;
      while (next < end && ids[next] === from && (same || value[next] === to)) next++;
      ids.fill(to, i, next);
      open.push(i, next - i, from, to);
      i = next;
    }
  }

  /** Ends the step; one that changed nothing is dropped. Returns whether something changed. */
  end() {
    const step = Uint32Array.from(this.open);
    this.open = null;
    if (!step.length) return false;
    if (this.saved > this.steps.length) this.saved = -1;
    this.steps.push(step);
    this.undone = [];
    return true;
  }

  /** Takes back the step that is being drawn. */
  abandon() {
    this.replay(this.open, true);
    this.open = null;
  }

  /** One step in which draw() calls `put`. */
  change(draw) {
    this.begin();
    draw();
    return this.end();
  }

  /** The whole label at once, as one step. */
  replace(ids) {
    return this.change(() => this.put(0, ids.length, ids));
  }

  undo() {
    const step = this.steps.pop();
    if (!step) return false;
    this.replay(step, true);
    this.undone.push(step);
    return true;
  }

  redo() {
    const step = this.undone.pop();
    if (!step) return false;
    this.replay(step, false);
    this.steps.push(step);
    return true;
  }

  replay(step, back) {
    for (let n = 0; n < step.length; n += 4) {
      const i = back ? step.length - 4 - n : n; // a pixel may change twice in a step
      this.ids.fill(step[i + (back ? 2 : 3)], step[i], step[i] + step[i + 1]);
    }
  }
}
