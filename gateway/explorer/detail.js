/** An event unfolded: its JSON as a tree, in which each value opens the menu. */
import { copy } from "./clipboard.js";
import { h } from "./dom.js";
import { Exact } from "./json.js";
import { typeOf } from "./schema.js";
import { brief, printable } from "./text.js";
import { valueOf } from "./store.js";

/** @typedef {(anchor: HTMLElement, path: (string | number)[], value: unknown) => void} Pick */

const MOST_MEMBERS = 100;
const LONGEST_TEXT = 600;
const LONGEST_NAME = 200;
const DEEPEST_OPEN = 2;

/**
 * @param {import("./store.js").Row} row
 * @param {{pick: Pick, startHere: (row: import("./store.js").Row) => void,
 *   history: (row: import("./store.js").Row) => (() => void) | null}} actions `history` opens that of the event's key.
 */
export function detailOf(row, { pick, startHere, history }) {
  const where = row.offset === null ? row.topic : `${row.topic} · partition ${row.partition} · offset ${row.offset}`;
  const copyButton = h("button.quiet", { type: "button", onclick: () => copy(row.text, copyButton) }, "Copy JSON");
  const start = h("button.quiet", { type: "button", onclick: () => startHere(row) }, "Start here");
  const opens = history(row);
  const past = opens && h("button.quiet", { type: "button", onclick: opens }, "History");
  return h(
    "div.detail",
    null,
    h("div.origin", null, h("span", null, printable(where)), past, copyButton, start),
    h("div.tree", null, node(valueOf(row), [], 0, pick)),
  );
}

/** @param {unknown} value @param {(string | number)[]} path @param {number} depth @param {Pick} pick @returns {Node} */
function node(value, path, depth, pick) {
  if (value === null || typeof value !== "object" || value instanceof Exact) return leaf(value, path, pick);
  /** @type {[string | number, unknown][]} */
  const members = Array.isArray(value) ? value.map((each, index) => [index, each]) : Object.entries(value);
  const [opening, closing] = Array.isArray(value) ? "[]" : "{}";
  if (members.length === 0) return h("span.brace", null, opening + closing);
  const body = h("div.members");
  const fill = (/** @type {number} */ from) => {
    for (const [name, member] of members.slice(from, from + MOST_MEMBERS)) {
      body.append(member_(name, member, [...path, name], depth, pick));
    }
    const left = members.length - from - MOST_MEMBERS;
    if (left <= 0) return;
    const more = h("button.quiet", { type: "button" }, `${left} more`);
    more.addEventListener("click", () => {
      more.remove();
      fill(from + MOST_MEMBERS);
    });
    body.append(more);
  };
  const count = `${members.length} ${Array.isArray(value) ? "elements" : "members"}`;
  const branch = h(
    "details",
    { open: depth < DEEPEST_OPEN },
    h("summary", null, h("span.brace", null, opening), h("span.count", null, ` ${count} `), h("span.brace", null, closing)),
    body,
  );
  // What is folded is made when it is opened: an event may have a million members.
  const open = () => {
    if (branch.open && body.childElementCount === 0) fill(0);
  };
  open();
  branch.addEventListener("toggle", open);
  return branch;
}

/** @param {string | number} name @param {unknown} value @param {(string | number)[]} path @param {number} depth @param {Pick} pick */
function member_(name, value, path, depth, pick) {
  const label = typeof name === "number" ? String(name) : brief(JSON.stringify(name), LONGEST_NAME);
  return h("div.member", null, h("span.name", null, label), h("span.colon", null, ": "), node(value, path, depth + 1, pick));
}

/** @param {unknown} value @param {(string | number)[]} path @param {Pick} pick */
function leaf(value, path, pick) {
  const kind = value instanceof Exact ? "number" : typeOf(value);
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  const shown = printable(text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text);
  const button = h(`button.leaf.${kind}`, { type: "button", onclick: () => pick(button, path, value) }, shown);
  if (text.length <= LONGEST_TEXT) return button;
  const all = h("button.quiet", { type: "button" }, `all ${text.length.toLocaleString("en")} characters`);
  all.addEventListener("click", () => {
    button.textContent = printable(text);
    all.remove();
  });
  return h("span", null, button, " ", all);
}
