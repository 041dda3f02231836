import assert from "node:assert/strict";
import { test } from "node:test";
import { generationsOf } from "../../../gateway/explorer/generations.js";

/** @param {Record<string, string[]>} made Streams with what they are made of. */
function streams(made) {
  return Object.entries(made).map(([name, sources]) => ({
    name,
    derived_from: sources,
    derived_into: Object.keys(made).filter((other) => made[other].includes(name)),
  }));
}

/** @param {Record<string, string[]>} made @param {...string} picked */
function names(made, ...picked) {
  return generationsOf(streams(made), picked).map((generation) => generation.map(({ name }) => name));
}

const MADE = { b: ["a"], a: [], c: ["a"], d: ["b", "c", "e"], e: [], other: [], f: ["d"] };

test("a stream stands behind all that it is made of", () => {
  assert.deepEqual(names(MADE, "d"), [["a", "e"], ["b", "c"], ["d"], ["f"]]);
});

test("what is made of a stream follows, and its sisters do not", () => {
  assert.deepEqual(names(MADE, "b"), [["a"], ["b"], ["d"], ["f"]]);
  assert.deepEqual(names(MADE, "a"), [["a"], ["b", "c"], ["d"], ["f"]]);
});

test("a stream that has to do with no other stands alone, and one that is not there nowhere", () => {
  assert.deepEqual(names(MADE, "other"), [["other"]]);
  assert.deepEqual(names(MADE, "gone"), []);
  assert.deepEqual(names(MADE), []);
});

test("the lineages of several streams are one", () => {
  assert.deepEqual(names(MADE, "e", "other"), [["e", "other"], ["d"], ["f"]]);
});

test("names that nobody may see are left out, and a circle ends", () => {
  const hidden = [{ name: "a", derived_from: ["secret"], derived_into: ["gone"] }];
  assert.deepEqual(generationsOf(hidden, ["a"]).map((each) => each.length), [1]);
  assert.equal(names({ a: ["b"], b: ["a"] }, "a").flat().length, 2);
});

test("a source of hundreds shows some of them", () => {
  const made = Object.fromEntries([["a", []], ...Array.from({ length: 500 }, (_, index) => [`s${index}`, ["a"]])]);
  const [first, second] = names(made, "a");
  assert.deepEqual(first, ["a"]);
  assert.ok(second.length > 20 && second.length < 100);
});

test("a long chain is no trouble", () => {
  const made = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`s${index}`, index === 0 ? [] : [`s${index - 1}`]]));
  assert.equal(names(made, "s25").length, 50);
});
