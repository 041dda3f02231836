import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Backoff } from "../../../gateway/explorer/backoff.js";
import { Follower } from "../../../gateway/explorer/follower.js";

const GREETING = "retry: 0\nid: [{\"topic\":\"t\",\"partition\":0,\"offset\":-1,\"timestamp\":0}]\n\n";
const event = (number) =>
  `event: message\nid: [{"topic":"t","partition":0,"offset":${number},"timestamp":${number}}]\ndata: {}\n\n`;
const turns = async () => {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
};

/** How many requests a follower makes of a server in a minute, and what it says; the clock is that of the test. */
async function minute(answer, seconds = 60, since = "", more = {}) {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const states = [];
  const addresses = [];
  const events = [];
  const fetched = globalThis.fetch;
  globalThis.fetch = async (address, { signal }) => {
    addresses.push(address);
    return answer(addresses.length, signal);
  };
  const follower = new Follower(
    { path: "/v2/stream/t", parameters: [], since, until: "", speed: 0, ...more },
    { enter() {}, leave() {}, isAway: false, async admitted() {}, hold: () => () => {} },
    { state: (state) => states.push(state), event: ({ time }) => events.push(time), moved() {}, bytes() {}, gap() {} },
  );
  try {
    const running = follower.run();
    for (let step = 0; step < seconds * 10; step += 1) {
      await turns();
      mock.timers.tick(100);
    }
    follower.stop();
    await turns();
    await running;
  } finally {
    globalThis.fetch = fetched;
    mock.timers.reset();
  }
  return { addresses, events, requests: addresses.length, states };
}

/** A body that stays open until it is given up. */
function silent(text, headers) {
  return (_, signal) => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(text));
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    return new Response(body, { headers });
  };
}

const FLOODING = {
  "greets and ends": () => new Response(GREETING),
  "refuses at once": () => new Response("{}", { status: 503, headers: { "retry-after": "0" } }),
  "refuses for a limit": () => new Response("{}", { status: 429, headers: { "retry-after": "0" } }),
  "asks for a time before now": () => new Response("{}", { status: 503, headers: { "retry-after": "-5" } }),
  "repeats one event": () => new Response(GREETING + event(7)),
};

for (const [name, answer] of Object.entries(FLOODING)) {
  test(`a server that ${name} is asked more and more seldom`, async () => {
    const { requests } = await minute(answer);
    assert.ok(requests >= 3 && requests <= 13, String(requests));
  });
}

for (const since of ["0", "1970-01-01"]) {
  test(`the beginning is asked for, and not again behind an id: ${since}`, async () => {
    const { addresses } = await minute((number) => new Response(GREETING + event(number)), 2, since);
    assert.equal(addresses[0], `/v2/stream/t?since=${since}`);
    assert.equal(addresses[1], "/v2/stream/t");
  });
}

test("after an event it is tried again soon", async () => {
  const { requests } = await minute((number) => new Response(GREETING + event(number)));
  assert.ok(requests > 60 && requests <= 260, String(requests));
});

test("a server may ask for no more than a timer counts", async () => {
  const { states } = await minute(() => new Response("{}", { status: 429, headers: { "retry-after": "9".repeat(12) } }), 5);
  assert.equal(states.filter(({ name }) => name === "limited").length, 1);
});

for (const [heartbeat, seconds] of [[null, 45], ["60", 180], ["0.5", 10], ["soon", 45], ["-3", 45]]) {
  test(`silence is waited for as the server says: ${heartbeat}`, async () => {
    const headers = heartbeat === null ? {} : { "event-gateway-heartbeat": heartbeat };
    const { states } = await minute(silent(GREETING, headers), seconds + 1);
    const lost = states.filter(({ name }) => name === "reconnecting");
    assert.equal(lost[0].reason, `nothing came for ${seconds} seconds`);
  });
}

test("a replay keeps its pace also where the clock is behind the server's, and waits for no time of no clock", async () => {
  const hours = 6 * 3_600_000;
  const beyond = 9 * hours;
  const answer = silent(GREETING + event(hours + 1000) + event(hours + 31_000) + event(beyond));
  for (const [seconds, count] of [[20, 1], [32, 3]]) {
    const { events } = await minute(answer, seconds, "0", { speed: 1, skew: hours });
    assert.equal(events.length, count, `after ${seconds} s`);
  }
});

test("waits grow up to a bound, and begin again after success", () => {
  const backoff = new Backoff();
  backoff.ask(0);
  for (let failure = 0; failure < 40; failure += 1) {
    const whole = Math.min(30_000, 500 * 2 ** failure);
    const wait = backoff.wait();
    assert.ok(wait >= whole / 2 && wait <= whole, `${failure}: ${wait}`);
  }
  backoff.succeeded();
  assert.ok(backoff.wait() <= 500);
  assert.equal(backoff.wait(1e9), 600_000);
});
