// Follows a stream as the page does, to its end, and writes what the page is told.
import { Follower } from "../../../gateway/explorer/follower.js";

const address = process.argv[2];
const { origin, pathname } = new URL(address);
const fetched = globalThis.fetch;
globalThis.fetch = (path, options) => fetched(new URL(path, origin), options);
const told = { events: [], states: [], read: 0 };
const follower = new Follower(
  { path: pathname, parameters: [], since: "", until: "", speed: 0 },
  { enter() {}, leave() {}, isAway: false, async admitted() {}, hold: () => () => {} },
  {
    state: ({ name }) => told.states.push(name),
    event: ({ text, offset, topic }) => told.events.push({ text, offset, topic }),
    moved: (_, read) => (told.read += read ?? 0),
    bytes() {},
    gap() {},
  },
);
await follower.run();
console.log(JSON.stringify(told));
