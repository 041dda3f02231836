import { createApp, h, onScopeDispose, ref, shallowRef } from "vue";

// The newest events of a stream, each with its id, and whether it is connected. `onEvent` gets each event once.
export function useStream(url, { keep = 100, onEvent } = {}) {
  const events = shallowRef([]);
  const connected = ref(false);
  const address = new URL(url, location.href);
  let source, timer;
  const open = () => {
    source = new EventSource(address);
    source.onopen = () => (connected.value = true);
    source.onmessage = ({ lastEventId: id, data }) => {
      const event = JSON.parse(data);
      address.searchParams.set("last_event_id", id);
      events.value = [...events.value, { id, event }].slice(-keep);
      onEvent?.(event);
    };
    source.onerror = () => {
      connected.value = false;
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, 2000);
    };
  };
  open();
  onScopeDispose(() => {
    clearTimeout(timer);
    source.close();
  });
  return { events, connected };
}

const Changes = {
  setup() {
    const url = new URLSearchParams(location.search).get("url");
    const { events, connected } = useStream(url, { onEvent: (event) => console.log(JSON.stringify(event)) });
    const row = ({ id, event }) => h("li", { key: id }, event.title);
    return () => h("ol", { "aria-busy": !connected.value }, events.value.map(row));
  },
};

createApp(Changes).mount("#app");
