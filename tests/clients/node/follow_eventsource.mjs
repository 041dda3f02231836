import { EventSource } from "eventsource";

const events = new EventSource(process.argv[2]);
events.onmessage = (message) => console.log(message.data);
