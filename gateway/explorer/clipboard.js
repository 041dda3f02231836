/** Copying, also where a browser keeps its clipboard from a page: on plain http by another name than localhost. */
import { byId, h, say } from "./dom.js";

const SHOWN = 2500; // milliseconds

let hiding = 0;

/** Copy a text, and say that it was, or how it can be. @param {string} text @param {HTMLElement} [button] Says so, too. */
export async function copy(text, button) {
  const copied = (await written(text)) || selected(text);
  tell(copied ? "Copied" : "The browser does not let this page copy: select the text, and copy it with the keyboard");
  if (button === undefined || button.dataset.words !== undefined) return;
  button.dataset.words = button.textContent ?? "";
  button.textContent = copied ? "Copied" : "Not allowed";
  setTimeout(() => {
    button.textContent = button.dataset.words ?? "";
    delete button.dataset.words;
  }, SHOWN / 2);
}

/** @param {string} text */
async function written(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** The way of before: what is selected is copied. @param {string} text */
function selected(text) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const area = h("textarea.unseen", { readonly: true, "aria-hidden": "true", tabindex: -1 });
  area.value = text;
  surface().append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    area.remove();
    focused?.focus({ preventScroll: true });
  }
}

/** @param {string} words */
function tell(words) {
  const note = byId("told");
  // What is beside an open dialog is neither seen nor read out.
  surface().append(note);
  say(note, words);
  clearTimeout(hiding);
  hiding = setTimeout(() => say(note, ""), SHOWN);
}

function surface() {
  return document.querySelector("dialog[open]") ?? document.body;
}
