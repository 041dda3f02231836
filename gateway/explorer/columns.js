/** The choice of columns, out of the fields of the schema. */
import { byId, h } from "./dom.js";
import { brief } from "./text.js";

const MOST_SHOWN = 200;
const LONGEST_NAME = 120;

export class ColumnPicker {
  /** @type {import("./schema.js").Field[]} */
  #fields = [];
  /** @type {string[]} */
  #columns = [];

  /** @param {(columns: string[]) => void} choose An empty list for those that are suggested. */
  constructor(choose) {
    this.choose = choose;
    this.list = byId("fields");
    this.find = byId("find-field");
    this.find.addEventListener("input", () => this.#draw());
    byId("suggested").addEventListener("click", () => this.choose([]));
    byId("columns").addEventListener("toggle", (/** @type {ToggleEvent} */ event) => {
      if (event.newState === "open") this.#draw();
    });
  }

  /** @param {import("./schema.js").Field[]} fields @param {string[]} columns */
  show(fields, columns) {
    this.#fields = fields;
    this.#columns = columns;
    if (byId("columns").matches(":popover-open")) this.#draw();
  }

  #draw() {
    const wanted = this.find.value.toLowerCase();
    const fields = this.#fields.filter(({ path, description, types }) => {
      if (types.length === 1 && types[0] === "object" && !this.#columns.includes(path)) return false;
      return `${path} ${description}`.toLowerCase().includes(wanted);
    });
    const focused = document.activeElement?.id;
    this.list.replaceChildren(...fields.slice(0, MOST_SHOWN).map((field, index) => this.#item(field, index)));
    if (focused?.startsWith("field-")) document.getElementById(focused)?.focus();
  }

  /** @param {import("./schema.js").Field} field @param {number} index */
  #item({ path, types, description, values }, index) {
    const id = `field-${index}`;
    const box = h("input", { type: "checkbox", id, checked: this.#columns.includes(path) });
    box.addEventListener("change", () => {
      const others = this.#columns.filter((each) => each !== path);
      this.choose(box.checked ? [...others, path] : others);
    });
    const note = description || (values.length > 0 ? brief(values) : "");
    return h("li", null, box, h("label", { for: id }, h("code", null, brief(path, LONGEST_NAME)), h("span.kind", null, types.join(" or ")), h("span.note", null, note)));
  }
}
