import assert from "node:assert/strict";
import { test } from "node:test";

// What the module asks a browser for when it is loaded.
globalThis.location ??= { href: "http://gateway.test/" };
const { skew, streams } = await import("../../../gateway/explorer/api.js");

test("the gateway's clock is told by any time between a question and its answer", async (t) => {
  const began = Date.parse("2026-01-01T00:00:00Z");
  t.mock.timers.enable({ apis: ["Date"], now: began });
  const ask = async (/** @type {number} */ date, /** @type {number} */ took) => {
    t.mock.timers.setTime(began);
    globalThis.fetch = async () => {
      t.mock.timers.setTime(began + took);
      return new Response("[]", { headers: { date: new Date(began + date).toUTCString() } });
    };
    await streams();
    return skew.milliseconds;
  };
  // A page that was busy for ten seconds after the answer was made.
  assert.equal(await ask(0, 10_000), 0);
  assert.equal(await ask(10_000, 10_000), 0);
  assert.equal(await ask(-60_000, 10_000), -60_000);
  assert.equal(await ask(60_000, 10_000), 50_000);
  assert.equal(await ask(-2_000, 0), 0);
});
