import assert from "node:assert/strict";
import { test } from "node:test";
import { differencesOf } from "../../../gateway/explorer/difference.js";
import { parse } from "../../../gateway/explorer/json.js";

/** @param {unknown} before @param {unknown} after */
const told = (before, after) => differencesOf(before, after).found.map(({ path, kind }) => `${kind} ${path}`);

test("members are compared one by one, in their order", () => {
  const before = { title: "a", length: { old: 1, new: 2 }, gone: null, tags: ["x", "y"], same: { deep: [1, { a: 1 }] } };
  const after = { same: { deep: [1, { a: 1 }] }, title: "b", length: { old: 1, new: 3 }, tags: ["x", "z", "y"], come: false };
  assert.deepEqual(told(before, after), [
    "changed title",
    "changed length.new",
    "removed gone",
    "changed tags[1]",
    "added tags[2]",
    "added come",
  ]);
  assert.deepEqual(told(after, after), []);
});

test("what is of another kind is changed as a whole", () => {
  for (const [before, after] of [[{ a: 1 }, [1]], [{ a: 1 }, null], [1, "1"], [null, {}], [0, false]]) {
    assert.deepEqual(differencesOf({ v: before }, { v: after }).found, [{ path: "v", kind: "changed", before, after }]);
  }
  assert.deepEqual(told([1], { 0: 1 }), ["changed "]);
});

test("an empty value, an absent one and null are three", () => {
  assert.deepEqual(told({ a: null }, {}), ["removed a"]);
  assert.deepEqual(told({ a: null }, { a: "" }), ["changed a"]);
  assert.deepEqual(told({}, {}), []);
});

test("integers are compared by their digits", () => {
  const value = (/** @type {string} */ digits) => parse(`{"id": ${digits}}`);
  assert.deepEqual(told(value("9007199254740993"), value("9007199254740993")), []);
  if ("rawJSON" in JSON) assert.deepEqual(told(value("9007199254740993"), value("9007199254740992")), ["changed id"]);
});

test("names that are no words are written so that they can be told apart", () => {
  const named = { "a.b": 1, "": 1, "größe": 1, "x\u202ey": 1, a: { b: 1 }, "__proto__x": 1 };
  assert.deepEqual(told({}, named), ['added ["a.b"]', 'added [""]', "added größe", 'added ["x\u202ey"]', "added a", "added __proto__x"]);
  assert.deepEqual(told(parse('{"__proto__": 1}'), {}), ["removed __proto__"]);
  assert.deepEqual(told({ constructor: 1 }, { toString: 1 }), ["removed constructor", "added toString"]);
});

test("differences are bounded, and so is depth", () => {
  const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`m${index}`, index]));
  const { found, more } = differencesOf({}, many, 5);
  assert.deepEqual([found.length, more], [5, true]);
  assert.equal(differencesOf({}, { a: 1 }, 1).more, false);
  const deep = (/** @type {string} */ leaf) => JSON.parse(`${'{"a":'.repeat(5000)}${leaf}${"}".repeat(5000)}`);
  assert.deepEqual(told(deep("1"), deep("2")), [`changed ${Array(20).fill("a").join(".")}`]);
});
