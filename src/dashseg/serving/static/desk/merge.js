// Two people changed one label: what only one of them changed is kept, where both did, one chooses.

import { allRegions, borderSegments } from "./shapes.js";

/** Labels of one size -> {ids, conflicts}: conflicts (Uint8Array) is 1 where `mine` and `theirs`
 * both changed `base`, and not to the same class. There, ids are mine. Counts are in pixels. */
export function mergePixels(base, mine, theirs) {
  const ids = mine.slice();
  const conflicts = new Uint8Array(base.length);
  const pixels = { mine: 0, theirs: 0, conflicts: 0 };
  for (let i = 0; i < base.length; i++) {
    if (mine[i] === theirs[i]) continue;
    if (mine[i] === base[i]) {
      ids[i] = theirs[i];
      pixels.theirs++;
    } else if (theirs[i] === base[i]) {
      pixels.mine++;
    } else {
      conflicts[i] = 1;
      pixels.conflicts++;
    }
  }
  return { ids, conflicts, pixels };
}

/** The choice that is being made: which of the two labels wins at each place of conflict. */
export class Merge {
  /** frame: an open Frame; theirs: what getLabel gave; by: who made it. */
  constructor(frame, theirs, by) {
    const mine = frame.label.ids.slice();
    const merged = mergePixels(frame.base, mine, theirs.ids);
    const { width, height } = frame;
    Object.assign(this, { frame, mine, by, width, base: frame.base, version: theirs.version });
    this.theirs = theirs.ids;
    this.ids = merged.ids;
    this.pixels = merged.pixels;
    this.places = allRegions((i) => merged.conflicts[i] === 1, width, height).map((runs) => ({
      runs,
      box: boxOf(runs, width),
      choice: null,
    }));
    this.current = 0;
    this.placeAt = new Int32Array(mine.length).fill(-1);
    this.places.forEach(({ runs }, number) => {
      for (let i = 0; i < runs.length; i += 2) this.placeAt.fill(number, runs[i], runs[i + 1]);
    });
  }

  get open() {
    return this.places.filter((place) => place.choice === null).length;
  }

  /** choice: "mine" or "theirs". */
  choose(number, choice) {
    const place = this.places[number];
    if (!place) return;
    place.choice = choice;
    const { runs } = place;
    for (let i = 0; i < runs.length; i += 2) {
      this.ids.set(this[choice].subarray(runs[i], runs[i + 1]), runs[i]);
    }
  }

  chooseAll(choice) {
    this.places.forEach((_, number) => this.choose(number, choice));
  }

  /** A whole label instead of the merge. */
  keep(choice) {
    this.chooseAll(choice);
    this.ids = this[choice].slice();
  }

  /** A click on a place of conflict takes the other label there. */
  click([x, y]) {
    const number = this.placeAt[Math.floor(y) * this.width + Math.floor(x)] ?? -1;
    if (number < 0) return false;
    this.current = number;
    this.choose(number, this.places[number].choice === "mine" ? "theirs" : "mine");
    return true;
  }

  /** Moves to the next place without a choice, or the next one. */
  next() {
    const count = this.places.length;
    const order = this.places.map((_, i) => (this.current + 1 + i) % count);
    this.current = order.find((i) => this.places[i].choice === null) ?? order[0] ?? 0;
  }

  outlines() {
    return this.places.map(({ box, choice }, number) => ({
      segments: borderSegments((x, y) => this.placeAt[y * this.width + x] === number, box),
      colour: number === this.current ? "#ffffff" : choice ? "#7ee787" : "#ff4fd8",
      dashed: choice === null,
    }));
  }
}

function boxOf(runs, width) {
  const box = [width, Infinity, 0, 0];
  for (let i = 0; i < runs.length; i += 2) {
    const y = Math.floor(runs[i] / width);
    box[0] = Math.min(box[0], runs[i] - y * width);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], runs[i + 1] - y * width);
    box[3] = Math.max(box[3], y + 1);
  }
  return box;
}
