// The desk: puts queue, editor, marks and merge view together, and acts on buttons and keys.

import { getFrame } from "./api.js";
import { Drafts } from "./drafts.js";
import { Frame } from "./frame.js";
import { askName, element, stored } from "./help.js";
import { Layers } from "./layers.js";
import { Marks } from "./marks.js";
import { Panel } from "./panel.js";
import { Pointer } from "./pointer.js";
import { Queue } from "./queue.js";
import { Saver } from "./saver.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const get = (id) => document.getElementById(id);
const PARKED = 5; // frames left with unsaved changes whose undo history stays in memory

class Desk {
  constructor(info) {
    this.info = info;
    this.classes = [...info.classes];
    if (info.ignore) this.classes.push({ name: "ignore", ...info.ignore }); // null: masks cannot
    this.frame = null;
    this.parked = new Map(); // name -> Frame
    this.suspect = -1;
    this.unkept = false; // whether closing the page would lose something
    this.drafts = new Drafts(info.id);
    this.view = new View(get("canvas"));
    this.view.setColours([{ id: 255, colour: "#000000" }, ...this.classes]);
    this.layers = new Layers(this.view, info, this.classes);
    this.tools = new Tools(this.view, () => this.changed(), say);
    this.panel = new Panel(this.tools, this.view, this.classes, (text) => this.toolChanged(text));
    this.pointer = new Pointer(this.view, this.tools, () => this.beforeTool());
    this.saver = new Saver(this, say, fail);
    this.marks = new Marks({
      name: () => this.name(),
      marked: (item) => this.itemChanged(item),
      restore: (ids, text) => this.restore(ids, text),
      fail,
    });
    this.queue = new Queue(get("queue"), info, {
      open: (item) => this.open(item.id),
      hasDraft: (name) => this.drafts.names.has(name),
      scored: () => this.askSuspects(),
      fail,
    });
    if (matchMedia("(pointer: coarse)").matches) this.panel.pickTool("hand");
    for (const model of info.models) {
      get("model").append(element("option", { value: model, textContent: model }));
    }
    get("model-row").hidden = info.models.length < 2;
    get("model").addEventListener("change", () => this.look());
    get("data").textContent = info.data;
    this.showName();
  }

  async start() {
    await this.drafts.load().catch(() => say("This browser keeps no unsaved changes: save often."));
    await this.queue.load(0);
    const wanted = Number(/^#frame=(\d+)$/.exec(location.hash)?.[1] ?? NaN);
    if (!Number.isNaN(wanted)) await this.open(wanted);
    else if (this.queue.items.length) await this.open(this.queue.items[0].id);
  }

  async open(id) {
    const turn = (this.turn = (this.turn ?? 0) + 1); // a later click wins
    this.leave();
    say("Opening…");
    try {
      const name = this.queue.items.find((item) => item.id === id)?.name ?? (await getFrame(id)).name;
      const draft = await this.drafts.get(name).catch(() => undefined);
      const frame = this.parked.get(name) ?? (await Frame.open(id, draft));
      if (turn !== this.turn) return;
      this.parked.delete(name);
      this.begin(frame);
      say(frame.label.modified ? "Your unsaved changes are back." : "");
    } catch (error) {
      if (turn === this.turn) fail(error);
    }
  }

  /** Leaves the open frame; unsaved changes stay in the browser. */
  leave() {
    this.tools.cancel();
    this.looking?.abort();
    if (this.merging) this.saver.leaveMerge();
    const { frame } = this;
    if (frame?.label.modified) {
      this.parked.set(frame.item.name, frame);
      if (this.parked.size > PARKED) this.parked.delete(this.parked.keys().next().value);
    }
  }

  begin(frame) {
    fail(null);
    this.frame = this.tools.frame = this.layers.frame = frame;
    this.suspect = -1;
    this.pointer.cross = null;
    const { item, image, width, height } = frame;
    this.view.setFrame(image, width, height);
    history.replaceState(null, "", `#frame=${item.id}`);
    this.marks.show(item);
    this.queue.select(item.id);
    this.show("edited");
    this.look();
  }

  /** Asks for what the model sees. */
  async look() {
    const { frame } = this;
    if (!frame || !this.info.models.length) return;
    this.looking?.abort();
    this.looking = new AbortController();
    try {
      await frame.look(get("model").value, this.looking.signal);
      if (frame === this.frame) this.show();
    } catch (error) {
      if (error.name !== "AbortError" && frame === this.frame) fail(error);
    }
  }

  /** Shows what has changed: the label, the outlines, what may be saved. */
  show(layer = this.layers.current) {
    this.layers.show(layer);
    this.showState();
  }

  showState() {
    if (this.frame) this.layers.showState(this.saver.savable());
  }

  get merging() {
    return this.layers.merge !== null;
  }

  /** Before the pointer acts: a tool draws on the edited label, so that is what is shown. */
  beforeTool() {
    if (!this.frame) return false;
    this.pointer.instead = this.merging ? (point) => this.saver.panel.click(point) : null;
    return true;
  }

  /** A step was made, undone or redone. */
  changed() {
    this.keep(this.frame);
    this.show("edited");
    this.showPath();
  }

  /** Keeps in the browser what is not saved, and drops what is. */
  async keep({ item, label, version }) {
    const { drafts } = this;
    const had = drafts.names.has(item.name);
    const kept = label.modified
      ? drafts.put(item.name, { ids: label.ids.slice(), version })
      : drafts.drop(item.name);
    if (had !== drafts.names.has(item.name)) this.queue.show();
    try {
      await kept;
      this.unkept = false;
    } catch {
      this.unkept = label.modified;
      say("This browser keeps no unsaved changes: save often.");
    }
  }

  toolChanged(text) {
    if (text) say(text);
    this.showPath();
    if (this.pointer?.cross && this.frame) this.tools.hover(this.pointer.cross);
  }

  showPath() {
    get("path").hidden = !this.tools.tool.path || !this.frame;
  }

  undo(back) {
    const { label } = this.frame;
    this.tools.cancel();
    if (back ? label.undo() : label.redo()) this.changed();
  }

  restore(ids, text) {
    if (this.merging) return;
    if (this.frame.label.replace(ids)) this.changed();
    say(`${text}: brought back. Save to keep it.`);
  }

  /** What the server says of a frame has changed. */
  itemChanged(item) {
    this.queue.update(item);
    for (const frame of [this.frame, ...this.parked.values()]) {
      if (frame?.item.id === item.id) frame.item = { ...frame.item, ...item };
    }
    if (this.frame?.item.id === item.id) {
      this.marks.show(this.frame.item);
      this.layers.showOutlines();
      this.showState();
    }
  }

  /** The open frame may have been scored meanwhile. */
  async askSuspects() {
    const { frame } = this;
    if (!frame || frame.item.score !== null) return;
    const item = await getFrame(frame.item.id).catch(() => null);
    if (item && item.score !== null) this.itemChanged(item);
  }

  async go(by) {
    const item = await this.queue.neighbour(by);
    if (item) await this.open(item.id);
    else say(by > 0 ? "This was the last frame of the list." : "This is the first frame of the list.");
  }

  /** Goes to the next suspect region, or place of conflict. */
  nextSuspect() {
    if (this.merging) return this.saver.panel.next();
    const { outlines } = this.view;
    const open = outlines.map((_, i) => i).filter((i) => outlines[i].segments.length);
    if (!open.length) return say("No suspect region is left here.");
    this.suspect = open.find((i) => i > this.suspect) ?? open[0];
    this.view.look(outlines[this.suspect].box);
  }

  async name(again = false) {
    const name = await askName(get("name"), again);
    this.showName();
    return name;
  }

  showName() {
    get("who").textContent = stored() || "Your name";
    get("who").setAttribute("aria-label", stored() ? `Your name: ${stored()}` : "Your name");
  }

  /** The class under the pointer becomes the one to paint. */
  pipette() {
    const { point } = this.pointer;
    if (!point || !this.view.holds(point)) return;
    this.panel.pickClass(this.frame.label.ids[this.tools.position(point)]);
  }

  flip() {
    say(`Shown: ${this.layers.flip()}`);
  }
}

const SHOWN = 6000; // milliseconds that the status stays: it lies over the frame
let clearing;

function say(text) {
  get("status").textContent = text;
  clearTimeout(clearing);
  clearing = setTimeout(() => (get("status").textContent = ""), SHOWN);
}

function fail(error) {
  get("error").textContent = error?.message ?? "";
  get("error").hidden = !error;
}

export { Desk, fail, get, say };
