/**
 * Server-sent events (WHATWG HTML, section 9.2.6), read as they arrive. Unlike EventSource it also shows comments, and
 * frames that carry an id alone: the heartbeats, by which a position moves while a filter lets nothing through.
 *
 * @typedef {{event: string, data: string | null, id: string, comment: string}} Frame
 *   `data` is null where a frame has none; `id` is the last one seen.
 */
export class EventStreamParser {
  #rest = "";
  #scanned = 0;
  #afterReturn = false;
  #event = "";
  /** @type {string[] | null} */
  #data = null;
  #id = "";
  #comment = "";
  #touched = false;
  /** Milliseconds that the server asks to wait before a reconnect. @type {number | null} */
  retry = null;

  /**
   * @param {string} text The next piece, cut anywhere.
   * @returns {Frame[]} The frames that it completes.
   */
  feed(text) {
    /** @type {Frame[]} */
    const frames = [];
    // A CR at the end of one piece and an LF at the start of the next are one end of a line.
    if (this.#afterReturn && text.startsWith("\n")) text = text.slice(1);
    if (text === "") return frames;
    this.#afterReturn = text.endsWith("\r");
    if (text.includes("\r")) text = text.replace(/\r\n?/g, "\n");
    const buffer = this.#rest + text;
    let start = 0;
    let end = buffer.indexOf("\n", this.#scanned);
    while (end >= 0) {
      this.#line(buffer.slice(start, end), frames);
      start = end + 1;
      end = buffer.indexOf("\n", start);
    }
    this.#rest = buffer.slice(start);
    this.#scanned = this.#rest.length;
    return frames;
  }

  /** @param {string} line @param {Frame[]} frames */
  #line(line, frames) {
    if (line === "") {
      if (this.#touched) {
        const data = this.#data === null ? null : this.#data.join("\n");
        frames.push({ event: this.#event || "message", data, id: this.#id, comment: this.#comment });
      }
      this.#event = this.#comment = "";
      this.#data = null;
      this.#touched = false;
      return;
    }
    this.#touched = true;
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "") this.#comment = value;
    else if (name === "data") (this.#data ??= []).push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id") {
      if (!value.includes("\0")) this.#id = value;
    } else if (name === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
  }
}

/** The frames of a body, as they arrive; whoever wants no more ends the response. @param {ReadableStream<Uint8Array>} body */
export async function* framesOf(body) {
  const parser = new EventStreamParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.feed(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}
