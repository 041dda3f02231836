import { useEffect, useEffectEvent, useState } from "react";
import { createRoot } from "react-dom/client";

// The newest events of a stream, each with its id, and whether it is connected. `onEvent` gets each event once.
export function useStream(url, { keep = 100, onEvent } = {}) {
  const [events, setEvents] = useState([]);
  const [connected, setConnected] = useState(false);
  const told = useEffectEvent((event) => onEvent?.(event));
  useEffect(() => {
    const address = new URL(url, location.href);
    let source, timer;
    const open = () => {
      source = new EventSource(address);
      source.onopen = () => setConnected(true);
      source.onmessage = ({ lastEventId: id, data }) => {
        const event = JSON.parse(data);
        address.searchParams.set("last_event_id", id);
        setEvents((events) => [...events, { id, event }].slice(-keep));
        told(event);
      };
      source.onerror = () => {
        setConnected(false);
        if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, 2000);
      };
    };
    setEvents([]);
    open();
    return () => {
      clearTimeout(timer);
      source.close();
    };
  }, [url, keep]);
  return { events, connected };
}

function Changes() {
  const url = new URLSearchParams(location.search).get("url");
  const { events, connected } = useStream(url, { onEvent: (event) => console.log(JSON.stringify(event)) });
  return (
    <ol aria-busy={!connected}>
      {events.map(({ id, event }) => (
        <li key={id}>{event.title}</li>
      ))}
    </ol>
  );
}

createRoot(document.getElementById("app")).render(<Changes />);
