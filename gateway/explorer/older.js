/** Events from before those that are shown. Loaded when somebody asks for them. */
import { finer, startIn } from "./beginning.js";
import { framesOf } from "./sse.js";
import { advance, newestTime, parsePosition, timeOf } from "./position.js";

const BUCKETS = 120;
/** Characters of all events that are kept at the most, as many as the page keeps. */
const MOST_CHARACTERS = 32_000_000;
/** Milliseconds until all is there. */
const ANSWER = 30_000;

/**
 * @param {{path: string, parameters: [string, string][]}} request
 * @param {{from: number, until: number, room: number, wanted: number}} range In milliseconds;
 *   `wanted`: how many events are enough, `room`: how many may be had at the most.
 * @param {import("./beginning.js").Ask} ask @param {AbortSignal} signal
 * @returns {Promise<{events: import("./follower.js").Event[], since: number, whole: boolean}>} `whole`: none is older.
 */
export async function olderEvents(request, { from, until, room, wanted }, ask, signal) {
  const counts = await ask(from, until, BUCKETS);
  const start = startIn(counts, wanted);
  const { since } = start === null ? { since: from } : await finer(ask, start, wanted, 3, counts.step, from);
  const { events, isCut } = await eventsOf(request, { since, until, room: Math.max(1, room) }, signal);
  // What is given up is the older part: a next question begins where this one's answer does.
  return { events, since: isCut ? events[0].time : since, whole: start === null && !isCut };
}

/**
 * The newest of a range, as many as there is room for.
 * @param {{path: string, parameters: [string, string][]}} request @param {{since: number, until: number, room: number}} range @param {AbortSignal} signal
 */
async function eventsOf({ path, parameters }, { since, until, room }, signal) {
  const query = new URLSearchParams([...parameters, ["since", String(since)], ["until", String(until)]]);
  const given = AbortSignal.any([signal, AbortSignal.timeout(ANSWER)]);
  const response = await fetch(`${path}?${query}`, { headers: { accept: "text/event-stream" }, cache: "no-store", signal: given });
  if (response.status !== 200 && response.status !== 204) throw new Error((await response.json().catch(() => ({}))).detail ?? `the server answered ${response.status}`);
  /** @type {import("./follower.js").Event[]} */
  const events = [];
  /** @type {import("./position.js").Entry[]} */
  let before = [];
  let characters = 0;
  let isCut = false;
  // Of a server that stops, a part of the range comes. Taken for all of it, it would leave a hole.
  let isWhole = response.status === 204;
  for await (const frame of response.body === null ? [] : framesOf(response.body)) {
    const position = parsePosition(frame.id);
    const { moved } = advance(before.length > 0 ? before : position, position);
    before = position;
    if (frame.event === "error") throw new Error(JSON.parse(frame.data ?? "{}").detail ?? "the server has ended the answer");
    isWhole ||= frame.event === "end";
    if (frame.event !== "message" || frame.data === null) continue;
    const time = timeOf(moved) ?? newestTime(position);
    events.push({ seq: 0, time, topic: moved?.topic ?? "", partition: moved?.partition ?? 0, offset: moved?.offset ?? null, text: frame.data });
    characters += frame.data.length;
    for (; events.length > room || (characters > MOST_CHARACTERS && events.length > 1); isCut = true) {
      characters -= events.shift()?.text.length ?? 0;
    }
  }
  if (!isWhole) throw new Error("the answer broke off; ask for it again");
  return { events, isCut };
}
