import assert from "node:assert/strict";
import { test } from "node:test";
import { barWidth, Histogram } from "../../../gateway/explorer/histogram.js";
import { at, parse } from "../../../gateway/explorer/json.js";
import { fieldsOf, fieldsOfEvent, isReached, merge, suggested, trackOf } from "../../../gateway/explorer/schema.js";
import { EventStore, MOST_EVENTS } from "../../../gateway/explorer/store.js";
import { Windowing } from "../../../gateway/explorer/windowing.js";

const rows = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => ({ seq: from + index, text: `{"n":${from + index}}` }));

test("the newest events are kept, and those that are looked at stay", () => {
  const store = new EventStore();
  store.add(rows(1, 6000), 6000);
  assert.equal(store.take(), 6000);
  assert.deepEqual([store.shown.length, store.row(0).seq, store.row(4999).seq], [MOST_EVENTS, 6000, 1001]);
  store.held = true;
  store.add(rows(6001, 12_000), 6000);
  assert.deepEqual([store.row(0).seq, store.waiting.length, store.missed], [6000, MOST_EVENTS, 1000]);
  store.held = false;
  store.take();
  assert.deepEqual([store.row(0).seq, store.shown.length, store.total], [12_000, MOST_EVENTS, 12_000]);
});

test("few large events are as much as many small ones", () => {
  const store = new EventStore();
  for (let seq = 1; seq <= 50; seq += 1) {
    store.add([{ seq, text: "x".repeat(1_000_000) }], 1);
    store.take();
  }
  assert.ok(store.shown.length <= 32 && store.row(0).seq === 50);
});

test("an event is found by its number where large ones were given up while they waited", () => {
  const store = new EventStore();
  store.add(rows(1, 100), 100);
  store.take();
  store.held = true;
  for (let seq = 101; seq <= 500; seq += 1) store.add([{ seq, text: "x".repeat(100_000) }], 1);
  assert.ok(store.missed > 0);
  store.held = false;
  store.take();
  assert.ok(store.shown[0].seq === 1 || store.shown.length > 1);
  for (const { seq } of store.shown) assert.equal(store.row(store.indexOf(seq)).seq, seq);
  for (const seq of [0, 101, 501]) assert.equal(store.indexOf(seq), -1);
});

test("the rows in view, with some unfolded", () => {
  const list = new Windowing(30);
  list.count = 1000;
  list.unfolded = [{ index: 2, height: 300 }, { index: 10, height: 100 }];
  assert.equal(list.height, 1000 * 30 + 400);
  for (let index = 0; index < 1000; index += 1) assert.equal(list.indexAt(list.top(index)), index);
  assert.equal(list.indexAt(list.top(2) + 200), 2);
  const { first, end } = list.range(list.top(500), 300, 4);
  assert.deepEqual([first, end], [496, 515]);
  list.count = 0;
  assert.deepEqual(list.range(0, 300), { first: 0, end: 0 });
});

test("bars", () => {
  const histogram = new Histogram();
  histogram.add([[100, 3], [101, 1], [160, 5]]);
  const { width, start, counts } = histogram.between(100, 170, 10);
  assert.deepEqual([width, start, counts.reduce((one, other) => one + other)], [10, 100, 9]);
  assert.equal(counts[6], 5);
  assert.equal(barWidth(86_400 * 365, 100), 604_800);
  histogram.clear();
  histogram.add(Array.from({ length: 50_000 }, (_, second) => [second, 1]));
  assert.equal(histogram.between(0, 50_000, 50_000).counts.reduce((one, other) => one + other), 50_000);
});

test("numbers keep their digits", () => {
  // Where the engine tells the source of a number; the others round, as they always do.
  const told = JSON.parse("1", (_, value, context) => context?.source ?? value) === "1";
  assert.equal(String(parse('{"n":12345678901234567890}').n), told ? "12345678901234567890" : "12345678901234567000");
  for (const number of ["1e400", "-1E+400", "1e-400", "0.12345678901234567", "123456789012345.678"]) {
    const { n } = parse(`{"n":${number}}`);
    assert.equal(String(n), told ? number : String(Number(number)));
    if (told) assert.equal(JSON.stringify({ n }), `{"n":${number}}`);
  }
  assert.equal(parse('{"n":1.5}').n, 1.5);
  assert.equal(at({ a: { b: 1 }, "a.b": 2 }, "a.b"), 2);
  assert.equal(at({ a: { b: 1 } }, "a.b"), 1);
  assert.equal(at({}, "constructor"), undefined);
});

test("fields of a schema", () => {
  const schema = {
    required: ["title", "user", "id"],
    properties: {
      id: { type: "integer" },
      title: { type: "string" },
      user: { type: "string" },
      kind: { enum: ["a", "b"] },
      link: { type: "string", format: "uri" },
      length: { type: "object", properties: { new: { type: ["integer", "null"] } } },
    },
    allOf: [{ required: ["meta"], properties: { meta: { type: "object", properties: { dt: { type: "string" } } } } }],
  };
  const fields = fieldsOf(schema);
  assert.deepEqual(fields.map(({ path }) => path), ["id", "title", "user", "kind", "link", "length", "length.new", "meta", "meta.dt"]);
  assert.deepEqual(suggested(fields), ["id", "title", "user", "kind", "length.new"]);
  assert.deepEqual(fieldsOfEvent({ log: { level: 1 }, "log.name": 2 }).map(({ steps }) => steps), [["log"], ["log", "level"], ["log.name"]]);
  const named = { properties: { "log.name": { type: "string" }, log: { properties: { level: { type: "string" } } } } };
  assert.deepEqual(fieldsOf(named).map(isReached), [false, true, true]);
  assert.deepEqual(merge([fields, fieldsOfEvent({ title: 1 })]).find(({ path }) => path === "title")?.types, ["string", "number"]);
  const certain = (...lists) => merge(lists).filter(({ required }) => required).map(({ path }) => path);
  assert.deepEqual([certain(fields), certain(fields, fields), certain(fields, fieldsOfEvent({ title: "" }))].map((paths) => paths.includes("title")), [true, true, false]);
});

test("names that strangers made up stay out of the heads, or have little room there", () => {
  const fields = fieldsOfEvent({ [`is_${"x".repeat(100_000)}`]: true, ["y".repeat(70)]: 1, title: "" });
  assert.deepEqual(suggested(fields), ["y".repeat(70), "title"]);
  for (const each of fields) assert.ok(Number.parseFloat(trackOf(each).replace("minmax(", "")) <= 12);
});

test("the fields of sixty streams are merged at once", () => {
  const lists = Array.from({ length: 60 }, (_, list) => Array.from({ length: 500 }, (__, index) => ({
    path: `m${list % 3}.${index}`, steps: [`m${list % 3}`, `${index}`], types: ["string"], description: "", values: [], required: true, format: "",
  })));
  // In the time of a core: a busy machine may give it none for a while.
  const began = process.cpuUsage();
  assert.equal(merge(lists).length, 1500);
  assert.ok(process.cpuUsage(began).user < 1_000_000);
});
