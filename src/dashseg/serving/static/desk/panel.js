// The tools' panel: which tool, which class, how large, how opaque; and what stands on its buttons.

import { element } from "./help.js";
import { KEYS } from "./keys.js";
import { TOOLS } from "./tools.js";

const get = (id) => document.getElementById(id);

export class Panel {
  /** tools, view: what the panel sets. changed(help): tool, class or size; help: of a new tool. */
  constructor(tools, view, classes, changed) {
    Object.assign(this, { tools, view, classes, changed });
    this.toolButtons = new Map();
    for (const [name, { text, help }] of Object.entries(TOOLS)) {
      const key = KEYS.find(([action]) => action === `tool:${name}`)[1][0].toUpperCase();
      const button = element("button", { type: "button", title: help, id: `tool-${name}` }, text, " ");
      button.append(element("kbd", { textContent: key }));
      button.addEventListener("click", () => this.pickTool(name));
      this.toolButtons.set(name, button);
      get("tools").append(button);
    }
    this.classButtons = new Map();
    classes.forEach(({ id, name, colour }, index) => {
      const button = element("button", { type: "button", id: `class-${id}` });
      const swatch = element("span", { className: "swatch" });
      swatch.style.background = colour; // a property, which the page's policy allows
      button.append(swatch, element("span", { textContent: name }));
      const key = id === 255 ? "I" : index < 10 ? String((index + 1) % 10) : "";
      if (key) button.append(element("kbd", { textContent: key }));
      button.addEventListener("click", () => this.pickClass(id));
      this.classButtons.set(id, button);
      get("classes").append(button);
      get("over").append(element("option", { value: String(id), textContent: `${name} only` }));
    });
    get("size").addEventListener("input", (event) => this.resize(event.target.valueAsNumber));
    get("over").addEventListener("change", ({ target }) => {
      tools.over = target.value === "" ? null : Number(target.value);
    });
    get("opacity").addEventListener("input", ({ target }) => this.setOpacity(target.valueAsNumber));
    this.pickClass(classes[0].id);
    this.setOpacity(50);
  }

  pickTool(name) {
    this.tools.pick(name);
    this.show();
    this.changed(TOOLS[name].help);
  }

  pickClass(id) {
    this.tools.chosen = id;
    this.show();
    this.changed();
  }

  /** The class of a number key: Shift goes on from the 11th. */
  pickByDigit(digit, shift) {
    const index = (digit || 10) - 1 + (shift ? 10 : 0);
    const chosen = this.classes[index];
    if (chosen && chosen.id !== 255) this.pickClass(chosen.id);
  }

  resize(size) {
    this.tools.resize(size);
    this.show();
    this.changed();
  }

  /** One step smaller (-1) or larger (1): a pixel, or a tenth of a large brush. */
  step(by) {
    const size = this.tools.brushSize;
    this.resize(size + by * Math.max(1, Math.round(size / 10)));
  }

  setOpacity(percent) {
    const value = Math.min(100, Math.max(0, percent));
    get("opacity").value = value;
    get("opacity-out").textContent = `${value} %`;
    this.view.opacity = value / 100;
    this.view.draw();
  }

  show() {
    const { tools } = this;
    for (const [name, button] of this.toolButtons) {
      button.setAttribute("aria-pressed", String(name === tools.name));
    }
    for (const [id, button] of this.classButtons) {
      button.setAttribute("aria-pressed", String(id === tools.chosen));
    }
    get("size-row").hidden = !tools.tool.brush;
    get("size").value = tools.brushSize;
    get("size-out").textContent = `${tools.brushSize} px`;
  }
}
