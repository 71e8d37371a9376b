// The frame with a label over it, on one canvas, at any zoom. It only shows: labels are arrays of
// ids (label.js), and nothing is ever read back from the canvas.

const MOST = 64; // CSS pixels per pixel of the frame
const KEEP = 48; // CSS pixels of the frame that panning leaves in sight

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layer = document.createElement("canvas"); // the label, painted at its own size
    this.opacity = 0.5;
    this.colours = new Uint32Array(256); // id -> RGBA in memory order
    this.outlines = []; // {segments, colour, dashed, text}
    this.preview = null; // segments: what a click would change
    this.pencil = null; // {kind: "circle", centre, size} or {kind: "path", points, width, closed}
    this.image = null;
    this.scale = 1;
    this.left = this.top = 0; // of the frame on the canvas, in CSS pixels
    this.fitted = true;
    new ResizeObserver(() => (this.fitted ? this.fit() : this.move(0, 0))).observe(canvas);
  }

  /** classes: [{id, colour: "#rrggbb"}]. */
  setColours(classes) {
    const bytes = new Uint8Array(this.colours.buffer);
    for (const { id, colour } of classes) {
      const rgb = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
      bytes.set([...rgb, 255], 4 * id);
    }
  }

  setFrame(image, width, height) {
    const sameSize = this.image && width === this.width && height === this.height;
    Object.assign(this, { image, width, height });
    Object.assign(this.layer, { width, height });
    this.paint = this.layer.getContext("2d");
    this.rgba = new ImageData(width, height);
    this.outlines = [];
    this.preview = this.pencil = null;
    if (sameSize && !this.fitted) this.move(0, 0);
    else this.fit();
  }

  /** Shows this label over the frame. */
  show(ids) {
    this.ids = ids;
    const words = new Uint32Array(this.rgba.data.buffer);
    for (let i = 0; i < words.length; i++) words[i] = this.colours[ids[i]];
    this.paint.putImageData(this.rgba, 0, 0);
    this.draw();
  }

  /** The label has changed in these rows. */
  refresh(top = 0, bottom = this.height) {
    const words = new Uint32Array(this.rgba.data.buffer);
    for (let i = top * this.width; i < bottom * this.width; i++) {
      words[i] = this.colours[this.ids[i]];
    }
    this.paint.putImageData(this.rgba, 0, 0, 0, top, this.width, bottom - top);
    this.draw();
  }

  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!this.image || !clientWidth) return;
    this.scale = Math.min(clientWidth / this.width, clientHeight / this.height);
    this.left = (clientWidth - this.width * this.scale) / 2;
    this.top = (clientHeight - this.height * this.scale) / 2;
    this.fitted = true;
    this.draw();
  }

  /** One pixel of the frame on one pixel of the screen. */
  actual() {
    this.zoom(1 / devicePixelRatio / this.scale);
  }

  /** Zooms about a point of the canvas (CSS pixels), its middle by default. */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    if (!this.image) return;
    const { clientWidth, clientHeight } = this.canvas;
    const least = Math.min(clientWidth / this.width, clientHeight / this.height, 1) / 2;
    const scale = Math.min(MOST, Math.max(least, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.move(0, 0);
  }

  move(dx, dy) {
    if (!this.image) return;
    const within = (at, size, room) => Math.min(room - KEEP, Math.max(KEEP - size, at));
    const { clientWidth, clientHeight } = this.canvas;
    this.left = within(this.left + dx, this.width * this.scale, clientWidth);
    this.top = within(this.top + dy, this.height * this.scale, clientHeight);
    this.fitted = false;
    this.draw();
  }

  /** Brings the box [left, top, right, bottom] into sight, with room around it. */
  look([left, top, right, bottom]) {
    const { clientWidth, clientHeight } = this.canvas;
    const room = Math.min(clientWidth / (right - left), clientHeight / (bottom - top)) / 2;
    this.scale = Math.min(8, Math.max(room, clientWidth / this.width / 2));
    this.left = clientWidth / 2 - ((left + right) / 2) * this.scale;
    this.top = clientHeight / 2 - ((top + bottom) / 2) * this.scale;
    this.move(0, 0);
  }

  /** A place in the window (CSS pixels) -> [x, y] in pixels of the frame, fractions kept. */
  toFrame(clientX, clientY) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [(clientX - left - this.left) / this.scale, (clientY - top - this.top) / this.scale];
  }

  holds([x, y]) {
    return this.image && x >= 0 && y >= 0 && x < this.width && y < this.height;
  }

  /** Draws before the next picture of the screen; many calls draw once. */
  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      this.drawNow();
    });
  }

  drawNow() {
    const { canvas, context, scale, left, top } = this;
    Object.assign(canvas.dataset, { scale, left, top });
    const ratio = devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.round(n * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!this.image) return;
    context.setTransform(scale * ratio, 0, 0, scale * ratio, left * ratio, top * ratio);
    context.imageSmoothingEnabled = scale * ratio < 1; // larger pixels stay square
    context.globalAlpha = 1;
    context.drawImage(this.image, 0, 0);
    context.globalAlpha = this.opacity;
    if (this.ids) context.drawImage(this.layer, 0, 0);
    context.globalAlpha = 1;
    for (const { segments, colour, dashed } of this.outlines) this.stroke(segments, colour, dashed);
    if (this.preview) this.stroke(this.preview, "#ffffff", true);
    if (this.pencil) this.drawPencil(this.pencil);
  }

  stroke(segments, colour, dashed) {
    const path = new Path2D();
    for (const [x0, y0, x1, y1] of segments) {
      path.moveTo(x0, y0);
      path.lineTo(x1, y1);
    }
    this.line(path, colour, dashed);
  }

  /** A line that shows on light and on dark. */
  line(path, colour, dashed = false) {
    const { context, scale } = this;
    context.setLineDash([]);
    context.strokeStyle = "#000000";
    context.lineWidth = 3 / scale;
    context.stroke(path);
    if (dashed) context.setLineDash([5 / scale, 4 / scale]);
    context.strokeStyle = colour;
    context.lineWidth = 1.5 / scale;
    context.stroke(path);
    context.setLineDash([]);
  }

  drawPencil({ kind, centre, size, points, width, closed }) {
    const path = new Path2D();
    if (kind === "circle") {
      path.arc(...centre, size / 2, 0, 2 * Math.PI);
    } else {
      points.forEach((point) => path.lineTo(...point));
      if (closed) path.closePath();
      if (width) {
        Object.assign(this.context, { lineWidth: width, lineCap: "round", lineJoin: "round" });
        this.context.strokeStyle = "rgb(255 255 255 / 0.45)";
        this.context.stroke(path);
      }
      for (const [x, y] of points) {
        path.moveTo(x + 3 / this.scale, y);
        path.arc(x, y, 3 / this.scale, 0, 2 * Math.PI);
      }
    }
    this.line(path, "#ffffff");
  }
}
