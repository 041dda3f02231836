/** The fields of events: from a schema, and from events themselves. Pure. */

/**
 * @typedef {{path: string, steps: string[], types: string[], description: string, values: unknown[], required: boolean, format: string}}
 *   Field `path` is dotted, `steps` are the names on the way, which may have dots themselves, `values` are those of an enumeration,
 *   `required` whether every event has it.
 */
const DEEPEST = 6;
const MOST = 500;
const SUGGESTED = 6;
/** Characters of a path that can stand over a column; of a stream without a schema, names are what strangers wrote. */
const LONGEST_PATH = 80;
/** Widest column that a name or the values of an enumeration ask for, in rem. */
const WIDEST = 12;
const TELLING = /^(title|name|user|type|kind|action|status|subject|comment|message|summary|wiki|domain|level|state|page)$/;
const TECHNICAL = /(^|_)(uuid|url|uri|href|host|hash|sha1|dt|timestamp|time|version|request|server)(_|$)/;
/** What an event is of: in many streams that is what people look for, though a title says more. */
const IDENTIFIER = /(^|_)(id|ids|key|sku|number|no|ref)$|[a-z](Id|Key|Number|Ref)$/;

/** @param {any} schema Dereferenced. @returns {Field[]} */
export function fieldsOf(schema) {
  /** @type {Map<string, Field>} */
  const found = new Map();
  walk(schema, [], true, found);
  return [...found.values()];
}

/** @param {any} schema @param {string[]} above @param {boolean} certain @param {Map<string, Field>} found */
function walk(schema, above, certain, found) {
  if (schema === null || typeof schema !== "object" || above.length > DEEPEST || found.size > MOST) return;
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  for (const [name, member] of Object.entries(schema.properties ?? {})) {
    const steps = [...above, name];
    const path = steps.join(".");
    const sure = certain && required.has(name);
    const known = found.get(path);
    found.set(path, known === undefined ? field(steps, member, sure) : { ...known, required: known.required || sure });
    walk(member, steps, sure, found);
  }
  for (const part of schema.allOf ?? []) walk(part, above, certain, found);
  for (const part of [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) walk(part, above, false, found);
}

/** @param {string[]} steps @param {any} schema @param {boolean} required @returns {Field} */
function field(steps, schema, required) {
  const given = typeof schema === "object" && schema !== null ? schema : {};
  const values = Array.isArray(given.enum) ? given.enum : "const" in given ? [given.const] : [];
  const types = [given.type ?? values.map((/** @type {unknown} */ value) => typeOf(value))].flat();
  const { description = "", format = "" } = given;
  return { path: steps.join("."), steps, types: [...new Set(types)], description: String(description), values, required, format };
}

/** The fields that an event has, for a stream without a schema. @param {any} event @returns {Field[]} */
export function fieldsOfEvent(event) {
  /** @type {Field[]} */
  const found = [];
  const visit = (/** @type {any} */ value, /** @type {string[]} */ above) => {
    for (const [name, member] of Object.entries(value)) {
      if (found.length >= MOST) return;
      const steps = [...above, name];
      found.push({ path: steps.join("."), steps, types: [typeOf(member)], description: "", values: [], required: false, format: "" });
      if (typeOf(member) === "object" && above.length < DEEPEST) visit(member, steps);
    }
  };
  if (typeOf(event) === "object") visit(event, []);
  return found;
}

/** Whether a dotted path leads to it: who asks the server by paths does not reach a name with dots. @param {Field | undefined} field */
export function isReached(field) {
  return field === undefined || field.steps.every((step) => !step.includes("."));
}

/** Those of several streams together. @param {Field[][]} lists @returns {Field[]} */
export function merge(lists) {
  /** @type {Map<string, Field>} */
  const found = new Map();
  /** In how many lists it is required. @type {Map<string, number>} */
  const certain = new Map();
  for (const list of lists) {
    for (const each of list) {
      const known = found.get(each.path);
      const types = [...new Set([...(known?.types ?? []), ...each.types])];
      const values = [...new Set([...(known?.values ?? []), ...each.values])];
      found.set(each.path, { ...(known ?? each), types, values });
      if (each.required) certain.set(each.path, (certain.get(each.path) ?? 0) + 1);
    }
  }
  return [...found.values()].map((each) => ({ ...each, required: certain.get(each.path) === lists.length }));
}

/** @param {unknown} value */
export function typeOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}

/** The columns that say most, in the order of the schema. @param {Field[]} fields @returns {string[]} */
export function suggested(fields) {
  const leaves = fields.filter(({ types }) => !types.includes("object") && !types.includes("array"));
  const scored = leaves.map((each, order) => ({ each, order, score: score(each) }));
  const best = scored.filter((one) => one.score > 0).sort((one, other) => other.score - one.score || one.order - other.order);
  const chosen = best.slice(0, SUGGESTED);
  return chosen.sort((one, other) => one.order - other.order).map(({ each }) => each.path);
}

/** How much a field says; 0 or less is nothing. @param {Field} field */
export function score({ path, types, values, required, format }) {
  if (path.length > LONGEST_PATH) return 0;
  const name = path.slice(path.lastIndexOf(".") + 1);
  if (path.startsWith("$") || path.startsWith("meta.")) return path === "meta.domain" ? 0.5 : 0;
  let sum = 3 - 1.5 * (path.split(".").length - 1);
  if (required) sum += 1;
  if (values.length > 1) sum += 1;
  if (TELLING.test(name)) sum += 3;
  if (types.includes("boolean")) sum += 0.5;
  if (IDENTIFIER.test(name)) sum -= path.includes(".") || format !== "" ? 2 : 0.5;
  if ((format !== "" && !IDENTIFIER.test(name)) || TECHNICAL.test(name)) sum -= 3.5;
  return sum;
}

/** How wide a column is, as a track of a CSS grid. @param {Field | undefined} field */
export function trackOf(field) {
  if (field === undefined) return "minmax(7rem, 1fr)";
  const { types, values, path } = field;
  const name = Math.min(WIDEST, path.length * 0.5 + 1.6);
  if (types.includes("boolean")) return `${Math.max(3.6, name)}rem`;
  if (types.includes("integer") || types.includes("number")) return `${Math.max(5, name)}rem`;
  if (values.length > 0) {
    const longest = Math.max(...values.map((value) => String(value).length));
    return `${Math.min(WIDEST, Math.max(4, longest * 0.55 + 1.2, name))}rem`;
  }
  const title = /(title|comment|message|summary|subject|description)$/.test(path);
  return title ? "minmax(11rem, 2fr)" : "minmax(7.5rem, 1fr)";
}
