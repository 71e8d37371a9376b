// What somebody thinks of a frame's label, and who has saved it before.

import { getHistory, getLabel, putMark } from "./api.js";
import { element } from "./help.js";

const get = (id) => document.getElementById(id);
const VERDICTS = ["right", "wrong", "unsure"];

export class Marks {
  /** name(): a promise of who marks. marked(item): the server has it. restore(ids, version): the
   * person wants a version back. */
  constructor({ name, marked, restore, fail }) {
    Object.assign(this, { name, marked, restore, fail });
    this.item = null;
    for (const verdict of VERDICTS) {
      get(`mark-${verdict}`).addEventListener("click", () => this.mark(verdict));
    }
    get("comment").addEventListener("change", () => this.comment());
    get("history").addEventListener("toggle", () => this.listVersions());
  }

  show(item) {
    const changes = item?.id !== this.item?.id;
    this.item = item;
    const { verdict = null, comment = "", by, time } = item?.mark ?? {};
    for (const name of VERDICTS) {
      get(`mark-${name}`).setAttribute("aria-pressed", String(name === verdict));
    }
    if (changes || document.activeElement !== get("comment")) get("comment").value = comment ?? "";
    get("marked-by").textContent = by ? `${by}, ${local(time)}` : "";
    if (get("history").open) this.listVersions();
  }

  /** The same verdict again takes it back. */
  mark(verdict) {
    const known = this.item?.mark?.verdict;
    return this.put({ verdict: known === verdict ? null : verdict, comment: get("comment").value });
  }

  comment() {
    return this.put({ verdict: this.item?.mark?.verdict ?? null, comment: get("comment").value });
  }

  async put(mark) {
    const { item } = this;
    if (!item) return;
    const by = await this.name();
    if (!by) return;
    try {
      const marked = await putMark(item.id, { ...mark, by });
      if (this.item?.id === item.id) this.show({ ...this.item, ...marked });
      this.marked(marked);
    } catch (error) {
      this.fail(error);
    }
  }

  async listVersions() {
    const list = get("history").querySelector("ol");
    const { item } = this;
    if (!get("history").open || !item) return;
    try {
      const versions = (await getHistory(item.id)).filter(({ version }) => version > 0);
      if (this.item?.id !== item.id) return;
      list.replaceChildren(this.version(item, { version: 0 }));
      list.append(...versions.map((version) => this.version(item, version)));
    } catch (error) {
      this.fail(error);
    }
  }

  version(item, { version, by, time, pixels }) {
    const text = version ? `v${version} by ${by}, ${local(time)}, ${pixels} pixels` : "As drawn";
    const button = element("button", { type: "button", textContent: "Bring back" });
    button.setAttribute("aria-label", `Bring back ${text}`);
    button.addEventListener("click", async () => {
      try {
        this.restore((await getLabel(item.id, version || "drawn")).ids, text);
      } catch (error) {
        this.fail(error);
      }
    });
    return element("li", {}, element("span", { textContent: text }), button);
  }
}

function local(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime())
    ? ""
    : date.toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" });
}
