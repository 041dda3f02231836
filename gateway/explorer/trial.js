/** "Derive a stream": a declaration that is tried on what has just come. Loaded when it is opened. */
import { reasonOf, tryDeclaration } from "./api.js";
import { copy } from "./clipboard.js";
import { byId, h, say } from "./dom.js";
import { brief, json, printable } from "./text.js";

/** @typedef {{line: number, text: string}} Placed */

const LONGEST_VALUE = 2000; // characters of a row that are shown

/** @type {AbortController | null} */
let running = null;
/** What was proposed last: text that nobody has changed is replaced. */
let proposed = "";

/** Open it. @param {string} source The stream that is picked. */
export function openTrial(source) {
  const text = byId("declaration");
  if (text.value === proposed) text.value = proposed = template(source);
  byId("trial").showModal();
  text.focus();
}

/** @param {string} source */
function template(source) {
  return `my.stream:
  schema_title: my/stream
  derive:
    from: [${source || "a.stream"}]
    window: {every: 10s}
    late: 5s
    select:
      events: count()
`;
}

async function run() {
  running?.abort();
  const stop = (running = new AbortController());
  const text = byId("declaration").value;
  byId("trial-run").disabled = true;
  tell("running", "Running …");
  byId("trial-found").replaceChildren();
  try {
    const found = await tryDeclaration(text, byId("trial-last").value, stop.signal);
    if (stop === running) show(found);
  } catch (error) {
    if (stop !== running) return;
    // Closed while it ran: nothing is wrong then.
    if (stop.signal.aborted) tell("", "");
    else tell("bad", reasonOf(error));
  } finally {
    if (stop === running) byId("trial-run").disabled = false;
  }
}

/** @param {string} kind @param {string} words */
function tell(kind, words) {
  byId("trial-answer").dataset.kind = kind;
  say(byId("trial-answer"), words);
}

/** @param {any} found */
function show(found) {
  /** @type {Placed[]} */
  const mistakes = found.mistakes ?? [];
  const parts = [notes("Mistakes", mistakes), notes("Warnings", found.warnings ?? [])];
  if (mistakes.length > 0) {
    tell("bad", mistakes.length === 1 ? "There is a mistake" : `There are ${mistakes.length} mistakes`);
    mark(mistakes[0].line);
  } else if (found.counts === undefined) {
    tell("bad", found.stopped ?? "It ended without a result");
  } else {
    const { rows, records, late, errors, waiting } = found.counts;
    tell(found.stopped === null ? "good" : "bad", `${count(rows, "row")} of ${count(records, "record")}${found.stopped === null ? "" : `; ${found.stopped}`}`);
    parts.push(figures({ late, errors, waiting }, found), rowsOf(found.rows, rows), refusedOf(found.refused, late + errors));
  }
  if (found.schema) {
    const schema = h("details", null, h("summary", null, "Schema of the rows"), h("pre", { tabindex: 0 }, h("code", null, found.schema)));
    parts.push(schema);
  }
  byId("trial-found").replaceChildren(...parts.filter((part) => part !== null));
}

/** @param {{late: number, errors: number, waiting: number}} counts @param {any} found */
function figures({ late, errors, waiting }, found) {
  const words = [`${late.toLocaleString("en")} late`, `${errors.toLocaleString("en")} invalid`];
  if (waiting > 0) words.push(`${waiting.toLocaleString("en")} still open`);
  if (found.from !== null) words.push(`records from ${found.from} to ${found.to}`);
  if (!found.complete) words.push("not all events of the time were read");
  return h("p.count", null, words.join(" · "));
}

/** @param {{time: string, key: string | null, value: unknown}[]} rows @param {number} all */
function rowsOf(rows, all) {
  if (rows.length === 0) return null;
  const list = rows.map(({ time, key, value }) =>
    h(
      "li",
      null,
      h("span.count", null, `${time}${key === null ? "" : ` · ${printable(key)}`}`),
      h("code", null, value === null ? "deleted" : brief(json(without(value)), LONGEST_VALUE)),
    ),
  );
  const heading = rows.length < all ? `The newest ${rows.length} rows` : "Rows";
  return h("section", null, h("h3", null, heading), h("ol.rows", { tabindex: 0, "aria-label": heading }, ...list));
}

/** Without what every row has. @param {any} value */
function without(value) {
  const { $schema: _, meta: __, ...rest } = value;
  return rest;
}

/** @param {{kind: string, reason: string, place: {topic: string, partition: number, offset: number} | null}[]} refused @param {number} all */
function refusedOf(refused, all) {
  if (refused.length === 0) return null;
  const list = refused.map(({ kind, reason, place }) =>
    h("li", null, h("strong", null, kind), ` ${printable(reason)}`, place && h("span.count", null, ` ${place.topic}, partition ${place.partition}, offset ${place.offset}`)),
  );
  return h("details", null, h("summary", null, `Refused events: ${refused.length < all ? `the newest ${refused.length} of ` : ""}${all}`), h("ul.refused", null, ...list));
}

/** @param {string} heading @param {Placed[]} found */
function notes(heading, found) {
  if (found.length === 0) return null;
  const list = found.map(({ line, text }) => {
    const place = h("button.quiet", { type: "button", onclick: () => mark(line) }, `line ${line}`);
    return h("li", null, place, h("span", null, printable(text)));
  });
  return h(`section.${heading.toLowerCase()}`, null, h("h3", null, heading), h("ul.notes", null, ...list));
}

/** Select a line of the declaration. @param {number} line */
function mark(line) {
  const text = byId("declaration");
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((/** @type {number} */ sum, /** @type {string} */ each) => sum + each.length + 1, 0);
  text.focus();
  text.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
}

/** @param {number} number @param {string} word */
function count(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

byId("trial-form").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  run();
});
byId("trial-copy").addEventListener("click", () => copy(byId("declaration").value, byId("trial-copy")));
byId("declaration").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  run();
});
byId("trial-close").addEventListener("click", () => byId("trial").close());
byId("trial").addEventListener("close", () => running?.abort());
