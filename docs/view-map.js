// A view of an event gateway as a Map that stays up to date.
//
//   import { ViewMap, keyOf } from "./view-map.js";
//   const pages = new ViewMap("https://example.org/v2/views/pages", { onchange: (change) => console.log(change) });
//   await pages.ready;
//   pages.get(keyOf("enwiki", "Berlin"));
//
// As of `ready`, the map is at each moment the state at `position`; a reset renews `ready`. A lost connection resumes by
// itself.

// The key of an entry: the member where a view's key has one, else a text of all of them.
export const keyOf = (...members) => (members.length === 1 ? members[0] : JSON.stringify(members));

export class ViewMap extends Map {
  #options;
  #url;
  #source;
  #timer;
  #resolve;

  // `url`: of the view, with `prefix` or `key` in its query. `onchange` gets each {kind, key, value} (row, change, delete,
  // or reset), `onfailure` the reason of each pause. `EventSource`, where it is not the browser's.
  constructor(url, options = {}) {
    super();
    this.position = "";
    this.#begin();
    this.#url = String(url);
    this.#options = { EventSource: globalThis.EventSource, pause: 5000, ...options };
    this.#open();
  }

  close() {
    clearTimeout(this.#timer);
    this.#source.close();
  }

  #open() {
    const join = this.#url.includes("?") ? "&" : "?";
    const position = this.position ? `${join}last_event_id=${encodeURIComponent(this.position)}` : "";
    const source = new this.#options.EventSource(this.#url + position);
    this.#source = source;
    const on = (kind, take) =>
      source.addEventListener(kind, (event) => {
        take(event.data ? JSON.parse(event.data) : {});
        this.position = event.lastEventId;
      });
    for (const kind of ["row", "change"]) on(kind, ({ key, value }) => this.#put(kind, key, value));
    on("delete", ({ key }) => this.#put("delete", key));
    for (const kind of ["snapshot", "reset"]) on(kind, () => this.#begin(kind));
    on("ready", () => {
      this.#resolve?.(this);
      this.#resolve = undefined;
    });
    // A browser comes back after a lost connection, and not after a refusal: that is done here.
    source.addEventListener("error", (event) => {
      if (source.readyState !== 2) return;
      this.#timer = setTimeout(() => this.#open(), this.#options.pause);
      this.#options.onfailure?.(event);
    });
  }

  // All rows follow. Who waits for them already waits on.
  #begin(kind) {
    const told = kind === "reset" || this.size;
    this.clear();
    if (!this.#resolve) {
      this.ready = new Promise((resolve) => {
        this.#resolve = resolve;
      });
    }
    if (told) this.#options.onchange?.({ kind: "reset" });
  }

  #put(kind, members, value) {
    const key = keyOf(...Object.values(members));
    if (kind === "delete") this.delete(key);
    else this.set(key, value);
    this.#options.onchange?.({ kind, key, value });
  }
}
