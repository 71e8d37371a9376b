// The desk: puts queue, editor, marks and merge view together, and acts on buttons and keys.

import { getFrame, getLabel, Stale } from "./api.js";
import { Drafts } from "./drafts.js";
import { Frame } from "./frame.js";
import { askName, element, stored } from "./help.js";
import { Marks } from "./marks.js";
import { Merge } from "./merge.js";
import { MergePanel } from "./mergepanel.js";
import { Panel } from "./panel.js";
import { Pointer } from "./pointer.js";
import { Queue } from "./queue.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const get = (id) => document.getElementById(id);
const LAYERS = ["edited", "drawn", "seen"];
const PARKED = 5; // frames left with unsaved changes whose undo history stays in memory

class Desk {
  constructor(info) {
    this.info = info;
    this.classes = [...info.classes];
    if (info.ignore) this.classes.push({ name: "ignore", ...info.ignore }); // null: masks cannot
    this.frame = null;
    this.parked = new Map(); // name -> Frame
    this.layer = "edited";
    this.suspect = -1;
    this.drafts = new Drafts(info.data);
    this.view = new View(get("canvas"));
    this.view.setColours([{ id: 255, colour: "#000000" }, ...this.classes]);
    this.tools = new Tools(this.view, () => this.changed(), say);
    this.panel = new Panel(this.tools, this.view, this.classes, (text) => this.toolChanged(text));
    this.pointer = new Pointer(this.view, this.tools, () => this.beforeTool());
    this.mergePanel = new MergePanel(this.view, {
      show: () => this.showLayer(this.layer),
      save: (merge) => this.saveMerge(merge),
      leave: () => this.leaveMerge(),
    });
    this.marks = new Marks({
      name: () => this.name(),
      marked: (item) => this.itemChanged(item),
      restore: (ids, text) => this.restore(ids, text),
      fail,
    });
    this.queue = new Queue(get("queue"), info, {
      open: (item) => this.open(item.id),
      hasDraft: (name) => this.drafts.names.has(name),
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
      this.show(frame);
      say(frame.label.modified ? "Your unsaved changes are back." : "");
    } catch (error) {
      if (turn === this.turn) fail(error);
    }
  }

  /** Leaves the open frame; unsaved changes stay in the browser. */
  leave() {
    this.tools.cancel();
    this.looking?.abort();
    if (this.mergePanel.merge) this.leaveMerge();
    const { frame } = this;
    if (frame?.label.modified) {
      this.parked.set(frame.item.name, frame);
      if (this.parked.size > PARKED) this.parked.delete(this.parked.keys().next().value);
    }
  }

  show(frame) {
    fail(null);
    this.frame = this.tools.frame = frame;
    this.suspect = -1;
    this.pointer.cross = null;
    const { item, image, width, height } = frame;
    this.view.setFrame(image, width, height);
    history.replaceState(null, "", `#frame=${item.id}`);
    this.marks.show(item);
    this.queue.select(item.id);
    this.showLayer("edited");
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
      if (frame === this.frame) this.showLayer(this.layer);
    } catch (error) {
      if (error.name !== "AbortError" && frame === this.frame) fail(error);
    }
  }

  /** Shows one of the labels; in a merge: merged, mine, theirs or base. */
  showLayer(layer) {
    const { frame, view } = this;
    const { merge } = this.mergePanel;
    if (!frame) return;
    this.layer = layer;
    const labels = merge
      ? { edited: merge.ids, drawn: merge.mine, seen: merge.theirs }
      : { edited: frame.label.ids, drawn: frame.drawn, seen: frame.seen };
    view.show(labels[layer] ?? frame.label.ids);
    const texts = merge ? ["Merged", "Mine", "Theirs"] : ["Edited", "Drawn", "Seen"];
    LAYERS.forEach((name, i) => {
      const button = get(`layer-${name}`);
      button.textContent = texts[i];
      button.setAttribute("aria-pressed", String(name === layer));
      button.disabled = !labels[name];
    });
    this.showOutlines();
    this.showState();
  }

  showOutlines() {
    const { frame, view } = this;
    const { merge } = this.mergePanel;
    if (merge) view.outlines = merge.outlines();
    else view.outlines = get("outlines").checked ? frame.suspects(this.classes) : [];
    view.draw();
  }

  showState() {
    const { frame } = this;
    const { item, label, version } = frame;
    get("frame-name").textContent = item.name;
    const by = item.edited_by ? ` by ${item.edited_by}` : "";
    const saved = version ? `version ${version}${by}` : this.info.prelabels ? "not confirmed" : "as drawn";
    get("frame-state").textContent = label.modified ? `${saved}, changes not saved` : saved;
    get("undo").disabled = !label.steps.length;
    get("redo").disabled = !label.undone.length;
    get("save").disabled = !this.savable();
    get("save").textContent = !version && this.info.prelabels ? "Confirm" : "Save";
  }

  savable() {
    const { frame } = this;
    if (!frame || this.saving || this.mergePanel.merge) return false;
    return frame.label.modified || (this.info.prelabels && !frame.version);
  }

  /** Before the pointer acts: a tool draws on the edited label, so that is what is shown. */
  beforeTool() {
    if (!this.frame) return false;
    this.pointer.instead = this.mergePanel.merge ? (point) => this.mergePanel.click(point) : null;
    return true;
  }

  /** A step was made, undone or redone. */
  changed() {
    const { frame, drafts } = this;
    const { name } = frame.item;
    const had = drafts.names.has(name);
    const kept = frame.label.modified
      ? drafts.put(name, { ids: frame.label.ids.slice(), version: frame.version })
      : drafts.drop(name);
    kept?.catch(() => say("This browser keeps no unsaved changes: save often."));
    if (had !== drafts.names.has(name)) this.queue.show();
    this.showLayer("edited");
    this.showPath();
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
    if (this.mergePanel.merge) return;
    if (this.frame.label.replace(ids)) this.changed();
    say(`${text}: brought back. Save to keep it.`);
  }

  async save() {
    if (!this.savable()) return say("Nothing to save.");
    const by = await this.name();
    if (!by || !this.savable()) return;
    const { frame } = this;
    this.saving = true;
    this.showState();
    try {
      await frame.save(by);
      say(`Saved as version ${frame.version}.`);
      fail(null);
      if (!frame.label.modified) await this.drafts.drop(frame.item.name);
      else await this.drafts.put(frame.item.name, { ids: frame.label.ids.slice(), version: frame.version });
      this.itemChanged(await getFrame(frame.item.id));
    } catch (error) {
      if (error instanceof Stale) await this.startMerge(frame, error).catch(fail);
      else fail(new Error(`Not saved: ${error.message} Your changes are kept in this browser.`));
    } finally {
      this.saving = false;
      if (this.frame) this.showState();
    }
  }

  async startMerge(frame, { by }) {
    const theirs = await getLabel(frame.item.id, "current");
    if (frame !== this.frame) return;
    this.tools.cancel();
    this.layer = "edited";
    this.mergePanel.start(new Merge(frame, theirs, by));
  }

  saveMerge(merge) {
    this.frame.rebase(merge.ids, merge.theirs, merge.version);
    this.leaveMerge();
    this.changed();
    return this.save();
  }

  leaveMerge() {
    this.mergePanel.stop();
    this.showLayer("edited");
  }

  /** What the server says of a frame has changed. */
  itemChanged(item) {
    this.queue.update(item);
    for (const frame of [this.frame, ...this.parked.values()]) {
      if (frame?.item.id === item.id) frame.item = { ...frame.item, ...item };
    }
    if (this.frame?.item.id === item.id) {
      this.marks.show(this.frame.item);
      this.showState();
    }
  }

  async go(by) {
    const item = await this.queue.neighbour(by);
    if (item) await this.open(item.id);
    else say(by > 0 ? "This was the last frame of the list." : "This is the first frame of the list.");
  }

  /** Goes to the next suspect region, or place of conflict. */
  nextSuspect() {
    if (this.mergePanel.merge) return this.mergePanel.next();
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
    const shown = LAYERS.filter((name) => !get(`layer-${name}`).disabled);
    this.showLayer(shown[(shown.indexOf(this.layer) + 1) % shown.length]);
    say(`Shown: ${get(`layer-${this.layer}`).textContent}`);
  }
}

function say(text) {
  get("status").textContent = text;
}

function fail(error) {
  get("error").textContent = error?.message ?? "";
  get("error").hidden = !error;
}

export { Desk, fail, get, say };
