// What each tool does to the label. A tool is pressed, dragged and released at points of the frame;
// pointer.js says where, from a mouse, a finger or the keyboard.

import { borderSegments, connectedRuns, polygonRuns, snapToGrid, strokeRuns } from "./shapes.js";
import { snapToEdges } from "./snap.js";

/** name -> what the button and the help say. `clicks`: a click acts on a region, a drag under the
 * brush. `path`: clicks set points. `brush`: which size it has. */
export const TOOLS = {
  brush: { text: "Brush", brush: "size", help: "Drag: paint the chosen class." },
  eraser: { text: "Eraser", brush: "size", help: "Drag: bring back the label as it was drawn." },
  line: {
    text: "Line", path: true, brush: "lineWidth",
    help: "Click from point to point, Enter or a double click finishes: a line of the given width, as for lane markings.",
  },
  polygon: {
    text: "Polygon", path: true,
    help: "Click the corners, Enter or a double click finishes: the inside becomes the chosen class.",
  },
  fill: {
    text: "Fill", clicks: true, brush: "size",
    help: "Click: the connected region of one class becomes the chosen class. Drag: that class alone, under the brush.",
  },
  hand: { text: "Move", help: "Drag: move the frame. Two fingers zoom." },
  take: {
    text: "Take what the model sees", clicks: true, brush: "size",
    help: "Click where label and model differ: the region becomes what the model sees. Drag: only under the brush.",
  },
  snap: {
    text: "Snap to edges", brush: "size",
    help: "Drag along a border between classes: it moves to the edge in the image, 4 pixels at most.",
  },
};

export class Tools {
  /** view: where the pencil is shown. changed(): a step was made. say(text): tells the person. */
  constructor(view, changed, say) {
    Object.assign(this, { view, changed, say });
    this.name = "brush";
    this.size = 15;
    this.lineWidth = 5;
    this.chosen = 0; // the class that is painted
    this.over = null; // the only class that may be painted over; null: any
    this.frame = null; // {label, drawn, seen, pixels(), width, height}: see frame.js
    this.points = []; // of a line or polygon that is being drawn
  }

  get tool() {
    return TOOLS[this.name];
  }

  get brushSize() {
    return this.tool.brush ? this[this.tool.brush] : 1;
  }

  pick(name) {
    this.cancel();
    this.name = name;
    this.view.pencil = this.view.preview = null;
    this.view.draw();
  }

  resize(size) {
    if (this.tool.brush) this[this.tool.brush] = Math.min(400, Math.max(1, Math.round(size)));
  }

  press(point) {
    if (this.tool.path) return this.addPoint(point);
    if (this.name === "take" && !this.frame.seen) {
      return this.say("What the model sees is not here yet: wait a moment.");
    }
    this.frame.label.begin();
    this.start = this.last = snapToGrid(point, this.brushSize);
    this.moved = false;
    this.pressed = point;
    this.under = null; // "fill": the class that the drag replaces
    if (this.name === "snap") this.mask = new Uint8Array(this.frame.label.ids.length);
    if (!this.tool.clicks) this.stroke(this.start);
  }

  /** `far`: the pointer has left the place where it was pressed, so this is no click. */
  drag(point, far) {
    if (!this.start) return;
    if (this.tool.clicks && !this.moved) {
      if (!far) return;
      this.under = this.frame.label.ids[this.position(this.pressed)] ?? null;
      this.stroke(this.start);
    }
    this.moved = true;
    this.stroke(snapToGrid(point, this.brushSize));
  }

  release() {
    if (!this.start) return;
    const { label, width, height } = this.frame;
    if (this.tool.clicks && !this.moved) this.clickRegion(this.pressed);
    if (this.name === "snap") {
      const snapped = snapToEdges(label.ids, this.frame.pixels(), this.mask, width, height);
      label.put(0, snapped.length, snapped, this.over);
      this.view.outlines = this.view.outlines.filter((outline) => outline !== this.trail);
      this.trail = null;
    }
    this.start = null;
    this.view.preview = null;
    if (label.end()) this.changed();
  }

  /** Leaves the stroke or path that is being drawn; what it changed is taken back. */
  cancel() {
    if (this.start) {
      this.start = null;
      this.frame.label.abandon();
      this.view.refresh();
    }
    this.points = [];
    this.view.pencil = null;
    this.view.draw();
  }

  stroke(to) {
    const { label, drawn, seen, width, height } = this.frame;
    const { view, over, chosen, mask, name, under } = this;
    let [top, bottom] = [height, 0];
    strokeRuns(this.last, to, this.brushSize, width, height, (start, end) => {
      if (name === "snap") mask.fill(1, start, end);
      else if (name === "eraser") label.put(start, end, drawn, over);
      else if (name === "take") label.put(start, end, seen, over);
      else if (name === "fill") label.put(start, end, chosen, under);
      else label.put(start, end, chosen, over);
      const row = Math.floor(start / width);
      top = Math.min(top, row);
      bottom = Math.max(bottom, row + 1);
    });
    this.last = to;
    if (bottom > top && name !== "snap") view.refresh(top, bottom);
  }

  /** The region that a click at this point changes: {runs, value}, or null. */
  regionAt(point) {
    if (!this.view.holds(point)) return null;
    const { label, seen, width, height } = this.frame;
    const { ids } = label;
    const at = this.position(point);
    if (this.name === "take") {
      if (!seen || ids[at] === seen[at]) return null;
      const inside = (i) => seen[i] === seen[at] && ids[i] !== seen[i];
      return { runs: connectedRuns(inside, at, width, height), value: seen };
    }
    if (ids[at] === this.chosen) return null;
    const inside = (i) => ids[i] === ids[at];
    return { runs: connectedRuns(inside, at, width, height), value: this.chosen };
  }

  clickRegion(point) {
    const region = this.regionAt(point);
    if (!region) {
      if (this.name === "take") this.say("Label and model agree here.");
      return;
    }
    const { runs, value } = region;
    for (let i = 0; i < runs.length; i += 2) {
      this.frame.label.put(runs[i], runs[i + 1], value, this.over);
    }
  }

  addPoint(point) {
    const at = this.name === "line" ? snapToGrid(point, this.lineWidth) : point.map(Math.round);
    const last = this.points.at(-1);
    if (!last || last[0] !== at[0] || last[1] !== at[1]) this.points.push(at);
    this.hover(point);
  }

  removePoint() {
    this.points.pop();
    this.hover(this.points.at(-1) ?? [0, 0]);
  }

  /** Paints the line or polygon that is being drawn. */
  finish() {
    const { points, chosen, over, name, lineWidth } = this;
    const { label, width, height } = this.frame;
    if (points.length < (name === "line" ? 2 : 3)) return;
    const put = (start, end) => label.put(start, end, chosen, over);
    const changed = label.change(() => {
      if (name === "polygon") return polygonRuns(points, width, height, put);
      for (let i = 1; i < points.length; i++) {
        strokeRuns(points[i - 1], points[i], lineWidth, width, height, put);
      }
    });
    this.cancel();
    if (changed) this.changed();
  }

  /** Shows what the tool would do at this point. */
  hover(point) {
    const { view } = this;
    if (this.tool.path) {
      const size = this.tool.brush ? this.lineWidth : 0;
      const tip = size ? snapToGrid(point, size) : point.map(Math.round);
      const points = [...this.points, tip];
      view.pencil = this.points.length
        ? { kind: "path", points, width: size, closed: !size }
        : size ? { kind: "circle", centre: tip, size } : null;
    } else if (this.tool.brush) {
      const size = this.brushSize;
      view.pencil = { kind: "circle", centre: snapToGrid(point, size), size };
    } else {
      view.pencil = null;
    }
    if (this.tool.clicks && !this.start) this.showRegion(point);
    view.draw();
  }

  showRegion(point) {
    const { view } = this;
    const at = view.holds(point) ? this.position(point) : -1;
    const state = this.frame.label.steps.length + this.name + this.chosen;
    if (view.preview && state === this.shown?.state && this.shown.mask[at]) return;
    view.preview = null;
    const region = this.regionAt(point);
    if (!region) return;
    const { width, height } = this.frame;
    const mask = new Uint8Array(width * height);
    const box = [width, height, 0, 0];
    for (let i = 0; i < region.runs.length; i += 2) {
      const [start, end] = [region.runs[i], region.runs[i + 1]];
      mask.fill(1, start, end);
      const y = Math.floor(start / width);
      box[0] = Math.min(box[0], start - y * width);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], end - y * width);
      box[3] = Math.max(box[3], y + 1);
    }
    this.shown = { mask, state };
    view.preview = borderSegments((x, y) => mask[y * width + x] === 1, box);
  }

  position([x, y]) {
    return Math.floor(y) * this.frame.width + Math.floor(x);
  }
}
