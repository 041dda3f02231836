import assert from "node:assert/strict";
import { test } from "node:test";

// What the modules ask a browser for when they are loaded.
globalThis.location ??= { href: "http://gateway.test/" };
const { probe } = await import("../../../gateway/explorer/api.js");
const { olderEvents } = await import("../../../gateway/explorer/older.js");

const MEGABYTE = "x".repeat(1_000_000);
const frame = (number, text) => `id: [{"topic":"t","partition":0,"offset":${number},"timestamp":${1000 + number}}]\ndata: ${JSON.stringify({ text })}\n\n`;

const END = 'event: end\nid: [{"topic":"t","partition":0,"offset":99,"timestamp":2000}]\ndata: {"reason":"until"}\n\n';

/** A response of so many events, of which it is counted how many were taken. */
function serving(count, text, last = END) {
  const taken = { count: 0 };
  globalThis.fetch = async () => {
    const body = new ReadableStream({
      pull(controller) {
        if (taken.count === count) {
          controller.enqueue(new TextEncoder().encode(last));
          return controller.close();
        }
        controller.enqueue(new TextEncoder().encode(frame(taken.count, text)));
        taken.count += 1;
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  return taken;
}

test("a filter is tried on a few large events as well as on many small ones", async () => {
  const taken = serving(200, MEGABYTE);
  const { sample } = await probe({ path: "/v2/stream/t", parameters: [] }, 10);
  assert.ok(taken.count < 12, `${taken.count} events were moved`);
  assert.ok(sample.matched >= 4 && sample.size > 1_000_000);
});

test("of older events that are large the newest are kept, and what is before them is asked for again", async () => {
  serving(60, MEGABYTE);
  const counts = { step: 1000, from: 0, to: 2000, counts: [0, 60], exact: true, scanned: 60, values: [] };
  const range = { from: 0, until: 2000, room: 5000, wanted: 5000 };
  const { events, since, whole } = await olderEvents({ path: "/v2/stream/t", parameters: [] }, range, async () => counts, AbortSignal.timeout(10_000));
  assert.ok(events.length > 20 && events.length < 33);
  assert.deepEqual([events.at(-1).offset, since, whole], [59, events[0].time, false]);
});

test("of older events that are small all are kept, or as many as there is room for", async () => {
  const counts = { step: 1000, from: 0, to: 2000, counts: [0, 60], exact: true, scanned: 60, values: [] };
  for (const [room, kept, whole] of [[100, 60, true], [7, 7, false]]) {
    serving(60, "");
    const range = { from: 0, until: 2000, room, wanted: 100 };
    const older = await olderEvents({ path: "/v2/stream/t", parameters: [] }, range, async () => counts, AbortSignal.timeout(10_000));
    assert.deepEqual([older.events.length, older.events.at(-1).offset, older.whole], [kept, 59, whole]);
  }
});

test("a part of the older events is not taken for all of them", async () => {
  const counts = { step: 1000, from: 0, to: 2000, counts: [0, 60], exact: true, scanned: 60, values: [] };
  const failure = END.replace("event: end", "event: error").replace('{"reason":"until"}', '{"detail":"it is too dear"}');
  for (const [last, why] of [["", /broke off/], [failure, /it is too dear/]]) {
    serving(3, "", last);
    const range = { from: 0, until: 2000, room: 100, wanted: 100 };
    const asked = olderEvents({ path: "/v2/stream/t", parameters: [] }, range, async () => counts, AbortSignal.timeout(10_000));
    await assert.rejects(asked, why);
  }
});
