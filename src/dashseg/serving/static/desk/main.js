// Starts the desk, and ties its buttons and keys to what it does.

import { getInfo } from "./api.js";
import { Desk, fail, get, say } from "./desk.js";
import { fillHelp } from "./help.js";
import { actionOf } from "./keys.js";

const ARROWS = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };

/** What each action of keys.js does. Those in ALWAYS need no open frame. */
function actions(desk) {
  const { panel, pointer, tools, view } = desk;
  const editing = () => !desk.merging;
  return {
    tool: (name) => editing() && panel.pickTool(name),
    mark: (verdict) => desk.marks.mark(verdict),
    smaller: () => panel.step(-1),
    larger: () => panel.step(1),
    class: (_, event) => panel.pickByDigit(Number(event.code.at(-1)), event.shiftKey),
    ignore: () => desk.info.ignore && panel.pickClass(desk.info.ignore.id),
    pipette: () => desk.pipette(),
    finish: () => (tools.points.length ? tools.finish() : pointer.press()),
    cancel: () => tools.cancel(),
    back: () => tools.points.length && tools.removePoint(),
    undo: () => editing() && desk.undo(true),
    redo: () => editing() && desk.undo(false),
    save: () => desk.saver.save(),
    fainter: () => panel.setOpacity(view.opacity * 100 - 10),
    stronger: () => panel.setOpacity(view.opacity * 100 + 10),
    outlines: () => get("outlines").click(),
    suspect: () => desk.nextSuspect(),
    in: () => view.zoom(1.5),
    out: () => view.zoom(1 / 1.5),
    fit: () => view.fit(),
    actual: () => view.actual(),
    arrows: (_, event) => {
      const by = event.shiftKey ? 10 : 1;
      const [dx, dy] = ARROWS[event.key.toLowerCase()];
      pointer.step(dx * by, dy * by);
    },
    next: () => desk.go(1),
    previous: () => desk.go(-1),
    comment: () => get("comment").focus(),
    help: () => get("help").showModal(),
  };
}

const ALWAYS = ["help", "next", "previous", "tool", "class", "ignore"];

function listen(desk) {
  const does = actions(desk);
  const { pointer, view } = desk;
  const run = (action, event) => {
    const [name, value] = action.split(":");
    if (desk.frame || ALWAYS.includes(name)) does[name](value, event);
  };
  addEventListener("keydown", (event) => {
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    if (action !== "flip") return run(action, event);
    if (!event.repeat) Object.assign(pointer, { space: true, panned: false });
  });
  // Space alone flips; held, it lets the pointer move the frame, and flips nothing then.
  addEventListener("keyup", (event) => {
    if (event.key !== " " || !pointer.space) return;
    pointer.space = false;
    if (!pointer.panned && desk.frame) desk.flip();
  });
  addEventListener("beforeunload", (event) => desk.unkept && event.preventDefault());
  addEventListener("blur", () => (pointer.space = false));
  // A button that was clicked gives the keyboard back to the frame: Space would press it again.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.detail && button && !button.closest("dialog")) view.canvas.focus({ preventScroll: true });
  });
  const buttons = { in: "in", out: "out", fit: "fit", actual: "actual", finish: "finish", leave: "cancel",
    undo: "undo", redo: "redo", save: "save", next: "next", previous: "previous", "help-open": "help" };
  for (const [id, action] of Object.entries(buttons)) {
    get(id).addEventListener("click", (event) => run(action, event));
  }
  for (const button of document.querySelectorAll(".layers button")) {
    button.addEventListener("click", () => desk.frame && desk.show(button.dataset.layer));
  }
  get("who").addEventListener("click", () => desk.name(true));
  get("outlines").addEventListener("change", () => desk.frame && desk.layers.showOutlines());
}

try {
  const desk = new Desk(await getInfo());
  fillHelp(get("help"));
  listen(desk);
  await desk.start();
} catch (error) {
  fail(error);
  say("The desk could not start.");
}
