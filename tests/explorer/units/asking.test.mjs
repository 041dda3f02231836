import assert from "node:assert/strict";
import { test } from "node:test";
import { complete } from "../../../gateway/explorer/completion.js";
import { example, recipes } from "../../../gateway/explorer/recipes.js";
import { beginning, startIn } from "../../../gateway/explorer/beginning.js";
import { grouped } from "../../../gateway/explorer/groups.js";
import { readMoment } from "../../../gateway/explorer/moments.js";
import { sorted, turned } from "../../../gateway/explorer/order.js";
import { isWords, searchFilter, wordOf } from "../../../gateway/explorer/search.js";

const field = (path, types, format = "", values = [], steps = path.split(".")) =>
  ({ path, steps, types, format, values, description: "", required: true });
const FIELDS = [
  field("$schema", ["string"]),
  field("meta.id", ["string"]),
  field("title", ["string"]),
  field("n", ["integer"]),
  field("comment", ["string", "null"]),
  field("dt", ["string"], "date-time"),
];

test("words are told from filters", () => {
  for (const words of ["berlin", "berlin wall", "user-page", '"berlin wall"', "Übermut", "St. John's", "C#", "3 pigs", "http://x.org/a"]) {
    assert.equal(isWords(words), true, words);
  }
  const filters = ["", " ", "true", "event", "event.bot", "!event.bot", 'event.wiki == "x"', "size(event.tags)", "a.b", "1 + 2", "wiki = enwiki", "a and b", '""', "event . bot", "n > 5", "a ? b : c", "a in b"];
  for (const filter of filters) assert.equal(isWords(filter), false, filter);
});

test("words become a filter over the texts", () => {
  assert.equal(
    searchFilter("Berlin a.b", FIELDS).filter,
    String.raw`(event.title.matches("(?i)Berlin") || event.comment.matches("(?i)Berlin") || event.meta.id.matches("(?i)Berlin")) && ` +
      String.raw`(event.title.matches("(?i)a\\.b") || event.comment.matches("(?i)a\\.b") || event.meta.id.matches("(?i)a\\.b"))`,
  );
  assert.equal(searchFilter('"berlin wall"', [field("title", ["string"])]).filter, 'event.title.matches("(?i)berlin wall")');
  assert.equal(searchFilter("x", [field("n", ["integer"])]), null);
  assert.equal(searchFilter("x", [field("log.level", ["string"], "", [], ["log.level"])]).filter, 'event["log.level"].matches("(?i)x")');
});

test("times are read as people say them", () => {
  const now = Date.parse("2026-03-04T10:30:00Z"); // a Wednesday
  const said = {
    "": "",
    now: "",
    "1h ago": "1h",
    "10 min": "10m",
    "2 days ago": "2d",
    "250ms": "250ms",
    "an hour ago": "1h",
    today: "2026-03-04T00:00:00Z",
    Yesterday: "2026-03-03T00:00:00Z",
    "5:00": "2026-03-04T05:00:00Z",
    "11:00": "2026-03-03T11:00:00Z",
    "yesterday 5:00": "2026-03-03T05:00:00Z",
    "today at 9:15:30": "2026-03-04T09:15:30Z",
    "5:00 pm": "2026-03-03T17:00:00Z",
    "12:05 am": "2026-03-04T00:05:00Z",
    monday: "2026-03-02T00:00:00Z",
    wednesday: "2026-02-25T00:00:00Z",
    "2026-03-01": "2026-03-01",
    "2026-03-01T05:00:00+01:00": "2026-03-01T05:00:00+01:00",
  };
  for (const [words, since] of Object.entries(said)) assert.equal(readMoment(words, now, false), since, words);
  for (const words of ["5:60", "25:00", "13:00 pm", "soon", "1 fortnight", "2026-13-01", "ago"]) assert.equal(readMoment(words, now, false), null, words);
});

test("times of the day are those of the time zone that is shown", () => {
  const zone = process.env.TZ;
  process.env.TZ = "Europe/Berlin";
  try {
    const now = Date.parse("2026-03-29T10:30:00Z");
    assert.equal(readMoment("today", now, true), "2026-03-28T23:00:00Z");
    // The clocks were changed at 2:00.
    assert.equal(readMoment("5:00", now, true), "2026-03-29T03:00:00Z");
    assert.equal(readMoment("yesterday", now, true), "2026-03-27T23:00:00Z");
    assert.equal(readMoment("2026-01-02 03:04", now, true), "2026-01-02T02:04:00Z");
    assert.equal(readMoment("2026-01-02 03:04", now, false), "2026-01-02 03:04");
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});

/** Counts as the server gives them, of events at these times. */
function server(times) {
  const asked = [];
  const ask = async (since, until, buckets) => {
    asked.push([since, until]);
    const step = Math.max(1000, Math.ceil((until - since) / buckets / 1000) * 1000);
    const from = Math.floor(since / step) * step;
    const counts = new Array(Math.max(1, Math.ceil((until - from) / step))).fill(0);
    for (const time of times) if (time >= since && time < until) counts[Math.floor((time - from) / step)] += 1;
    return { step, from, to: from + counts.length * step, counts, exact: true, scanned: times.length, values: [] };
  };
  return { ask, asked };
}

test("a page begins with the newest, and moves little more", async () => {
  const until = 40 * 86_400_000;
  const busy = Array.from({ length: 100_000 }, (_, index) => until - 1 - index * 5); // 200 a second
  const one = server(busy);
  const start = await beginning(one.ask, { oldest: 0, until, wanted: 50 });
  assert.ok(start.found >= 50 && start.found <= 400, String(start.found));
  assert.equal(one.asked.length, 1);
  const rare = Array.from({ length: 500 }, (_, index) => until - 1 - index * 3_600_000); // one an hour
  const other = server(rare);
  const found = await beginning(other.ask, { oldest: 0, until, wanted: 50 });
  assert.ok(found.found >= 50 && found.found <= 200, String(found.found));
  assert.equal(rare.filter((time) => time >= found.since).length, found.found);
  assert.ok(other.asked.length <= 6);
});

test("a quiet stream is asked for where its last event is, and an empty one ends at once", async () => {
  const until = 100 * 86_400_000;
  const last = 5 * 86_400_000;
  const few = server([last, last - 10]);
  const start = await beginning(few.ask, { oldest: last - 10, until, wanted: 50, newest: last });
  assert.equal(start.found, 2);
  assert.ok(start.whole && start.since <= last - 10);
  assert.ok(few.asked.length <= 2);
  const none = server([]);
  const nothing = await beginning(none.ask, { oldest: until, until, wanted: 50 });
  assert.equal(nothing.found, 0);
  assert.equal(nothing.since, until);
});

test("what bursts in one bucket is looked at more closely", async () => {
  const until = 86_400_000;
  const burst = Array.from({ length: 20_000 }, (_, index) => until - 3_000_000 + index);
  const one = server(burst);
  const start = await beginning(one.ask, { oldest: 0, until, wanted: 50 });
  assert.ok(start.found >= 50 && start.found <= 1100, String(start.found));
  assert.equal(burst.filter((time) => time >= start.since).length, start.found);
  assert.ok(one.asked.length <= 6);
});

test("a start in counts is a bucket's", () => {
  const counts = { step: 10, from: 100, to: 130, counts: [5, 1, 3], exact: true, scanned: 9, values: [] };
  assert.deepEqual(startIn(counts, 4), { since: 110, until: 120, found: 4 });
  assert.equal(startIn(counts, 10), null);
});

test("rows are sorted by a value, and what has none stands at the end", () => {
  const rows = [5, undefined, "b", 12, null, "a10", "a9", true].map((value, seq) => ({ seq, value }));
  const order = (descending) => sorted(rows, (row) => row.value, descending).map((row) => row.value);
  assert.deepEqual(order(false), [5, 12, "a9", "a10", "b", true, null, undefined]);
  assert.deepEqual(order(true), [12, 5, "b", "a10", "a9", true, null, undefined]);
  assert.deepEqual(turned(null, "n"), { path: "n", descending: true });
  assert.deepEqual(turned({ path: "n", descending: true }, "n"), { path: "n", descending: false });
  assert.equal(turned({ path: "n", descending: false }, "n"), null);
});

test("many streams are grouped by how their names begin", () => {
  assert.deepEqual([...grouped(["shop.order", "shop.item", "wiki.change", "x"])], [["shop", ["shop.order", "shop.item"]], ["", ["wiki.change", "x"]]]);
  const many = Array.from({ length: 60 }, (_, index) => `mediawiki.${["page", "user"][index % 2]}.n${index}`);
  assert.deepEqual([...grouped(many).keys()], ["mediawiki.page", "mediawiki.user"]);
});

test("a condition made of a word is told by its word", () => {
  const { filter } = searchFilter("a.b", FIELDS);
  assert.equal(wordOf(filter), "a.b");
  assert.equal(wordOf('event.title.matches("(?i)x")'), "x");
  for (const other of ["event.bot", 'event.title.matches("x")', 'event.title.matches("(?i)x") || event.bot', ""]) assert.equal(wordOf(other), null);
});

test("examples are of what the stream has", () => {
  const fields = [...FIELDS, field("wiki", ["string"]), field("bot", ["boolean"]), field("length", ["object"]), field("length.old", ["integer"]), field("length.new", ["integer"])];
  const seen = (path) => (path === "wiki" ? ["enwiki", "dewiki"] : []);
  assert.equal(example(fields, seen), 'event.wiki == "enwiki" && !event.bot');
  assert.equal(example([], seen), "");
  const found = recipes(fields, seen).map(({ filter }) => filter);
  assert.ok(found.includes('event.wiki in ["enwiki", "dewiki"]'));
  assert.ok(found.includes("has(event.length) && event.length.new - event.length.old > 500"));
  const words = complete("", 0, fields, seen);
  const wiki = words.suggestions.find(({ label }) => label === "event.wiki");
  assert.equal(wiki.note, '"enwiki", "dewiki"');
  assert.equal(complete("wi", 2, fields, seen).suggestions[0].insert, "event.wiki");
  // A name with dots is no way through members.
  const dotted = field("log.level", ["string"], "", ["low", "high"], ["log.level"]);
  assert.equal(example([dotted], seen), "");
  assert.deepEqual(complete("log", 3, [dotted], seen).suggestions, []);
  assert.deepEqual(complete("event.", 6, [dotted], seen).suggestions, []);
  assert.deepEqual(complete("event.log.", 10, [field("log", ["object"]), dotted], seen).suggestions, []);
});
