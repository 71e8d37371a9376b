// Saving the open frame's label; and when somebody else saved it first, merging the two.

import { getFrame, getLabel, Stale } from "./api.js";
import { Merge } from "./merge.js";
import { MergePanel } from "./mergepanel.js";

export class Saver {
  /** desk: whose frame, drafts and layers these are. say(text), fail(error): tell the person. */
  constructor(desk, say, fail) {
    Object.assign(this, { desk, say, fail, saving: false });
    this.panel = new MergePanel(desk.view, {
      show: () => desk.show(),
      save: (merge) => this.saveMerge(merge),
      leave: () => this.leaveMerge(),
    });
  }

  /** Pre-labels count once somebody has saved them, changed or not. */
  savable() {
    const { frame, merging, info } = this.desk;
    if (!frame || this.saving || merging) return false;
    return frame.label.modified || (info.prelabels && !frame.version);
  }

  async save() {
    const { desk, say, fail } = this;
    if (desk.frame?.label.open) return say("Finish the stroke, then save.");
    if (!this.savable()) return say("Nothing to save.");
    const by = await desk.name();
    if (!by || !this.savable()) return;
    const { frame } = desk;
    this.saving = true;
    desk.showState();
    try {
      await frame.save(by);
    } catch (error) {
      if (error instanceof Stale) await this.startMerge(frame, error).catch(fail);
      else fail(new Error(`Not saved: ${error.message} Your changes are kept in this browser.`));
      return;
    } finally {
      this.saving = false;
      desk.showState();
    }
    say(`Saved as version ${frame.version}.`);
    fail(null);
    await desk.keep(frame);
    const item = await getFrame(frame.item.id).catch(() => null); // the save counts without it
    if (item) desk.itemChanged(item);
  }

  async startMerge(frame, { by }) {
    const { desk, panel } = this;
    const theirs = await getLabel(frame.item.id, "current");
    if (frame !== desk.frame) return;
    desk.tools.cancel();
    desk.layers.merge = new Merge(frame, theirs, by);
    desk.layers.current = "edited";
    panel.start(desk.layers.merge);
    this.say("A click on a place of conflict takes the other label there.");
  }

  /** The merged label is saved onto their version. */
  saveMerge(merge) {
    this.desk.frame.rebase(merge.ids, merge.theirs, merge.version);
    this.leaveMerge();
    this.desk.changed();
    return this.save();
  }

  leaveMerge() {
    this.panel.stop();
    this.desk.layers.merge = null;
    this.desk.show("edited");
  }
}
