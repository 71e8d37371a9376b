// The list of frames at the side: in which order, which of them, one page at a time.

import { getFrames } from "./api.js";
import { element } from "./help.js";

const LIMIT = 50;
const VERDICTS = { right: "✓ right", wrong: "✗ wrong", unsure: "? unsure" };

export class Queue {
  /** root: the queue's element. open(item): a frame was chosen. hasDraft(name): is it unsaved. */
  constructor(root, info, { open, hasDraft, fail }) {
    Object.assign(this, { open, hasDraft, fail });
    this.list = root.querySelector("ol");
    this.order = root.querySelector("#order");
    this.state = root.querySelector("#state");
    this.pages = root.querySelector("#pages");
    this.back = root.querySelector("#page-back");
    this.on = root.querySelector("#page-on");
    this.items = [];
    this.offset = this.total = 0;
    this.currentId = null;
    const names = { suspects: "Suspects, worst first", files: "Files, by name", picks: "Picks" };
    for (const order of info.orders) {
      this.order.append(element("option", { value: order, textContent: names[order] ?? order }));
    }
    for (const select of [this.order, this.state]) {
      select.addEventListener("change", () => this.load(0));
    }
    this.back.addEventListener("click", () => this.load(Math.max(0, this.offset - LIMIT)));
    this.on.addEventListener("click", () => this.load(this.offsetOfNextPage()));
  }

  /** Frames that were done meanwhile have left the list of open ones. */
  offsetOfNextPage() {
    const left = this.state.value === "open" ? this.items.filter(isDone).length : 0;
    return this.offset + this.items.length - left;
  }

  async load(offset) {
    try {
      const [order, state] = [this.order.value, this.state.value];
      const answer = await getFrames({ order, state, offset, limit: LIMIT });
      Object.assign(this, { items: answer.items, total: answer.total, offset });
    } catch (error) {
      return this.fail(error);
    }
    this.show();
    this.list.scrollTop = 0;
  }

  show() {
    this.list.replaceChildren(...this.items.map((item) => this.row(item)));
    const last = this.offset + this.items.length;
    this.pages.textContent = this.total
      ? `${this.offset + 1}–${last} of ${this.total}`
      : "No frames here";
    this.back.disabled = this.offset === 0;
    this.on.disabled = last >= this.total;
  }

  row(item) {
    const button = element("button", { type: "button", className: "row" });
    if (item.id === this.currentId) button.setAttribute("aria-current", "true");
    const name = element("span", { className: "name", textContent: item.name, title: item.name });
    const state = element("span", { className: "state" });
    if (this.hasDraft(item.name)) state.append(badge("not saved", "draft"));
    if (item.version) {
      state.append(badge(`v${item.version}${item.edited_by ? ` by ${item.edited_by}` : ""}`, "edited"));
    }
    if (item.mark?.verdict) {
      const by = item.mark.by ? ` by ${item.mark.by}` : "";
      state.append(badge(VERDICTS[item.mark.verdict] + by, item.mark.verdict));
    }
    button.append(name);
    if (item.score !== null && item.score !== undefined) {
      const title = "The model's score of the label: the lowest comes first";
      button.append(element("span", { className: "score", title, textContent: item.score.toFixed(2) }));
    }
    if (item.why) button.append(element("span", { className: "why", textContent: item.why }));
    if (item.mark?.comment) {
      button.append(element("span", { className: "why", textContent: `“${item.mark.comment}”` }));
    }
    button.append(state);
    button.addEventListener("click", () => this.open(item));
    return element("li", {}, button);
  }

  /** The frame that is open now; its row is brought into sight. */
  select(id) {
    this.currentId = id;
    this.show();
    this.list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  /** A frame has changed on the server. */
  update(item) {
    const at = this.items.findIndex(({ id }) => id === item.id);
    if (at >= 0) this.items[at] = { ...this.items[at], ...item };
    this.show();
    this.list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  /** The next (1) or previous (-1) frame of the list, across pages; null at its end. */
  async neighbour(by) {
    const at = this.items.findIndex(({ id }) => id === this.currentId);
    if (at < 0) return this.items[0] ?? null;
    if (this.items[at + by]) return this.items[at + by];
    if (by > 0 && this.offset + this.items.length < this.total) {
      await this.load(this.offsetOfNextPage());
      return this.items[0] ?? null;
    }
    if (by < 0 && this.offset > 0) {
      await this.load(Math.max(0, this.offset - LIMIT));
      return this.items.at(-1) ?? null;
    }
    return null;
  }
}

const isDone = (item) => Boolean(item.mark?.verdict || item.version);

function badge(text, kind) {
  return element("span", { className: `badge ${kind}`, textContent: text });
}
