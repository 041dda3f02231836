/** The table: a grid (WAI-ARIA) of the newest events, of which only the rows in view exist. */
import { h, say } from "./dom.js";
import { detailOf } from "./detail.js";
import { at, Exact } from "./json.js";
import { Heads } from "./heads.js";
import { now } from "./api.js";
import { sorted } from "./order.js";
import { valueOf } from "./store.js";
import { brief, isoTime } from "./text.js";
import { Windowing } from "./windowing.js";
import { shortOf } from "./zone.js";

const NARROW = matchMedia("(max-width: 40rem)");
/** New rows that are highlighted at the most. */
const MOST_POINTED_AT = 6;
/** What is called so says what an event is about. */
const LEADING = /(^|\.)(title|name|subject|summary|headline|page|message|text|comment|description)$/;
const heights = () => (NARROW.matches ? 53 : 33);

/**
 * @typedef {{
 *   pick: import("./detail.js").Pick,
 *   pickTime: (anchor: HTMLElement, row: import("./store.js").Row) => void,
 *   startHere: (row: import("./store.js").Row) => void,
 *   history: (row: import("./store.js").Row) => (() => void) | null,
 *   hold: (reason: string, on: boolean) => void,
 *   streamOf: (row: import("./store.js").Row) => string,
 *   pickStream: (anchor: HTMLElement, name: string) => void,
 *   heads: Omit<import("./heads.js").Actions, "resized">,
 * }} Actions
 */
export class Table {
  /** @type {Map<number, any>} Row elements by the number of their event. */
  #rows = new Map();
  /** @type {Map<number, {element: any, height: number}>} What is unfolded, by the number of its event. */
  #details = new Map();
  #windowing = new Windowing(heights());
  /** @type {{seq: number, column: number} | null} */
  #active = null;
  #newest = 0;
  /** @type {import("./heads.js").Column[]} */
  #columns = [];
  /** The member that says most of an event: on a narrow screen it is its head. */
  #lead = "";
  /** @type {import("./heads.js").Sorting | null} */
  #sorting = null;
  /** The rows in another order than that in which they came, and of which rows that is. */
  #order = { of: /** @type {import("./store.js").Row[]} */ ([]), rows: /** @type {import("./store.js").Row[]} */ ([]), places: new Map() };

  /**
   * @param {HTMLElement} grid @param {import("./store.js").EventStore} store @param {Actions} actions
   * @param {(path: string) => import("./schema.js").Field | undefined} fieldOf
   */
  constructor(grid, store, actions, fieldOf) {
    this.grid = grid;
    this.store = store;
    this.actions = actions;
    this.fieldOf = fieldOf;
    this.header = h("div.head", { role: "row", "aria-rowindex": 1 });
    this.body = h("div.body", { role: "rowgroup" });
    grid.append(h("div.heads", { role: "rowgroup" }, this.header), this.body);
    this.heads = new Heads(this.header, grid, { ...actions.heads, resized: () => this.draw() }, fieldOf);
    grid.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    grid.addEventListener("keydown", (event) => this.#key(event));
    this.body.addEventListener("pointerenter", (/** @type {PointerEvent} */ event) => {
      if (event.pointerType === "mouse") actions.hold("pointer", true);
    });
    this.body.addEventListener("pointerleave", () => actions.hold("pointer", false));
    this.body.addEventListener("focusin", (/** @type {FocusEvent} */ event) => {
      if (/** @type {Element} */ (event.target).matches(":focus-visible")) actions.hold("focus", true);
    });
    this.body.addEventListener("focusout", () => actions.hold("focus", false));
    this.body.addEventListener("click", (/** @type {MouseEvent} */ event) => this.#click(event));
    new ResizeObserver(() => this.draw()).observe(grid);
    this.sizes = new ResizeObserver((entries) => this.#resized(entries));
    NARROW.addEventListener("change", () => {
      this.#windowing.rowHeight = heights();
      this.#forget();
      this.draw();
    });
  }

  /**
   * @param {string[]} paths @param {boolean} several Whether there are several streams, so that each row says its own.
   * @param {import("./heads.js").Sorting | null} sorting
   */
  setColumns(paths, several, sorting) {
    /** @type {import("./heads.js").Column[]} */
    const columns = [{ kind: "time", path: "time" }];
    if (several) columns.push({ kind: "stream", path: "stream" });
    columns.push(...paths.map((path) => ({ kind: /** @type {"path"} */ ("path"), path })));
    this.#columns = columns;
    const texts = paths.filter((path) => this.fieldOf(path)?.types.includes("string") ?? true);
    this.#lead = texts.find((path) => LEADING.test(path)) ?? texts[0] ?? paths[0] ?? "";
    this.#sorting = sorting;
    this.#order.of = [];
    this.heads.show(columns, sorting);
    const isFocused = this.body.contains(document.activeElement);
    this.#forget();
    this.draw();
    if (isFocused) this.#focusAgain();
  }

  /** The row that had the focus was made anew. */
  #focusAgain() {
    if (this.#active === null) return;
    const column = Math.min(this.#active.column, this.#columns.length - 1);
    this.#active = { ...this.#active, column };
    this.#cell(this.#active)?.focus({ preventScroll: true });
  }

  /** What the header takes of the view; on a narrow screen it is there for screen readers alone. */
  get #head() {
    return NARROW.matches ? 0 : this.header.offsetHeight;
  }

  /** Another subscription: nothing of the old one stays. */
  clear() {
    this.#details.clear();
    this.#active = null;
    this.#newest = 0;
    this.#forget();
    this.grid.scrollTop = 0;
    this.draw();
  }

  /** Back to the newest. */
  toTop() {
    this.grid.scrollTop = 0;
  }

  get unfolded() {
    return this.#details.size;
  }

  /** Draw what is in view. */
  draw() {
    const { store } = this;
    const windowing = this.#windowing;
    windowing.count = store.shown.length;
    const indices = this.#indices();
    windowing.unfolded = [...this.#details]
      .map(([seq, { height }]) => ({ index: indices(seq), height }))
      .filter(({ index }) => index >= 0)
      .sort((one, other) => one.index - other.index);
    this.body.style.height = `${windowing.height}px`;
    this.grid.setAttribute("aria-rowcount", String(store.shown.length + 1));
    const top = Math.max(0, this.grid.scrollTop - this.#head);
    const { first, end } = windowing.range(top, this.grid.clientHeight);
    // Where nearly everything is new, nothing needs to be pointed at.
    const fresh = (store.shown.at(-1)?.seq ?? 0) - this.#newest <= MOST_POINTED_AT ? this.#newest : 0;
    const inView = new Set();
    for (let index = first; index < end; index += 1) inView.add(this.#rowAt(index).seq);
    for (const [seq, element] of this.#rows) {
      if (inView.has(seq)) continue;
      element.remove();
      this.#rows.delete(seq);
    }
    // In the document they stand as they are seen. Those that stay are not moved, since that would take the focus from them.
    let place = this.body.firstElementChild;
    for (let index = first; index < end; index += 1) {
      const row = this.#rowAt(index);
      let element = this.#rows.get(row.seq);
      if (element === undefined) {
        element = this.#make(row, fresh > 0 && row.seq > fresh);
        this.#rows.set(row.seq, element);
        this.body.insertBefore(element, place);
      } else place = element.nextElementSibling;
      element.style.transform = `translateY(${windowing.top(index)}px)`;
      element.firstElementChild.setAttribute("aria-rowindex", String(index + 2));
    }
    for (const seq of this.#details.keys()) if (indices(seq) < 0) this.#details.delete(seq);
    this.#newest = store.shown.at(-1)?.seq ?? 0;
    this.#keepTabStop(first);
  }

  /** The row at an index from the top. @param {number} index */
  #rowAt(index) {
    return this.#sorting === null ? this.store.row(index) : this.#sorted().rows[index];
  }

  /** The rows in the order of a column; made anew when others are shown. */
  #sorted() {
    const { shown } = this.store;
    if (this.#order.of !== shown && this.#sorting !== null) {
      const { path, descending } = this.#sorting;
      const rows = sorted(shown, (row) => at(valueOf(row), path), descending);
      this.#order = { of: shown, rows, places: new Map(rows.map(({ seq }, index) => [seq, index])) };
    }
    return this.#order;
  }

  /** The index of an event by its number. */
  #indices() {
    if (this.#sorting !== null) {
      const { places } = this.#sorted();
      return (/** @type {number} */ seq) => places.get(seq) ?? -1;
    }
    return (/** @type {number} */ seq) => this.store.indexOf(seq);
  }

  #forget() {
    for (const element of this.#rows.values()) element.remove();
    this.#rows.clear();
  }

  /** A row; whatever is in one event stops none of the others. @param {import("./store.js").Row} row @param {boolean} isNew */
  #make(row, isNew) {
    try {
      return this.#makeWhole(row, isNew);
    } catch (error) {
      const cell = h("div.cell", { role: "gridcell", tabindex: -1 }, `this event cannot be shown: ${error}`);
      return h("div.row", { "data-seq": row.seq, role: "presentation" }, h("div.line", { role: "row" }, cell));
    }
  }

  /** @param {import("./store.js").Row} row @param {boolean} isNew */
  #makeWhole(row, isNew) {
    const value = valueOf(row);
    const open = this.#details.has(row.seq);
    const time = h(
      "div.cell.time",
      { role: "gridcell", tabindex: -1, "data-column": 0, "aria-colindex": 1, "aria-expanded": String(open), title: isoTime(row.time) ?? String(row.time) },
      h("span.fold", { "aria-hidden": "true" }, "›"),
      shortOf(row.time, now()),
    );
    const cells = this.#columns.slice(1).map(({ kind, path }, index) => {
      const numbering = { "data-column": index + 1, "aria-colindex": index + 2 };
      if (kind === "stream") return h("div.cell.stream-name", { role: "gridcell", tabindex: -1, ...numbering }, this.actions.streamOf(row));
      const member = at(value, path);
      const type = member === undefined ? "absent" : member instanceof Exact ? "number" : typeof member;
      const text = brief(member);
      const lead = path === this.#lead ? ".lead" : "";
      return h(`div.cell.${type}${lead}`, { role: "gridcell", tabindex: -1, "data-path": path, title: text, ...numbering }, text);
    });
    const line = h("div.line", { role: "row" }, time, ...cells);
    const element = h(`div.row${isNew ? ".new" : ""}${open ? ".open" : ""}`, { "data-seq": row.seq }, line);
    element.setAttribute("role", "presentation");
    if (open) element.append(this.#details.get(row.seq)?.element);
    return element;
  }

  /** @param {number} seq */
  #rowOf(seq) {
    const index = this.#indices()(seq);
    return index < 0 ? undefined : this.#rowAt(index);
  }

  /** Unfold an event, or fold it again. @param {number} seq */
  toggle(seq) {
    const element = this.#rows.get(seq);
    const row = this.#rowOf(seq);
    if (row === undefined || element === undefined) return;
    const known = this.#details.get(seq);
    if (known) {
      this.sizes.unobserve(known.element);
      known.element.remove();
      this.#details.delete(seq);
    } else {
      const cell = h("div", { role: "gridcell", "aria-colindex": 1, "aria-colspan": this.#columns.length }, detailOf(row, this.actions));
      const detail = h("div.unfolded", { role: "row" }, cell);
      element.append(detail);
      this.#details.set(seq, { element: detail, height: detail.offsetHeight });
      this.sizes.observe(detail);
      this.actions.hold("unfolded", true);
    }
    element.classList.toggle("open", !known);
    element.firstElementChild.firstElementChild.setAttribute("aria-expanded", String(!known));
    this.draw();
  }

  /** @param {ResizeObserverEntry[]} entries */
  #resized(entries) {
    for (const { target } of entries) {
      for (const detail of this.#details.values()) {
        const { offsetHeight } = detail.element;
        if (detail.element === target && offsetHeight > 0) detail.height = offsetHeight;
      }
    }
    this.draw();
  }

  #scrolled() {
    this.actions.hold("scrolled", this.grid.scrollTop > 2);
    this.draw();
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const cell = /** @type {HTMLElement} */ (event.target).closest?.("[data-column]");
    if (cell instanceof HTMLElement && !getSelection()?.toString()) this.#activate(cell);
  }

  /** @param {HTMLElement} cell */
  #activate(cell) {
    const seq = Number(cell.closest(".row")?.getAttribute("data-seq"));
    const row = this.#rowOf(seq);
    if (row === undefined) return;
    this.#focus(seq, Number(cell.dataset.column));
    const { path } = cell.dataset;
    if (cell.classList.contains("stream-name")) this.actions.pickStream(cell, this.actions.streamOf(row));
    else if (path === undefined) this.toggle(seq);
    else this.actions.pick(cell, pathSteps(valueOf(row), path), at(valueOf(row), path));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // With these, keys are the browser's: Alt and the left arrow go back.
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const cell = /** @type {HTMLElement} */ (event.target);
    if (this.header.contains(cell)) return this.#headKey(event, cell);
    if (cell.dataset.column === undefined) return;
    const seq = Number(cell.closest(".row")?.getAttribute("data-seq"));
    const column = Number(cell.dataset.column);
    const page = Math.max(1, Math.floor(this.grid.clientHeight / this.#windowing.rowHeight) - 2);
    /** @type {Record<string, [number, number]>} Events to go down, and columns to the right. */
    const steps = {
      ArrowDown: [1, 0],
      ArrowUp: [-1, 0],
      ArrowRight: [0, 1],
      ArrowLeft: [0, -1],
      PageDown: [page, 0],
      PageUp: [-page, 0],
      Home: [0, -column],
      End: [0, this.#columns.length - 1 - column],
    };
    const step = steps[event.key];
    if (step !== undefined) {
      this.actions.hold("keyboard", true);
      const index = this.#indices()(seq) + step[0];
      if (index < 0 && event.key === "ArrowUp") this.#headOf(column)?.focus();
      else {
        const row = this.#rowAt(Math.max(0, Math.min(this.store.shown.length - 1, index)));
        this.#focus(row.seq, Math.max(0, Math.min(this.#columns.length - 1, column + step[1])));
      }
    } else if (event.key === "Enter" || event.key === "u") {
      if (event.key === "u") this.toggle(seq);
      else this.#activate(cell);
    } else if (event.key === "t") this.actions.pickTime(cell, /** @type {any} */ (this.#rowOf(seq)));
    else return;
    event.preventDefault();
  }

  /** @param {number} column @returns {HTMLElement | null} */
  #headOf(column) {
    return this.header.children[column]?.querySelector("button") ?? null;
  }

  /** From head to head, down into the table, and with the key of menus its menu. @param {KeyboardEvent} event @param {HTMLElement} button */
  #headKey(event, button) {
    const column = [...this.header.children].findIndex((each) => each.contains(button));
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step !== undefined) (this.#headOf(column + step) ?? this.#headOf(column + 2 * step))?.focus();
    else if (event.key === "ArrowDown" && this.store.shown.length > 0) this.#focus(this.#rowAt(0).seq, column);
    else if (event.key === "ContextMenu" || event.key === "m") /** @type {any} */ (this.header.children[column]?.querySelector(".more"))?.click();
    else return;
    event.preventDefault();
  }

  /** @param {number} seq @param {number} column */
  #focus(seq, column) {
    this.#active = { seq, column };
    const index = this.#indices()(seq);
    const top = this.#windowing.top(index);
    const head = this.#head;
    const { scrollTop, clientHeight } = this.grid;
    if (top < scrollTop) this.grid.scrollTop = top;
    else if (top + this.#windowing.rowHeight + head > scrollTop + clientHeight) {
      this.grid.scrollTop = top + this.#windowing.rowHeight + head - clientHeight;
    }
    this.draw();
    this.#cell(this.#active)?.focus({ preventScroll: true });
  }

  /** @param {{seq: number, column: number}} place @returns {HTMLElement | undefined} */
  #cell({ seq, column }) {
    return this.#rows.get(seq)?.firstElementChild.children[column];
  }

  /** One cell can be reached with the Tab key; the arrows go on from there. @param {number} first The index of the first row. */
  #keepTabStop(first) {
    const old = this.body.querySelectorAll(".line > [tabindex='0']");
    for (const cell of old) cell.setAttribute("tabindex", "-1");
    let cell = this.#active === null ? undefined : this.#cell(this.#active);
    if (cell === undefined && this.store.shown.length > 0) {
      cell = this.#cell({ seq: this.#rowAt(Math.min(first, this.store.shown.length - 1)).seq, column: 0 });
    }
    cell?.setAttribute("tabindex", "0");
  }

  /** @param {Element} element @param {string} text What stands in the table's place while it is empty. */
  tellEmpty(element, text) {
    say(element, text);
    /** @type {HTMLElement} */ (element).hidden = this.store.shown.length > 0;
  }
}

/** The steps of a dotted path in an event, where the name of a member may have dots. @param {any} value @param {string} path @returns {string[]} */
export function pathSteps(value, path) {
  const dot = path.indexOf(".");
  if (dot < 0 || (value !== null && typeof value === "object" && Object.hasOwn(value, path))) return [path];
  const name = path.slice(0, dot);
  return [name, ...pathSteps(at(value, name), path.slice(dot + 1))];
}
