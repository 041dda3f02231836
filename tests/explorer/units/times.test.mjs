import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isoTime } from "../../../gateway/explorer/text.js";
import { parseTime, readTime, writeTime } from "../../../gateway/explorer/times.js";

const cases = JSON.parse(readFileSync(new URL("../../times.json", import.meta.url), "utf8"));

for (const [text, expected, what] of cases.times) {
  test(`${what}: ${text}`, () => assert.equal(readTime(text), expected));
}

test("what is no time", () => {
  for (const text of cases["no times"]) assert.equal(readTime(text), null, text);
});

test("times as the gateway takes them in an address", () => {
  const { now, taken, refused } = cases.since;
  for (const [text, expected] of taken) assert.equal(parseTime(text, now), expected, text);
  for (const text of refused) assert.equal(parseTime(text, now), null, text);
});

test("what is shown is read as the same", () => {
  const some = [-62135596800000, -1, 0, 1, 1764000000000, 1764000000123, 253402300799999, 253402300800000, 1764000000000000];
  for (let number = 1; number < 2 ** 47; number = Math.floor(number * 1.1) + 1) some.push(number);
  for (const time of some) {
    assert.equal(parseTime(writeTime(time), 0), Math.max(0, time));
    const shown = isoTime(time);
    if (shown !== null) assert.equal(readTime(shown), time);
  }
});

test("a time that no calendar has is written as the number", () => {
  assert.equal(writeTime(1764000000000000), "1764000000000000");
  assert.equal(writeTime(253402300800000), "253402300800000");
  assert.equal(writeTime(-1), "0");
  assert.equal(writeTime(1764000000000), "2025-11-24T16:00:00Z");
  assert.equal(writeTime(1764000000123), "2025-11-24T16:00:00.123Z");
});
