// The table of classes: on and off, and the share of pixels that each model gives them.

export class ClassTable {
  /**
   * @param {HTMLTableSectionElement} body
   * @param {() => void} changed called when a class is turned on or off
   */
  constructor(body, changed) {
    this.body = body;
    this.changed = changed;
    this.hidden = new Set(); // names
    this.rows = new Map(); // name -> its row's elements
  }

  /** List the classes of some models, those of one name once. @param {Class[][]} lists */
  list(lists) {
    const colours = new Map(lists.flat().reverse().map(({ name, colour }) => [name, colour]));
    const names = [...new Set(lists.flat().map(({ name }) => name))];
    if (names.join("\n") === [...this.rows.keys()].join("\n")) return;
    this.rows = new Map(names.map((name, index) => [name, this.row(name, colours.get(name), index)]));
    this.body.replaceChildren(...[...this.rows.values()].map(({ row }) => row));
  }

  row(name, colour, index) {
    const row = document.createElement("tr");
    const head = Object.assign(document.createElement("th"), { scope: "row" });
    const label = Object.assign(document.createElement("label"), { className: "tick" });
    const box = Object.assign(document.createElement("input"), { type: "checkbox" });
    box.checked = !this.hidden.has(name);
    box.setAttribute("aria-label", name);
    box.addEventListener("change", () => {
      if (box.checked) this.hidden.delete(name);
      else this.hidden.add(name);
      this.changed();
    });
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = colour;
    label.append(box, swatch, name);
    if (index < 9) {
      label.append(" ", Object.assign(document.createElement("kbd"), { textContent: index + 1 }));
    }
    head.append(label);
    const shares = [0, 1].map(() => Object.assign(document.createElement("td"), { className: "n" }));
    row.append(head, ...shares);
    return { row, box, shares };
  }

  /** @param {Map<string, number>[]} shares of each view: class name -> 0 to 1 */
  show(shares) {
    for (const [name, { row, shares: cells }] of this.rows) {
      cells.forEach((cell, index) => {
        cell.hidden = index > 0 && index >= shares.length;
        cell.textContent = percent(shares[index]?.get(name));
      });
      row.classList.toggle("none", !shares.some((share) => share.get(name)));
    }
  }

  /** Turn the class in this place on or off. @param {number} index from 0 */
  toggle(index) {
    [...this.rows.values()][index]?.box.click();
  }

  showAll() {
    for (const { box } of this.rows.values()) if (!box.checked) box.click();
  }
}

/** A share in percent, as dashseg's pages write it: what is not quite all or nothing never reads as such. */
export function percent(share) {
  if (share === undefined) return "–";
  const text = (100 * share).toFixed(1);
  if (share > 0 && text === "0.0") return "<0.1";
  if (share < 1 && text === "100.0") return ">99.9";
  return text;
}
