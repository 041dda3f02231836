import assert from "node:assert/strict";
import { test } from "node:test";
import { and, condition, conjuncts, expressionOf, placeOf, tokens, without } from "../../../gateway/explorer/cel.js";
import { complete } from "../../../gateway/explorer/completion.js";
import { Exact } from "../../../gateway/explorer/json.js";

test("conditions of values", () => {
  assert.equal(condition(["wiki"], 'a"b\n', "=="), String.raw`event.wiki == "a\"b\n"`);
  assert.equal(condition(["$schema"], "/x/1", "=="), 'event["$schema"] == "/x/1"');
  assert.equal(condition(["a", 0, "in"], null, "=="), 'event.a[0]["in"] == null');
  assert.equal(condition(["n"], new Exact("12345678901234567890"), ">="), "event.n >= 12345678901234567890");
  assert.equal(condition(["length", "new"], 5, "!=", true), "(!has(event.length) || event.length.new != 5)");
  assert.equal(condition(["x"], undefined, "=="), "!has(event.x)");
  assert.equal(expressionOf([]), "event");
});

test("a filter is taken apart at its top", () => {
  const filter = 'event.a == "x && y" && (event.b || event.c) && !has(event.d)';
  assert.deepEqual(conjuncts(filter), ['event.a == "x && y"', "(event.b || event.c)", "!has(event.d)"]);
  assert.deepEqual(conjuncts("a || b && c"), ["a || b && c"]);
  assert.deepEqual(conjuncts(" "), []);
  assert.equal(without(filter, 1), 'event.a == "x && y" && !has(event.d)');
});

test("a condition more", () => {
  assert.equal(and("", "a"), "a");
  assert.equal(and("a || b", "c"), "(a || b) && c");
  assert.equal(and('event.w == "x"', 'event.w == "x"'), 'event.w == "x"');
  assert.equal(and('event.w == "x" && b', 'event.w != "x"'), 'b && event.w != "x"');
});

test("colours lose no character", () => {
  for (const text of ['event.a == "é\\"x" && !b ? 1.5 : \'q\'', '"not closed', "a.\n b 🌊 ~"]) {
    assert.equal(tokens(text).map((token) => token.text).join(""), text);
  }
});

test("the place of an error, in characters that the server counts otherwise", () => {
  assert.deepEqual(placeOf("`filter`: line 2, column 3: no", "a\n🌊 x"), { at: 5, said: "no" });
  assert.deepEqual(placeOf("`filter`: line 1, column 9: ends", "event."), { at: 6, said: "ends" });
  assert.equal(placeOf("no such stream", "x"), null);
});

const FIELDS = [
  { path: "wiki", types: ["string"], description: "", values: [], required: true, format: "" },
  { path: "type", types: ["string"], description: "", values: ["edit", "new"], required: true, format: "" },
  { path: "bot", types: ["boolean"], description: "", values: [], required: true, format: "" },
  { path: "length", types: ["object"], description: "", values: [], required: false, format: "" },
  { path: "length.new", types: ["integer"], description: "", values: [], required: false, format: "" },
  { path: "length.in", types: ["integer"], description: "", values: [], required: false, format: "" },
  { path: "tags", types: ["array"], description: "", values: [], required: false, format: "" },
];
const inserts = (text) => complete(text, text.length, FIELDS, () => ["enwiki", "dewiki"])?.suggestions.map((each) => each.insert) ?? [];

test("completion", () => {
  assert.deepEqual(inserts("event.wi"), ["wiki"]);
  assert.deepEqual(inserts("event.length."), ["new"]);
  assert.deepEqual(inserts("event.tags.exists"), ["exists(x, )", "exists_one(x, )"]);
  assert.deepEqual(inserts("event.wiki."), ['startsWith("")', 'endsWith("")', 'contains("")', 'matches("")']);
  assert.deepEqual(inserts("event.type == "), ['"edit"', '"new"', '"enwiki"', '"dewiki"']);
  assert.deepEqual(inserts('event.wiki == "de'), ['"dewiki"']);
  assert.deepEqual(inserts("event.bot != "), ["true", "false"]);
  assert.deepEqual(inserts('event.wiki in ["enwiki", '), ['"enwiki"', '"dewiki"']);
  assert.deepEqual(inserts('event.wiki == "enwiki" && ev'), ["event"]);
  assert.deepEqual(inserts('event.wiki == "enwiki" '), []);
  assert.deepEqual(inserts("event.wiki"), []);
  assert.ok(inserts("").includes("has()"));
});
