import assert from "node:assert/strict";
import { test } from "node:test";
import { advance, parsePosition, timeOf } from "../../../gateway/explorer/position.js";
import { snippetsOf } from "../../../gateway/explorer/snippets.js";
import { emptyWords, isCaughtUp, NO_STREAM, statusOf } from "../../../gateway/explorer/status.js";
import { gapWords } from "../../../gateway/explorer/told.js";
import { printable, span } from "../../../gateway/explorer/text.js";
import { addressOf, emptyView, readView, writeView } from "../../../gateway/explorer/view.js";

test("the address holds the view", () => {
  const view = {
    ...emptyView(),
    streams: ["a.b", "c"],
    filter: 'event.t == "1 + 2 & ü"',
    since: "2026-01-01T00:00:00Z",
    speed: 10,
    columns: ["x", "y.z"],
    only: true,
  };
  assert.deepEqual(readView(writeView(view)), view);
  assert.equal(writeView(emptyView()), "");
  assert.equal(readView("").streams, null);
  assert.deepEqual(readView("?streams=").streams, []);
  assert.equal(readView("?speed=3").speed, 0);
  const url = new URL(addressOf("http://h", view, view.columns));
  assert.equal(url.searchParams.get("filter"), view.filter);
  assert.equal(url.searchParams.get("fields"), "x,y.z");
});

test("what was read between two ids", () => {
  const before = [{ topic: "a", partition: 0, offset: 4, timestamp: 10 }, { topic: "b", partition: 0, offset: -1, timestamp: 0 }];
  const after = [{ topic: "a", partition: 0, offset: 7, timestamp: 12 }, { topic: "b", partition: 0, offset: 1, timestamp: 11 }];
  assert.deepEqual(advance(before, after), { read: 5, moved: after[0] });
  assert.deepEqual(advance(before, before), { read: 0, moved: null });
  assert.equal(advance([{ topic: "a", partition: 0, timestamp: 1 }], [{ topic: "a", partition: 0, timestamp: 2 }]).read, null);
});

test("an id in its compact form is read like the same in JSON", () => {
  // What gateway/model/position writes; tests/model/position/test_token.py holds it to this.
  const token = "p1.AAANAygsAQAAAEQWgICSlqiWogYDAAFhAwEDAgIBAQFiBwACAQABYgIDQZq2l-gBcAAAAAAAkZq2l-gGgAAA-jEV89Lg";
  assert.deepEqual(parsePosition(token), [
    { topic: "a", partition: 0, offset: 4, timestamp: 1764000000000 },
    { topic: "a", partition: 1, offset: -1, timestamp: 0 },
    { topic: "a", partition: 2, offset: 7, timestamp: -1 },
    { topic: "ab", partition: 3, offset: 9, timestamp: 1764000000005 },
    { topic: "b", partition: 0, timestamp: 1764000000000000, seen: 2 },
  ]);
  assert.deepEqual(parsePosition("p1.AAAN"), []);
});

test("of two records of one millisecond, the second is one that moved, too", () => {
  const at = (/** @type {number} */ seen) => [{ topic: "a", partition: 0, timestamp: 1764000000000, seen }];
  assert.deepEqual(advance(at(1), at(2)), { read: null, moved: at(2)[0] });
  assert.deepEqual(advance(at(2), at(2)), { read: null, moved: null });
  assert.deepEqual(parsePosition("p1.AAAFAUQWgKC_6dZmAQABYQIBgAAAf2PB1IEO"), at(2));
});

test("a record without a time is the one that moved, too", () => {
  const at = (/** @type {number} */ offset, /** @type {number} */ timestamp) => [{ topic: "a", partition: 0, offset, timestamp }];
  assert.deepEqual(advance(at(3, 10), at(4, -1)), { read: 1, moved: at(4, -1)[0] });
  assert.equal(timeOf(at(4, -1)[0]), undefined);
  assert.equal(timeOf(at(4, 9)[0]), 9);
  assert.equal(timeOf(null), undefined);
});

test("texts in which nothing hides", () => {
  assert.equal(printable("a\u202eb\u0000\n"), "a‹U+202E›b‹U+0000›⏎");
  assert.equal(span(3_725_000), "1 h 02 min");
});

const situation = {
  state: { name: "open" },
  position: 50_000,
  newest: 100_000,
  origin: 0,
  until: null,
  caught: false,
  expected: 1e6,
  quiet: 0,
  now: 0,
  speed: 0,
  shared: { pages: 1, period: 0 },
};

test("the state of the connection", () => {
  const status = statusOf(situation);
  assert.deepEqual([status.name, status.progress], ["behind", 0.5]);
  assert.match(status.detail, /^50 s behind/);
  assert.equal(statusOf({ ...situation, position: 99_000 }).name, "live");
  // A filter lets nothing through: only its heartbeats tell, unless there was little to read.
  assert.equal(isCaughtUp({ ...situation, quiet: 5000 }), false);
  assert.equal(isCaughtUp({ ...situation, quiet: 5000, expected: 100 }), true);
  // Who was live and gets what is old is behind again; a lull alone changes nothing.
  assert.equal(isCaughtUp({ ...situation, caught: true, quiet: 20 }), false);
  assert.equal(isCaughtUp({ ...situation, caught: true, quiet: 900 }), true);
  const limited = { name: "limited", reason: "too many", at: 4500 };
  assert.equal(statusOf({ ...situation, state: limited }).detail, "too many; again in 5 s");
});

test("of what is too fast to be shown as it comes, that is said", () => {
  const live = { ...situation, position: 99_000 };
  assert.equal(statusOf(live).detail, "");
  assert.equal(statusOf({ ...live, isFast: true }).detail, "once a second, the newest events");
  assert.match(statusOf({ ...live, isFast: true, paused: 12_000 }).detail, /12,000 new/);
});

test("why no event is there", () => {
  const state = { name: "open" };
  const empty = { state, caught: true, newest: 0, now: 7_260_000, isRange: false, isFiltered: false };
  assert.equal(emptyWords(empty), "Nothing has come yet.");
  assert.match(emptyWords({ ...empty, newest: 60_000 }), /^Nothing has come yet\. The last event .* came 2 h ago, at 1970-01-01 00:01:00 UTC\.$/);
  assert.match(emptyWords({ ...empty, newest: 60_000, isRange: true }), /^Nothing has come in this range\. The last/);
  assert.match(emptyWords({ ...empty, newest: 60_000, isRange: true, isFiltered: true }), /^No event matches the filter in this range\. The last/);
  assert.equal(emptyWords({ ...empty, caught: false }), "Looking through the past …");
  assert.equal(emptyWords({ ...empty, state: { name: "reconnecting" } }), "Waiting for the connection …");
  assert.equal(emptyWords({ ...empty, state: { name: "ended", reason: NO_STREAM } }), "Pick a stream to see its events.");
  assert.equal(emptyWords({ ...empty, state: { name: "ended", reason: "the limit" } }), "No events in this range.");
});

test("snippets keep quotes", () => {
  const url = `http://h:1/v2/stream/a?filter=${encodeURIComponent("event.a == 'x'").replaceAll("%27", "'")}`;
  const [, curl, script] = snippetsOf(url);
  assert.ok(curl.text.includes(String.raw`'\''x'\''`));
  assert.ok(script.text.includes(JSON.stringify(url)));
});

test("of several gaps the newest are told in full, and how many there were", () => {
  const gap = (/** @type {number} */ partition) => ({ topic: "a", partition, requested: 5, resumed: 90, reason: "expired" });
  assert.equal(gapWords([]), "");
  assert.equal(gapWords([gap(0)]), "A gap: events of a, partition 0, from 5 to 90 are gone; they have expired.");
  assert.match(gapWords([gap(0), gap(1)]), /partition 1,.*partition 0,/);
  assert.match(gapWords([0, 1, 2, 3].map(gap)), / And 1 more gap\.$/);
  const many = gapWords([0, 1, 2, 3, 4].map(gap));
  assert.match(many, /^A gap: events of a, partition 4,.*partition 3,.*partition 2,.* And 2 more gaps\.$/);
});
