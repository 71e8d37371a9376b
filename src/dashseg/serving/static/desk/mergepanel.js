// The merge view: both labels, what they began at, and what comes out of them.

const get = (id) => document.getElementById(id);
const count = (n, what) => `${n.toLocaleString()} ${what}${n === 1 ? "" : "s"}`;

export class MergePanel {
  /** show(): the label or the outlines changed. save(merge), leave(): how it ends. */
  constructor(view, { show, save, leave }) {
    Object.assign(this, { view, show, merge: null });
    const act = (id, run) => get(id).addEventListener("click", () => {
      run(this.merge);
      this.update();
    });
    act("place-mine", (merge) => merge.choose(merge.current, "mine"));
    act("place-theirs", (merge) => merge.choose(merge.current, "theirs"));
    act("place-next", () => this.next());
    act("all-mine", (merge) => merge.chooseAll("mine"));
    act("all-theirs", (merge) => merge.chooseAll("theirs"));
    act("keep-mine", (merge) => merge.keep("mine"));
    act("keep-theirs", (merge) => merge.keep("theirs"));
    get("merge-save").addEventListener("click", () => save(this.merge));
    get("merge-leave").addEventListener("click", leave);
  }

  start(merge) {
    this.merge = merge;
    const { pixels, places, by, version } = merge;
    get("merge-text").textContent =
      `${by || "Somebody"} saved version ${version} while you worked. ` +
      `${count(pixels.mine, "pixel")} changed by you alone and ${count(pixels.theirs, "pixel")} ` +
      `by them alone are kept. ` +
      (places.length
        ? `You both changed ${count(pixels.conflicts, "pixel")} in ${count(places.length, "place")}: choose there.`
        : "You changed no pixel both.");
    get("merge-place").hidden = !places.length;
    for (const id of ["place-next", "all-mine", "all-theirs"]) get(id).hidden = places.length < 2;
    get("merge").hidden = false;
    get("editing").hidden = true;
    if (places.length) this.view.look(places[0].box);
    this.update();
    get("merge-save").focus();
  }

  next() {
    this.merge.next();
    const place = this.merge.places[this.merge.current];
    if (place) this.view.look(place.box);
    this.update();
  }

  /** A click on the frame. */
  click(point) {
    if (this.merge.click(point)) this.update();
  }

  update() {
    const { merge } = this;
    const place = merge.places[merge.current];
    get("merge-save").disabled = merge.open > 0;
    if (place) {
      get("merge-count").textContent =
        `Place ${merge.current + 1} of ${merge.places.length}: ` +
        `${place.choice ?? "nothing chosen"}. ${merge.open} still open.`;
    }
    for (const choice of ["mine", "theirs"]) {
      get(`place-${choice}`).setAttribute("aria-pressed", String(place?.choice === choice));
    }
    this.show();
  }

  stop() {
    this.merge = null;
    get("merge").hidden = true;
    get("editing").hidden = false;
  }
}
