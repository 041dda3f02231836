// Writes the number and the id of every event that EventSource gives, one JSON object a line, and reconnects by itself.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
source.onopen = () => process.stdout.write('{"open":true}\n');
source.onmessage = (event) => {
  const { n } = JSON.parse(event.data);
  process.stdout.write(`${JSON.stringify({ n, id: event.lastEventId })}\n`);
};
source.addEventListener("gap", (event) => process.stdout.write(`${JSON.stringify({ gap: event.data })}\n`));
