// The list of frames at the side: in which order, which of them, one page at a time.

import { getFrames, getInfo } from "./api.js";
import { element } from "./help.js";

const LIMIT = 50;
const VERDICTS = { right: "✓ right", wrong: "✗ wrong", unsure: "? unsure" };

export class Queue {
  /** root: the queue's element. open(item): a frame was chosen. hasDraft(name): is it unsaved.
   * scored(): the server has scored more frames. */
  constructor(root, info, { open, hasDraft, scored, fail }) {
    Object.assign(this, { open, hasDraft, scored, fail });
    this.list = root.querySelector("ol");
    this.order = root.querySelector("#order");
    this.state = root.querySelector("#state");
    this.pages = root.querySelector("#pages");
    this.back = root.querySelector("#page-back");
    this.on = root.querySelector("#page-on");
    this.items = [];
    this.offset = this.total = 0;
    this.currentId = null;
    const names = { suspects: "Worst first", files: "Files, by name", picks: "Picks" };
    for (const order of info.orders) {
      this.order.append(element("option", { value: order, textContent: names[order] ?? order }));
    }
    for (const select of [this.order, this.state]) {
      select.addEventListener("change", () => this.load(0));
    }
    this.back.addEventListener("click", () => this.load(Math.max(0, this.offset - LIMIT)));
    this.on.addEventListener("click", () => this.load(this.offsetOfNextPage()));
    this.showScoring(root.querySelector("#scoring"), info.scoring);
  }

  /** The server scores frames meanwhile; the list follows when all are scored. */
  async showScoring(text, scoring) {
    let open = scoring && scoring.done < scoring.total ? scoring : null;
    while (open) {
      text.textContent = `Scored ${open.done} of ${open.total} frames`;
      text.hidden = false;
      await new Promise((resolve) => setTimeout(resolve, 2000));
      const { scoring: now } = await getInfo().catch(() => ({ scoring: open }));
      open = now && now.done < now.total ? now : null;
      this.scored();
    }
    if (text.hidden) return;
    text.hidden = true;
    await this.load(this.offset);
  }

  /** Frames that were done meanwhile have left the list of open ones. */
  offsetOfNextPage() {
    const left = this.state.value === "open" ? this.items.filter(isDone).length : 0;
    return this.offset + this.items.length - left;
  }

  async load(offset) {
    const news = (this.news = new Map()); // id -> what changes meanwhile: the answer may be older
    try {
      const [order, state] = [this.order.value, this.state.value];
      const { items, total } = await getFrames({ order, state, offset, limit: LIMIT });
      if (news !== this.news) return; // a later call wins
      const newest = items.map((item) => ({ ...item, ...news.get(item.id) }));
      Object.assign(this, { items: newest, total, offset });
    } catch (error) {
      return news === this.news && this.fail(error);
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
      const title =
        this.order.value === "picks"
          ? "How unsure the model is of this frame, from 0 to 1"
          : "How well the label fits what the model sees, from 0 to 1: the lowest comes first";
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
    this.scrollToCurrent();
  }

  /** A frame has changed on the server. */
  update(item) {
    this.news?.set(item.id, item);
    const at = this.items.findIndex(({ id }) => id === item.id);
    if (at >= 0) this.items[at] = { ...this.items[at], ...item };
    this.show();
    this.scrollToCurrent();
  }

  /** Scrolls the list alone: on a phone, the frame stays where it is. */
  scrollToCurrent() {
    const row = this.list.querySelector("[aria-current]");
    if (!row) return;
    const [list, own] = [this.list.getBoundingClientRect(), row.getBoundingClientRect()];
    this.list.scrollTop += Math.min(0, own.top - list.top) + Math.max(0, own.bottom - list.bottom);
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
