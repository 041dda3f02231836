/** Filters as examples, made of the members and values that a stream has. Pure. */
import { expressionOf, literal } from "./cel.js";
import { textPaths } from "./search.js";

/**
 * @typedef {import("./schema.js").Field} Field
 * @typedef {(path: string) => unknown[]} Seen Values that events had there, the most frequent first.
 * @typedef {{title: string, filter: string}} Recipe
 */
const PLAIN = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/;
const LONGEST = 24;
/** Numbers of which people ask rather whether they are this one. */
const IDENTIFIER = /(^|[._])(id|ids|namespace|code|status|version|timestamp|time|dt)$/;

/** @param {Field[]} fields @param {string} type */
function ofType(fields, type) {
  return fields.filter(({ path, types }) => types.includes(type) && PLAIN.test(path) && !path.startsWith("meta."));
}

/** The first member whose values repeat, with two of them. @param {Field[]} fields @param {Seen} seen */
function choice(fields, seen) {
  for (const { path, values } of ofType(fields, "string").slice(0, 12)) {
    const known = (values.length > 1 ? values : seen(path)).filter((value) => typeof value === "string" && value !== "" && value.length <= LONGEST);
    if (known.length > 1 && (values.length > 1 || known.length <= 30)) return { place: expressionOf(path.split(".")), known };
  }
  return null;
}

/** One filter that says what a filter is. @param {Field[]} fields @param {Seen} seen */
export function example(fields, seen) {
  const chosen = choice(fields, seen);
  const [flag] = ofType(fields, "boolean");
  const parts = [];
  if (chosen) parts.push(`${chosen.place} == ${literal(chosen.known[0])}`);
  if (flag) parts.push(`!${expressionOf(flag.path.split("."))}`);
  const [number] = ofType(fields, "integer").concat(ofType(fields, "number"));
  if (parts.length === 0 && number) parts.push(`${expressionOf(number.path.split("."))} > 10`);
  return parts.join(" && ");
}

/** @param {Field[]} fields @param {Seen} seen @returns {Recipe[]} */
export function recipes(fields, seen) {
  /** @type {Recipe[]} */
  const found = [];
  const add = (/** @type {string} */ title, /** @type {string} */ filter) => found.push({ title, filter });
  const chosen = choice(fields, seen);
  if (chosen) {
    const [one, other] = chosen.known.map(literal);
    add("One value", `${chosen.place} == ${one}`);
    add("All but one", `${chosen.place} != ${one}`);
    add("One of several", `${chosen.place} in [${one}, ${other}]`);
  }
  const [flag] = ofType(fields, "boolean").map(({ path }) => expressionOf(path.split(".")));
  if (flag) add("True, or false", `!${flag}`);
  const numbers = [...ofType(fields, "integer"), ...ofType(fields, "number")].filter(({ path }) => !IDENTIFIER.test(path));
  const pair = pairOf(numbers.map(({ path }) => path));
  if (pair) add("By how much", `has(${pair.above}) && ${pair.one} - ${pair.other} > 500`);
  if (numbers.length > 0) {
    const place = expressionOf(numbers[0].path.split("."));
    add("More than", `${place} > 100`);
    add("Between", `${place} >= 10 && ${place} < 100`);
  }
  const [text] = textPaths(fields).filter((path) => PLAIN.test(path));
  if (text) {
    const place = expressionOf(text.split("."));
    add("A text in it", `${place}.contains("new")`);
    add("Begins with", `${place}.startsWith("A")`);
    add("A pattern, in capitals or not", `${place}.matches("(?i)^the ")`);
  }
  const [list] = ofType(fields, "array").map(({ path }) => expressionOf(path.split(".")));
  if (list) add("In a list", `${list}.exists(each, each == "x")`);
  const [optional] = fields.filter(({ path, required, types }) => !required && PLAIN.test(path) && !types.includes("object"));
  if (optional) add("Only where it is there", `has(${expressionOf(optional.path.split("."))})`);
  if (chosen && flag) {
    add("Both", `${chosen.place} == ${literal(chosen.known[0])} && ${flag}`);
    add("Either", `${chosen.place} == ${literal(chosen.known[0])} || ${flag}`);
  }
  return found;
}

/** Two numbers of one object, such as before and after. @param {string[]} paths */
function pairOf(paths) {
  for (const path of paths) {
    const above = path.slice(0, path.lastIndexOf("."));
    if (!path.includes(".")) continue;
    const others = paths.filter((other) => other !== path && other.slice(0, other.lastIndexOf(".")) === above);
    if (others.length === 0) continue;
    const [one, other] = /old|before|from/.test(path) ? [others[0], path] : [path, others[0]];
    const write = (/** @type {string} */ each) => expressionOf(each.split("."));
    return { above: write(above), one: write(one), other: write(other) };
  }
  return null;
}
