/** The heads of the table's columns: they sort, open a menu, and are drawn wider or narrower. */
import { h, say } from "./dom.js";
import { recall, remember } from "./memory.js";
import { trackOf } from "./schema.js";
import { brief } from "./text.js";
import { zone } from "./zone.js";

const KEPT = "explorer-widths";
const TIME = 9; // rem
const STREAM = 9;
const NARROWEST = 2.5;
const WIDEST = 60;
const REM = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 15;

/**
 * @typedef {{kind: "time" | "stream" | "path", path: string}} Column `path` of a member, else what the column is called.
 * @typedef {{path: string, descending: boolean}} Sorting
 * @typedef {{path: string, index: number, isMenu: boolean}} Focused
 * @typedef {{
 *   sort: (path: string) => void,
 *   menu: (anchor: HTMLElement, path: string) => void,
 *   turnZone: () => void,
 *   resized: () => void,
 * }} Actions
 */
export class Heads {
  /** Widths that somebody has chosen, in rem, by path. @type {Map<string, number>} */
  #widths = new Map(Object.entries(widths()));
  /** @type {Column[]} */
  #columns = [];

  /**
   * @param {HTMLElement} row @param {HTMLElement} grid @param {Actions} actions
   * @param {(path: string) => import("./schema.js").Field | undefined} fieldOf
   */
  constructor(row, grid, actions, fieldOf) {
    this.row = row;
    this.grid = grid;
    this.actions = actions;
    this.fieldOf = fieldOf;
    row.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.#grip(event));
  }

  /** @param {Column[]} columns @param {Sorting | null} sorting */
  show(columns, sorting) {
    const focused = this.#focused();
    this.#columns = columns;
    this.row.replaceChildren(...columns.map((column, index) => this.#cell(column, index, sorting)));
    this.layOut();
    if (focused !== null) this.#focus(focused);
  }

  /** Which button has the focus: heads that are made anew would throw it out of the table. @returns {Focused | null} */
  #focused() {
    const { activeElement } = document;
    const index = [...this.row.children].findIndex((cell) => cell.contains(activeElement));
    if (index < 0) return null;
    return { path: this.#columns[index].path, index, isMenu: activeElement?.classList.contains("more") ?? false };
  }

  /** @param {Focused} focused Of a column that is gone, the one in its place has the focus. */
  #focus({ path, index, isMenu }) {
    const place = this.#columns.findIndex((column) => column.path === path);
    const cell = this.row.children[place < 0 ? Math.min(index, this.#columns.length - 1) : place];
    const button = cell?.querySelector(isMenu ? ".more" : ".name") ?? cell?.querySelector("button") ?? this.row.querySelector("button");
    /** @type {HTMLElement | null} */ (button)?.focus({ preventScroll: true });
  }

  layOut() {
    const tracks = this.#columns.map((column) => this.#track(column));
    const least = tracks.map((track) => Number.parseFloat(track.replace("minmax(", "")));
    const width = least.reduce((one, other) => one + other, 0) + 0.9 * (tracks.length + 1);
    this.grid.style.setProperty("--columns", tracks.join(" "));
    // Of one width for all rows, so that their columns stand below each other.
    this.grid.style.setProperty("--width", `${width}rem`);
    this.grid.setAttribute("aria-colcount", String(tracks.length));
  }

  /** @param {Column} column */
  #track({ kind, path }) {
    const chosen = this.#widths.get(path);
    if (chosen !== undefined) return `${chosen}rem`;
    return kind === "time" ? `${TIME}rem` : kind === "stream" ? `${STREAM}rem` : trackOf(this.fieldOf(path));
  }

  /** @param {Column} column @param {number} index @param {Sorting | null} sorting */
  #cell({ kind, path }, index, sorting) {
    const common = { role: "columnheader", "aria-colindex": index + 1 };
    if (kind === "time") {
      const button = h("button.name", { type: "button", tabindex: -1, title: "When it was stored. Click for the other time zone", onclick: this.actions.turnZone });
      say(button, `time (${zone.name})`);
      return h("div.cell", common, button, h("span.grip", { "data-grip": path, "aria-hidden": "true" }));
    }
    const types = this.fieldOf(path)?.types ?? [];
    const number = types.includes("integer") || types.includes("number");
    const way = sorting?.path === path ? (sorting.descending ? "descending" : "ascending") : false;
    const note = this.fieldOf(path)?.description || brief(path);
    const name = h("button.name", { type: "button", tabindex: -1, title: note, onclick: () => this.actions.sort(path) }, brief(path));
    if (kind === "stream") return h("div.cell", common, h("span", { title: "The stream that it is of" }, "stream"), h("span.grip", { "data-grip": path, "aria-hidden": "true" }));
    const more = h("button.more", { type: "button", tabindex: -1, "aria-label": `Choices for ${brief(path)}`, onclick: () => this.actions.menu(more, path) });
    return h(`div.cell${number ? ".number" : ""}`, { ...common, "aria-sort": way }, name, more, h("span.grip", { "data-grip": path, "aria-hidden": "true" }));
  }

  /** @param {string} path @param {number} factor */
  widen(path, factor) {
    const cell = this.row.children[this.#columns.findIndex((column) => column.path === path)];
    this.#set(path, (/** @type {HTMLElement} */ (cell).offsetWidth / REM()) * factor);
    this.#keep();
  }

  /** @param {string} path @param {number} rem */
  #set(path, rem) {
    this.#widths.set(path, Math.round(Math.max(NARROWEST, Math.min(WIDEST, rem)) * 10) / 10);
    this.layOut();
    this.actions.resized();
  }

  #keep() {
    remember(KEPT, JSON.stringify(Object.fromEntries([...this.#widths].slice(-100))));
  }

  /** The edge of a head is drawn. @param {PointerEvent} event */
  #grip(event) {
    const grip = /** @type {HTMLElement} */ (event.target);
    const path = grip.dataset?.grip;
    if (path === undefined || event.button !== 0) return;
    event.preventDefault();
    const began = event.clientX;
    const width = /** @type {HTMLElement} */ (grip.parentElement).offsetWidth;
    grip.setPointerCapture(event.pointerId);
    const move = (/** @type {PointerEvent} */ moved) => this.#set(path, (width + moved.clientX - began) / REM());
    const end = () => {
      grip.removeEventListener("pointermove", move);
      this.#keep();
    };
    grip.addEventListener("pointermove", move);
    grip.addEventListener("lostpointercapture", end, { once: true });
  }
}

/** @returns {Record<string, number>} */
function widths() {
  try {
    const kept = JSON.parse(recall(KEPT) ?? "{}");
    return Object.fromEntries(Object.entries(kept).filter(([, width]) => typeof width === "number" && width >= NARROWEST && width <= WIDEST));
  } catch {
    return {};
  }
}
