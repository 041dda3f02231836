/** What can be done with a value, a time and a column: the choices of their menus. */
import { copy } from "./clipboard.js";
import { and, condition, expressionOf, isWritable, literal } from "./cel.js";
import { Exact } from "./json.js";
import { openMenu } from "./menu.js";
import { brief, json } from "./text.js";
import { writeTime } from "./times.js";

/**
 * @typedef {{
 *   fieldOf: (path: string) => import("./schema.js").Field | undefined,
 *   refine: (filter: string) => void,
 *   filter: () => string,
 *   travel: (since: string, until: string) => void,
 *   columns: () => string[],
 *   choose: (columns: string[]) => void,
 * }} Page
 */

/** A text of more characters is not compared as a whole: filters are bounded, and people could not read it. */
const LONGEST = 400;
/** Characters by which it is told from others then. */
const BEGINNING = 80;
/** Characters of a member's name in the head of a menu. */
const LONGEST_NAME = 80;

/** The menu of a value. @param {Page} page @param {HTMLElement} anchor @param {(string | number)[]} path @param {unknown} value */
export function pickValue(page, anchor, path, value) {
  const known = (/** @type {(string | number)[]} */ steps) =>
    steps.some((step) => String(step).includes(".")) ? undefined : page.fieldOf(steps.join("."));
  const add = (/** @type {import("./cel.js").Operator} */ operator) => {
    const text = condition(path, value, operator, known);
    // "Only" after "not" of the same value, or the other way round: the newer word counts.
    const other = { "==": "!=", "!=": "==" }[/** @type {"=="} */ (operator)];
    const opposite = other && condition(path, value, /** @type {"=="} */ (other), known);
    return { detail: text, act: () => page.refine(and(page.filter(), text, opposite)) };
  };
  const choices = [];
  const compound = value !== null && typeof value === "object" && !(value instanceof Exact);
  if (value === undefined) {
    choices.push({ label: "Only where it is missing", ...add("==") }, { label: "Only where it is there", ...add("!=") });
  } else if (typeof value === "string" && value.length > LONGEST) {
    // By whole characters, of which half of one could not be written.
    const start = [...value.slice(0, 2 * BEGINNING)].slice(0, BEGINNING).join("");
    const text = `${expressionOf(path)}.startsWith(${literal(start)})`;
    if (isWritable(start)) choices.push({ label: "Only what begins so", detail: text, act: () => page.refine(and(page.filter(), text)) });
  } else if (!compound && isWritable(value)) {
    choices.push({ label: "Only this", ...add("==") }, { label: "Not this", ...add("!=") });
    if (typeof value === "number" || value instanceof Exact) {
      choices.push({ label: "At least this", ...add(">=") }, { label: "At most this", ...add("<=") });
    }
  }
  const text = typeof value === "string" ? value : json(value);
  if (value !== undefined) choices.push({ label: "Copy", act: () => void copy(text) });
  // Columns are paths of members: an element of an array is none, nor what has a dot in its name.
  if (path.every((step) => typeof step === "string" && !/[.,\s]/.test(step))) choices.push(column(page, path.join(".")));
  openMenu(anchor, `${brief(path.join("."), LONGEST_NAME)}: ${brief(value, 60) || "not there"}`, choices);
}

/** @param {Page} page @param {string} path */
function column(page, path) {
  const columns = page.columns();
  if (!columns.includes(path)) return { label: "Add as a column", act: () => page.choose([...columns, path]) };
  return { label: "Remove the column", act: () => page.choose(columns.filter((each) => each !== path)) };
}

/**
 * The menu of a row's time.
 * @param {Page} page @param {HTMLElement} anchor @param {number} time @param {{since: string, until: string}} range
 */
export function pickTime(page, anchor, time, { since, until }) {
  openMenu(anchor, writeTime(time), [
    { label: "From here", act: () => page.travel(writeTime(time), until) },
    { label: "Until here", act: () => page.travel(since, writeTime(time + 1)) },
  ]);
}

/**
 * The menu of a column.
 * @param {Page} page @param {HTMLElement} anchor @param {string} path
 * @param {{sort: (descending: boolean) => void, widen: (factor: number) => void}} table
 */
export function pickColumn(page, anchor, path, { sort, widen }) {
  const columns = page.columns();
  const place = columns.indexOf(path);
  const move = (/** @type {number} */ to) => {
    const others = columns.filter((each) => each !== path);
    page.choose([...others.slice(0, to), path, ...others.slice(to)]);
  };
  const choices = [
    { label: "The most first", act: () => sort(true) },
    { label: "The least first", act: () => sort(false) },
    { label: "Wider", act: () => widen(1.4) },
    { label: "Narrower", act: () => widen(1 / 1.4) },
  ];
  if (place > 0) choices.push({ label: "Move left", act: () => move(place - 1) });
  if (place >= 0 && place < columns.length - 1) choices.push({ label: "Move right", act: () => move(place + 1) });
  if (place >= 0 && columns.length > 1) choices.push({ label: "Remove the column", act: () => page.choose(columns.filter((each) => each !== path)) });
  openMenu(anchor, brief(path, LONGEST_NAME), choices);
}
