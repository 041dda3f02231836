/** Elements. Whatever comes from events or the server goes in as text, never as markup. */

/**
 * @param {string} tag A name, with classes behind dots: "div.row.new".
 * @param {Record<string, any> | null} [properties] Those that begin with `on` are listeners, others attributes; false and
 *   undefined leave one out.
 * @param {...(Node | string | null | undefined)} children
 * @returns {any}
 */
export function h(tag, properties, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties ?? {})) set(element, key, value);
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

/** @param {Element} element @param {string} key @param {any} value */
function set(element, key, value) {
  if (value === undefined || value === false) return;
  if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
  else element.setAttribute(key, value === true ? "" : String(value));
}

/** The element of the page with this id. @param {string} id @returns {any} */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element;
}

/** Change a text only where it differs, so that nothing is drawn, or read out, for nothing. @param {Element} element @param {string} text */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} tag @param {Record<string, string | number>} attributes @param {...Node} children @returns {any} */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}
