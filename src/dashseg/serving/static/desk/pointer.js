// Where a mouse, a finger, a pen or the arrow keys are on the frame, for the tools and the view.

const FAR = 4; // CSS pixels: less is a click, not a drag

export class Pointer {
  /** ready(): whether a frame is open; it also sets `instead`. */
  constructor(view, tools, ready) {
    Object.assign(this, { view, tools, ready });
    this.fingers = new Map(); // pointerId -> [clientX, clientY]
    this.mode = null; // "tool", "pan", "pinch"
    this.instead = null; // a function(point) that clicks call instead of the tools
    this.space = false;
    this.cross = null; // where the arrow keys are
    this.point = null; // where pointer or cross were last, in pixels of the frame
    const { canvas } = view;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.moves(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.lost(event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("dblclick", () => this.mode === null && tools.finish());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  down(event) {
    if (!this.ready()) return;
    const { view, tools, fingers } = this;
    view.canvas.setPointerCapture(event.pointerId);
    view.canvas.focus({ preventScroll: true });
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    this.from = [event.clientX, event.clientY];
    this.far = false;
    if (fingers.size > 1) {
      if (this.mode === "tool") tools.cancel();
      this.mode = "pinch";
    } else if (event.button === 1 || this.space || tools.name === "hand") {
      this.mode = "pan";
      this.panned = true;
    } else if (event.button === 0) {
      this.mode = "tool";
      if (!this.instead) tools.press(view.toFrame(event.clientX, event.clientY));
    }
    event.preventDefault();
  }

  moves(event) {
    if (!this.ready()) return;
    const { view, tools, fingers } = this;
    const before = fingers.get(event.pointerId);
    const now = [event.clientX, event.clientY];
    if (this.from && Math.hypot(now[0] - this.from[0], now[1] - this.from[1]) > FAR) this.far = true;
    if (this.mode === "pan" && before) {
      view.move(now[0] - before[0], now[1] - before[1]);
    } else if (this.mode === "pinch" && before) {
      this.pinch(event.pointerId, before, now);
    } else if (this.mode === "tool" && before && !this.instead) {
      const passed = event.getCoalescedEvents();
      for (const { clientX, clientY } of passed.length ? passed : [event]) {
        tools.drag(view.toFrame(clientX, clientY), this.far);
      }
    }
    if (before) fingers.set(event.pointerId, now);
    this.point = view.toFrame(...now);
    if (!this.instead && event.pointerType !== "touch") tools.hover(this.point);
  }

  pinch(id, before, now) {
    const other = [...this.fingers].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const gap = ([x, y]) => Math.max(8, Math.hypot(x - other[0], y - other[1]));
    const { left, top } = this.view.canvas.getBoundingClientRect();
    this.view.move((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    const middle = [(now[0] + other[0]) / 2 - left, (now[1] + other[1]) / 2 - top];
    this.view.zoom(gap(now) / gap(before), ...middle);
  }

  up(event) {
    if (!this.fingers.delete(event.pointerId)) return;
    const { mode, tools, view } = this;
    if (mode === "tool") {
      if (!this.instead) tools.release();
      else if (!this.far) this.instead(view.toFrame(event.clientX, event.clientY));
    }
    if (!this.fingers.size) this.mode = this.from = null;
  }

  /** The system took the pointer away: the stroke is not what the person meant. */
  lost(event) {
    this.fingers.delete(event.pointerId);
    if (this.mode === "tool") this.tools.cancel();
    if (!this.fingers.size) this.mode = this.from = null;
  }

  leave() {
    if (this.mode || this.tools.points.length) return;
    this.view.pencil = this.view.preview = null;
    this.view.draw();
  }

  wheel(event) {
    event.preventDefault();
    const { left, top } = this.view.canvas.getBoundingClientRect();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    const factor = 1.0015 ** (-event.deltaY * lines);
    this.view.zoom(factor, event.clientX - left, event.clientY - top);
  }

  /** Moves the point that Enter clicks, by pixels of the frame. */
  step(dx, dy) {
    const { view, tools } = this;
    if (!this.ready()) return;
    const middle = [Math.floor(view.width / 2) + 0.5, Math.floor(view.height / 2) + 0.5];
    const [x, y] = this.cross ?? middle;
    const within = (at, size) => Math.min(size - 0.5, Math.max(0.5, at));
    this.cross = [within(x + dx, view.width), within(y + dy, view.height)];
    this.point = this.cross;
    tools.hover(this.cross);
  }

  /** Clicks at the point that the arrow keys have moved. */
  press() {
    if (!this.ready() || !this.cross) return;
    if (this.instead) return this.instead(this.cross);
    this.tools.press(this.cross);
    this.tools.release();
    this.tools.hover(this.cross);
  }
}
