import { EventSource } from "eventsource";
import type { components } from "./gateway";

type Change = components["schemas"]["wiki.change-1.0.0"];

const events = new EventSource(process.argv[2]!);
events.onmessage = (message) => {
  const change: Change = JSON.parse(message.data);
  if (change.title) console.log(JSON.stringify(change));
};
