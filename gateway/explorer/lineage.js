/** What a stream is made of, and what is made of it: generations of streams, from the sources on. */
import { byId, h } from "./dom.js";
import { generationsOf } from "./generations.js";
import { span } from "./text.js";

const BEHIND = 10; // seconds, from which it is told

/** @param {import("./api.js").Stream[]} streams @param {string[]} picked @param {(name: string) => void} pick */
export function showLineage(streams, picked, pick) {
  const generations = generationsOf(streams, picked);
  const root = byId("generations");
  root.hidden = generations.length < 2;
  const drawn = JSON.stringify([generations, picked]);
  if (root.dataset.drawn === drawn) return;
  root.dataset.drawn = drawn;
  const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.closest("#generations [data-stream]");
  root.replaceChildren(
    ...generations.map((generation) =>
      h(
        "li",
        null,
        h(
          "ul",
          null,
          ...generation.map((stream) => {
            const here = picked.includes(stream.name);
            const button = h("button.node", { type: "button", onclick: () => pick(stream.name) }, h("span", null, stream.name));
            button.dataset.stream = stream.name;
            if (here) button.setAttribute("aria-current", "true");
            const told = wordsOf(stream);
            if (told !== "") button.append(" ", h("small", null, told));
            return h("li", null, button);
          }),
        ),
      ),
    ),
  );
  if (focused instanceof HTMLElement) {
    /** @type {HTMLElement | null} */ (root.querySelector(`[data-stream="${CSS.escape(focused.dataset.stream ?? "")}"]`))?.focus();
  }
}

/** How it is made, in words. @param {import("./api.js").Stream} stream */
function wordsOf({ derived_from: sources, derivation }) {
  if (sources.length === 0) return "";
  const version = derivation !== null && derivation.version > 1 ? `, version ${derivation.version}` : "";
  const lag = derivation?.lag ?? 0;
  return `${derivation?.operator ?? "made"} of ${sources.join(", ")}${version}${lag > BEHIND ? `, ${span(lag * 1000)} behind` : ""}`;
}
