/** Filters as examples, made of the members and values that a stream has. Pure. */
import { expressionOf, isMember, literal } from "./cel.js";
import { textFields } from "./search.js";

/**
 * @typedef {import("./schema.js").Field} Field
 * @typedef {(path: string) => unknown[]} Seen Values that events had there, the most frequent first.
 * @typedef {{title: string, filter: string}} Recipe
 */
const LONGEST = 24;
/** Numbers of which people ask rather whether they are this one. */
const IDENTIFIER = /(^|[._])(id|ids|namespace|code|status|version|timestamp|time|dt)$/;

/** Whether it is written with dots alone, as an example should be. @param {Field} field */
function isPlain({ steps }) {
  return steps.every(isMember);
}

/** @param {Field[]} fields @param {string} type */
function ofType(fields, type) {
  return fields.filter((field) => field.types.includes(type) && isPlain(field) && !field.path.startsWith("meta."));
}

/** The first member whose values repeat, with two of them. @param {Field[]} fields @param {Seen} seen */
function choice(fields, seen) {
  for (const { path, steps, values } of ofType(fields, "string").slice(0, 12)) {
    const known = (values.length > 1 ? values : seen(path)).filter((value) => typeof value === "string" && value !== "" && value.length <= LONGEST);
    if (known.length > 1 && (values.length > 1 || known.length <= 30)) return { place: expressionOf(steps), known };
  }
  return null;
}

/** One filter that says what a filter is. @param {Field[]} fields @param {Seen} seen */
export function example(fields, seen) {
  const chosen = choice(fields, seen);
  const [flag] = ofType(fields, "boolean");
  const parts = [];
  if (chosen) parts.push(`${chosen.place} == ${literal(chosen.known[0])}`);
  if (flag) parts.push(`!${expressionOf(flag.steps)}`);
  const [number] = ofType(fields, "integer").concat(ofType(fields, "number"));
  if (parts.length === 0 && number) parts.push(`${expressionOf(number.steps)} > 10`);
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
  const [flag] = ofType(fields, "boolean").map(({ steps }) => expressionOf(steps));
  if (flag) add("True, or false", `!${flag}`);
  const numbers = [...ofType(fields, "integer"), ...ofType(fields, "number")].filter(({ path }) => !IDENTIFIER.test(path));
  const pair = pairOf(numbers);
  if (pair) add("By how much", `has(${pair.above}) && ${pair.one} - ${pair.other} > 500`);
  if (numbers.length > 0) {
    const place = expressionOf(numbers[0].steps);
    add("More than", `${place} > 100`);
    add("Between", `${place} >= 10 && ${place} < 100`);
  }
  const [text] = textFields(fields).filter(isPlain);
  if (text) {
    const place = expressionOf(text.steps);
    add("A text in it", `${place}.contains("new")`);
    add("Begins with", `${place}.startsWith("A")`);
    add("A pattern, in capitals or not", `${place}.matches("(?i)^the ")`);
  }
  const [list] = ofType(fields, "array").map(({ steps }) => expressionOf(steps));
  if (list) add("In a list", `${list}.exists(each, each == "x")`);
  const [optional] = fields.filter((field) => !field.required && isPlain(field) && !field.types.includes("object"));
  if (optional) add("Only where it is there", `has(${expressionOf(optional.steps)})`);
  if (chosen && flag) {
    add("Both", `${chosen.place} == ${literal(chosen.known[0])} && ${flag}`);
    add("Either", `${chosen.place} == ${literal(chosen.known[0])} || ${flag}`);
  }
  return found;
}

/** Two numbers of one object, such as before and after. @param {Field[]} numbers */
function pairOf(numbers) {
  const above = (/** @type {Field} */ { steps }) => expressionOf(steps.slice(0, -1));
  for (const field of numbers) {
    const other = numbers.find((each) => each !== field && field.steps.length > 1 && above(each) === above(field));
    if (other === undefined) continue;
    const [after, before] = /old|before|from/.test(field.path) ? [other, field] : [field, other];
    return { above: above(field), one: expressionOf(after.steps), other: expressionOf(before.steps) };
  }
  return null;
}
