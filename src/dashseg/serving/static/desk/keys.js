// The keys, in one table: main.js acts on it, help.js shows it.

/** [action, keys, what it does]. A key is what KeyboardEvent.key says, letters in lower case;
 * "mod+" is Ctrl, or Cmd on a Mac. */
export const KEYS = [
  ["Tools"],
  ["tool:brush", ["b"], "Brush"],
  ["tool:eraser", ["e"], "Eraser: back to the label as drawn"],
  ["tool:line", ["l"], "Line of a given width"],
  ["tool:polygon", ["p"], "Polygon"],
  ["tool:fill", ["f"], "Fill a region of one class"],
  ["tool:take", ["t"], "Take what the model sees"],
  ["tool:snap", ["s"], "Snap borders to the image's edges"],
  ["tool:hand", ["h"], "Move the frame"],
  ["smaller", ["["], "Smaller brush or thinner line"],
  ["larger", ["]"], "Larger brush or thicker line"],
  ["class", ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"], "Class; with Shift, from the 11th on", "1–9, 0"],
  ["ignore", ["i"], "Ignore: pixels that do not count"],
  ["pipette", ["c"], "Choose the class under the pointer"],
  ["finish", ["enter"], "Finish the line or polygon; click at the cross"],
  ["cancel", ["escape"], "Leave the line, polygon or stroke"],
  ["back", ["backspace"], "Take the last point back"],
  ["Label"],
  ["undo", ["mod+z"], "Undo", "Ctrl Z"],
  ["redo", ["mod+shift+z", "mod+y"], "Redo", "Ctrl Shift Z"],
  ["save", ["mod+s"], "Save", "Ctrl S"],
  ["flip", [" "], "Flip: edited, drawn, seen", "Space"],
  ["fainter", [","], "Label fainter"],
  ["stronger", ["."], "Label stronger"],
  ["outlines", ["o"], "Outlines of suspect regions on and off"],
  ["suspect", ["g"], "Go to the next suspect region, or place of conflict"],
  ["View"],
  ["in", ["+", "="], "Zoom in; the wheel zooms at the pointer", "+"],
  ["out", ["-"], "Zoom out", "−"],
  ["fit", ["z"], "The whole frame"],
  ["actual", ["x"], "One pixel on one pixel of the screen"],
  ["pan", [], "Move the frame: also the middle button", "Space + drag"],
  ["arrows", ["arrowleft", "arrowright", "arrowup", "arrowdown"], "Move a cross over the frame, with Shift ten pixels; Enter clicks there", "Arrows"],
  ["Queue"],
  ["next", ["j", "pagedown"], "Next frame", "J"],
  ["previous", ["k", "pageup"], "Previous frame", "K"],
  ["mark:right", ["r"], "The label is right"],
  ["mark:wrong", ["w"], "The label is wrong"],
  ["mark:unsure", ["u"], "Unsure"],
  ["comment", ["m"], "Write a comment"],
  ["help", ["?"], "These keys"],
];

const ACTIONS = new Map(KEYS.flatMap(([action, keys]) => (keys ?? []).map((key) => [key, action])));

/** The action of a keydown, or undefined. Fields that take text keep their keys. */
export function actionOf(event) {
  const mod = event.ctrlKey || event.metaKey;
  if (event.altKey) return undefined;
  const { target } = event;
  const types = target.closest?.("textarea, select, input:not([type=range], [type=checkbox])");
  if (types && !(mod && event.key.toLowerCase() === "s")) return undefined;
  if (target.closest?.("dialog")) return undefined;
  const digit = /^Digit(\d)$/.exec(event.code)?.[1];
  if (digit && !mod) return "class"; // by its place: Shift writes another sign there
  const key = event.key.toLowerCase();
  const pressesButton = (key === " " || key === "enter") && target.closest?.("button, a, summary");
  const movesSlider = key.startsWith("arrow") && target.closest?.("input[type=range]");
  if (pressesButton || movesSlider) return undefined;
  return ACTIONS.get((mod ? "mod+" : "") + (mod && event.shiftKey ? "shift+" : "") + key);
}
