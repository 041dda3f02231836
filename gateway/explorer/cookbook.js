/** The "?" at the filter: what may be typed, with examples of this stream. Loaded when it is first opened. */
import { byId, h } from "./dom.js";
import { recipes } from "./recipes.js";

/**
 * @param {import("./schema.js").Field[]} fields @param {(path: string) => unknown[]} seen
 * @param {(filter: string) => void} take Puts a filter where it can be changed.
 */
export function showCookbook(fields, seen, take) {
  const items = recipes(fields, seen).map(({ title, filter }) => {
    const use = () => {
      byId("cookbook").hidePopover();
      take(filter);
    };
    return h("li", null, h("button.choice", { type: "button", onclick: use }, h("span", null, title), h("code", null, filter)));
  });
  byId("recipes").replaceChildren(...items);
}
