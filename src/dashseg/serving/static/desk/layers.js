// Which label lies over the frame (edited, drawn, seen; in a merge: merged, mine, theirs, base),
// the outlines over it, and what the head of the page says of it.

const get = (id) => document.getElementById(id);

export class Layers {
  constructor(view, info, classes) {
    Object.assign(this, { view, info, classes, current: "edited" });
    this.frame = this.merge = null;
  }

  /** layer -> [what its button says, ids or null]. */
  labels() {
    const { frame, merge } = this;
    return merge
      ? {
        edited: ["Merged", merge.ids],
        drawn: ["Mine", merge.mine],
        seen: ["Theirs", merge.theirs],
        base: ["Before", merge.base],
      }
      : {
        edited: ["Edited", frame.label.ids],
        drawn: ["Drawn", frame.drawn],
        seen: ["Seen", frame.seen],
      };
  }

  /** Shows one label; the edited one where that is not there. */
  show(layer) {
    if (!this.frame) return;
    const labels = this.labels();
    this.current = labels[layer]?.[1] ? layer : "edited";
    this.view.show(labels[this.current][1]);
    for (const button of document.querySelectorAll(".layers button")) {
      const name = button.dataset.layer;
      const [text, ids] = labels[name] ?? [];
      button.hidden = !text;
      button.disabled = !ids;
      button.textContent = text ?? "";
      button.setAttribute("aria-pressed", String(name === this.current));
    }
    this.showOutlines();
  }

  /** The next label that is there; what its button says. */
  flip() {
    const labels = this.labels();
    const there = Object.keys(labels).filter((name) => labels[name][1]);
    this.show(there[(there.indexOf(this.current) + 1) % there.length]);
    return labels[this.current][0];
  }

  showOutlines() {
    const { frame, merge, view } = this;
    if (merge) view.outlines = merge.outlines();
    else view.outlines = get("outlines").checked ? frame.suspects() : [];
    view.draw();
  }

  showState(savable) {
    const { item, label, version } = this.frame;
    const confirms = !version && this.info.prelabels;
    const by = item.edited_by && version === item.version ? ` by ${item.edited_by}` : "";
    const saved = version ? `version ${version}${by}` : confirms ? "not confirmed" : "as drawn";
    get("frame-name").textContent = item.name;
    get("frame-state").textContent = label.modified ? `${saved}, changes not saved` : saved;
    get("undo").disabled = !label.steps.length;
    get("redo").disabled = !label.undone.length;
    get("save").disabled = !savable;
    get("save").textContent = confirms ? "Confirm" : "Save";
  }
}
