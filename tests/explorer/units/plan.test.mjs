import assert from "node:assert/strict";
import { test } from "node:test";
import { tableOf } from "../../../gateway/explorer/csv.js";
import { Histogram } from "../../../gateway/explorer/histogram.js";
import { candidates } from "../../../gateway/explorer/members.js";
import { planned } from "../../../gateway/explorer/plan.js";
import { suggested } from "../../../gateway/explorer/schema.js";
import { snippetsOf } from "../../../gateway/explorer/snippets.js";
import { EventStore } from "../../../gateway/explorer/store.js";

const NOW = Date.parse("2026-03-04T10:30:00.500Z");
const KNOWN = { now: NOW, rate: 20, oldest: NOW - 86_400_000, newest: NOW - 100, bars: 100 };

/** Counts of a stream with so many events a second. */
function steady(rate, exact = true) {
  const asked = [];
  const ask = async (since, until, buckets) => {
    asked.push({ since, until });
    const step = Math.max(1000, Math.ceil((until - since) / buckets / 1000) * 1000);
    const from = Math.floor(since / step) * step;
    const counts = new Array(Math.ceil((until - from) / step)).fill((rate * step) / 1000);
    return { step, from, to: until, counts, exact, scanned: 100, values: [] };
  };
  return { ask, asked };
}

test("a long range is counted, and only its newest part is moved", async () => {
  const { ask } = steady(20);
  const plan = await planned({ since: "1h", until: "", speed: 0 }, KNOWN, ask);
  assert.ok(plan.total > 70_000);
  assert.equal(plan.shown, false);
  const moved = ((NOW - Number(plan.since)) / 1000) * 20;
  assert.ok(moved >= 300 && moved <= 1300, String(moved));
  // What is estimated moves no more.
  const estimated = await planned({ since: "1h", until: "", speed: 0 }, KNOWN, steady(20, false).ask);
  assert.equal(estimated.since, plan.since);
});

test("a short range is moved as a whole, from the edge of a bar", async () => {
  const plan = await planned({ since: "30s", until: "", speed: 0 }, KNOWN, steady(20).ask);
  assert.equal(plan.shown, true);
  assert.equal(Number(plan.since) % 1000, 0);
  assert.equal(plan.from, Number(plan.since));
  const exact = await planned({ since: "2026-03-04T10:29:50.250Z", until: "", speed: 0 }, KNOWN, steady(20).ask);
  assert.equal(exact.since, "2026-03-04T10:29:50.250Z");
});

test("what is played is moved from its start, and a range of the future as it was asked for", async () => {
  const played = await planned({ since: "1h", until: "", speed: 10 }, KNOWN, steady(20).ask);
  assert.ok(Number(played.since) < NOW - 3_500_000);
  const later = await planned({ since: "2027-01-01", until: "", speed: 0 }, KNOWN, steady(20).ask);
  assert.deepEqual([later.since, later.counts], ["2027-01-01", null]);
});

test("without an answer it begins by the rate", async () => {
  const plan = await planned({ since: "", until: "", speed: 0 }, KNOWN, async () => Promise.reject(new Error("429")));
  assert.deepEqual([plan.since, plan.counts], ["3s", null]);
  const empty = await planned({ since: "", until: "", speed: 0 }, { ...KNOWN, oldest: null, newest: null }, steady(1).ask);
  assert.equal(empty.since, "10m");
});

test("of a stream whose first event has just come nothing is counted", async () => {
  const { ask, asked } = steady(1);
  const plan = await planned({ since: "", until: "", speed: 0 }, { ...KNOWN, oldest: NOW - 300, newest: NOW - 300 }, ask);
  assert.deepEqual([plan.since, plan.counts, asked], ["10m", null, []]);
});

test("an end without a start shows the newest events before it, and never asks for a range that is refused", async () => {
  const until = String(NOW - 60_000);
  const request = { since: "", until, speed: 0 };
  const { ask, asked } = steady(20);
  const plan = await planned(request, KNOWN, ask);
  assert.ok(asked.every((each) => each.until <= Number(until)));
  assert.equal(plan.until, Number(until));
  const refused = async () => Promise.reject(new Error("429"));
  const plans = [
    plan,
    await planned(request, KNOWN, refused),
    await planned(request, KNOWN, steady(0).ask),
    await planned(request, { ...KNOWN, oldest: null, newest: null }, ask),
    await planned(request, { ...KNOWN, oldest: NOW - 30_000 }, ask),
  ];
  for (const { since, from } of plans) assert.ok(Number(since) < Number(until) && from <= Number(until), since);
  // One that is still to come is as none.
  const later = await planned({ ...request, until: String(NOW + 60_000) }, KNOWN, refused);
  assert.equal(later.since, "3s");
});

test("nothing is counted twice in a histogram", () => {
  const histogram = new Histogram();
  histogram.load({ step: 10_000, from: 100_000, to: 130_000, counts: [3, 0, 2], exact: true, scanned: 5, values: [] }, 130_000);
  assert.equal(histogram.add(new Map([[125, 2], [130, 4]])), 4);
  const { width, counts } = histogram.between(100, 140, 4);
  assert.deepEqual([width, counts], [10, [3, 0, 2, 4]]);
  // Of bars of ten seconds none of fifteen are made.
  assert.equal(histogram.between(100, 140, 3).width, 30);
});

test("older events stand before the others, and their numbers go on", () => {
  const store = new EventStore();
  const row = (seq) => ({ seq, time: seq, topic: "t", partition: 0, offset: seq, text: `{"n":${seq}}` });
  store.add([row(1), row(2)], 2);
  store.take();
  store.prepend([row(0), row(0), row(0)]);
  assert.deepEqual(store.shown.map(({ seq }) => seq), [-2, -1, 0, 1, 2]);
});

test("a table keeps texts from being formulas, and quotes", () => {
  const rows = [{ time: NOW, text: '{"a":"=1+1","b":"x\\"y, z","c":{"d":[1]},"n":-5}' }];
  const lines = tableOf(rows, ["a", "b", "c", "n", "gone"]);
  assert.deepEqual(lines, ["time,a,b,c,n,gone\r\n", `2026-03-04T10:30:00.500Z,'=1+1,"x""y, z","{""d"":[1]}",-5,\r\n`]);
});

const field = (path, types, more = {}) => ({ path, steps: path.split("."), types, format: "", values: [], description: "", required: true, ...more });

test("members with few values are found, and no others", () => {
  const fields = [field("wiki", ["string"]), field("title", ["string"]), field("bot", ["boolean"]), field("url", ["string"]), field("one", ["string"])];
  const events = Array.from({ length: 100 }, (_, n) => ({ wiki: `w${n % 4}`, title: `t${n}`, bot: n % 3 === 0, url: `u${n % 2}`, one: "x" }));
  assert.deepEqual(candidates(fields, events), ["wiki", "bot"]);
  // The server counts by paths, which a name with dots is not.
  const levels = Array.from({ length: 100 }, (_, n) => ({ "log.level": `l${n % 4}` }));
  assert.deepEqual(candidates([field("log.level", ["string"], { steps: ["log.level"] })], levels), []);
  assert.deepEqual(candidates([field("log.level", ["string"])], levels), ["log.level"]);
});

test("what few events have counts among these alone", () => {
  const fields = [field("log_id", ["integer"]), field("log_type", ["string"])];
  const events = Array.from({ length: 200 }, (_, n) => (n % 10 === 0 ? { log_id: n, log_type: n % 20 === 0 ? "move" : "delete" } : {}));
  assert.deepEqual(candidates(fields, events), ["log_type"]);
});

test("ids are among the columns where little else is there", () => {
  const orders = [field("order_id", ["string"]), field("customerId", ["string"]), field("amount", ["number"]), field("placed", ["string"], { format: "date-time" })];
  assert.deepEqual(suggested(orders), ["order_id", "customerId", "amount", "placed"]);
});

test("the table of a spreadsheet has an end, and every program its address", () => {
  const url = `http://h:1/v2/stream/a?filter=${encodeURIComponent('event.a == "x"')}`;
  const snippets = new Map(snippetsOf(url).map(({ name, text }) => [name, text]));
  assert.ok(snippets.get("CSV").includes("&since=1h&until=1s"));
  assert.ok(!snippetsOf(`${url}&since=2h&until=1h`).find(({ name }) => name === "CSV").text.includes("since=1h"));
  const ended = snippetsOf(`${url}&until=2h`).find(({ name }) => name === "CSV").text;
  const start = Date.parse(/since=([^&']+)/.exec(ended)[1]);
  assert.ok(start < Date.now() - 10_700_000 && ended.includes("&until=2h"), ended);
  for (const name of ["JavaScript", "Node", "Python", "httpx", "Go", "Java", ".NET", "R"]) assert.ok(snippets.get(name).includes(JSON.stringify(url)), name);
});
