import assert from "node:assert/strict";
import { test } from "node:test";
import { and, condition, conjuncts, expressionOf, isWritable, literal, placeOf, tokens, without } from "../../../gateway/explorer/cel.js";
import { complete } from "../../../gateway/explorer/completion.js";
import { Exact } from "../../../gateway/explorer/json.js";

test("a value that hides or turns around text is written so that it is seen", () => {
  assert.equal(literal("a\u202eb\u00ad\u200b\ufeffé"), String.raw`"a\u202eb\u00ad\u200b\ufeffé"`);
});

test("conditions of values", () => {
  assert.equal(condition(["wiki"], 'a"b\n', "=="), String.raw`event.wiki == "a\"b\n"`);
  assert.equal(condition(["$schema"], "/x/1", "=="), 'event["$schema"] == "/x/1"');
  assert.equal(condition(["a", 0, "in"], null, "=="), 'event.a[0]["in"] == null');
  for (const [source, written] of [
    ["9223372036854775807", "9223372036854775807"],
    ["-9223372036854775808", "-9223372036854775808"],
    ["12345678901234567890", "12345678901234567890u"],
    ["18446744073709551616", "18446744073709551616.0"],
    ["-9223372036854775809", "-9223372036854775809.0"],
    ["1e400", "1e400"],
  ]) {
    assert.equal(condition(["n"], new Exact(source), ">="), `event.n >= ${written}`);
  }
  assert.deepEqual(["a", "\ud83d\ude00", "\ud83d", Infinity, 1, null, false].map(isWritable), [true, true, false, false, true, true, true]);
  assert.equal(expressionOf([]), "event");
});

test("what is said of events without a member fails on none", () => {
  const inside = "has(event.length) && type(event.length) == map";
  assert.equal(condition(["length", "new"], 5, "!="), `!(${inside} && has(event.length.new) && event.length.new == 5)`);
  assert.equal(condition(["length", "new"], undefined, "=="), `!(${inside} && has(event.length.new))`);
  assert.equal(condition(["length", "new"], undefined, "!="), `${inside} && has(event.length.new)`);
  assert.equal(condition(["x"], undefined, "=="), "!has(event.x)");
  assert.equal(condition(["a-b"], undefined, "=="), '!("a-b" in event)');
  assert.equal(condition(["in"], undefined, "!="), '("in" in event)');
  const list = "has(event.tags) && type(event.tags) == list && size(event.tags) > 1";
  assert.equal(condition(["tags", 1], "x", "!="), `!(${list} && event.tags[1] == "x")`);
  // What the schema says of every event is not asked.
  const known = (path) => ({ length: { required: true, types: ["object"] }, "length.new": { required: true, types: ["integer"] } })[path.join(".")];
  assert.equal(condition(["length", "new"], 5, "!=", known), "event.length.new != 5");
  assert.equal(condition(["length", "old"], 5, "!=", known), "!(has(event.length.old) && event.length.old == 5)");
  // The schema errs: it is missing.
  assert.equal(condition(["length", "new"], undefined, "==", known), "!has(event.length.new)");
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
  const [only, not] = ["==", "!="].map((operator) => condition(["a", "b"], "x == y", operator));
  assert.equal(and(`${only} && b`, not, only), `b && ${not}`);
  assert.equal(and(`b && ${not}`, only, not), `b && ${only}`);
});

test("a condition goes before a comment", () => {
  assert.equal(and("a // why", "b"), "a && b // why");
  assert.equal(and("a || b // why", "c"), "(a || b) && c // why");
  assert.equal(and("a // one\n&& b // two", "c"), "a // one\n&& b && c // two");
  assert.equal(and("// nothing yet", "c"), "c // nothing yet");
  assert.equal(and("// first\na", "c"), "// first\na && c");
  assert.equal(and('event.url == "http://x"', "c"), 'event.url == "http://x" && c');
  assert.equal(and("a // why", "a"), "a // why");
  assert.deepEqual(conjuncts("a // b && c (\n&& d"), ["a // b && c (", "d"]);
  assert.equal(without("a // one\n&& b && c", 1), "a // one\n&& c");
});

test("texts of all kinds are one token each", () => {
  for (const text of [String.raw`r"\"`, String.raw`'''a"b\''''`, '"""a\n"b"""', String.raw`br'\'`, "`a-b`", String.raw`"a\"b"`]) {
    assert.deepEqual(tokens(`${text} && x`).map((token) => token.text), [text, " ", "&&", " ", "x"]);
  }
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
  { path: "wiki", steps: ["wiki"], types: ["string"], description: "", values: [], required: true, format: "" },
  { path: "type", steps: ["type"], types: ["string"], description: "", values: ["edit", "new"], required: true, format: "" },
  { path: "bot", steps: ["bot"], types: ["boolean"], description: "", values: [], required: true, format: "" },
  { path: "length", steps: ["length"], types: ["object"], description: "", values: [], required: false, format: "" },
  { path: "length.new", steps: ["length", "new"], types: ["integer"], description: "", values: [], required: false, format: "" },
  { path: "length.in", steps: ["length", "in"], types: ["integer"], description: "", values: [], required: false, format: "" },
  { path: "tags", steps: ["tags"], types: ["array"], description: "", values: [], required: false, format: "" },
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
