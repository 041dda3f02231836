import assert from "node:assert/strict";
import { after, test } from "node:test";

const posted = [];
const turn = (milliseconds = 0) => new Promise((resolve) => setTimeout(resolve, milliseconds));
/** Until something is so. */
const until = async (check) => {
  for (const end = Date.now() + 30_000; !check(); await turn(5)) assert.ok(Date.now() < end, "it never was so");
};

globalThis.onmessage = null;
globalThis.postMessage = (message) => posted.push(structuredClone(message));
globalThis.BroadcastChannel = class {
  postMessage() {}
  close() {}
};
const fetched = globalThis.fetch;
/** What the server sends, and at the end keeps open. @type {ReadableStreamDefaultController} */
let server;
globalThis.fetch = async (_, { signal }) => {
  const body = new ReadableStream({
    start(controller) {
      server = controller;
      signal.addEventListener("abort", () => controller.error(signal.reason));
    },
  });
  return new Response(body);
};
await import("../../../gateway/explorer/worker.js");
const say = (data) => globalThis.onmessage({ data });
const send = (number, characters) =>
  server.enqueue(
    new TextEncoder().encode(`id: [{"topic":"t","partition":0,"offset":${number},"timestamp":1000}]\ndata: "${"x".repeat(characters)}"\n\n`),
  );
const batches = () => posted.filter(({ kind }) => kind === "batch");
const request = { path: "/v2/stream/t", parameters: [], since: "", until: "", speed: 0 };

after(() => {
  say({ subscription: 0, request: null });
  globalThis.fetch = fetched;
});

async function begin(subscription) {
  posted.length = 0;
  server = undefined;
  say({ hidden: false, limited: false, caught: false });
  say({ subscription, request });
  await until(() => server !== undefined);
}

test("a page gets no more characters at once than it keeps, and is told of all events", async () => {
  await begin(1);
  for (let number = 0; number < 80; number += 1) send(number, 1_000_000);
  await until(() => batches().reduce((sum, { count }) => sum + count, 0) === 80 || (say({ taken: true }), false));
  for (const { events } of batches()) {
    const characters = events.reduce((sum, { text }) => sum + text.length, 0);
    assert.ok(characters <= 32_000_000 && events.length > 0);
  }
  assert.equal(batches().at(-1).events.at(-1).offset, 79);
});

test("a page that has not taken a batch gets no other", async () => {
  await begin(2);
  send(0, 10);
  await until(() => batches().length === 1);
  send(1, 10);
  send(2, 10);
  await turn(350);
  assert.equal(batches().length, 1);
  say({ taken: true });
  await until(() => batches().length === 2);
  assert.deepEqual(batches()[1].events.map(({ offset }) => offset), [1, 2]);
  // What the state says comes after what was before it, whether that was taken or not.
  send(3, 10);
  server.enqueue(new TextEncoder().encode('event: error\nid: [{"topic":"t","partition":0,"offset":3,"timestamp":1000}]\ndata: {"detail":"why"}\n\n'));
  await until(() => posted.at(-1).kind === "state" && posted.at(-1).state.name === "failed");
  assert.deepEqual(batches().at(-1).events.map(({ offset }) => offset), [3]);
});
