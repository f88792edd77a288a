/** The API key: from the address (#key=...) or asked for, kept until the tab is closed. */

import { byId } from "./settings.js";
import { forTab } from "./storage.js";

const CAN_BE_SENT = /^[!-~]+$/; // headers carry ASCII
const NAME = "facesketch-key";
const dialog = /** @type {HTMLDialogElement} */ (byId("key-dialog"));
const field = /** @type {HTMLInputElement} */ (byId("key"));
const note = byId("key-note");

/** @type {Promise<void> | null} */
let asking = null;

/** Take the key out of the address, where it would be seen and bookmarked. */
export function takeKeyFromAddress() {
  const words = location.hash.slice(1).replaceAll("+", "%2B"); // a plus is one here, and no space
  const key = new URLSearchParams(words).get("key");
  if (!key) return;
  if (CAN_BE_SENT.test(key)) forTab.set(NAME, key);
  history.replaceState(null, "", location.pathname + location.search);
}

/** @returns {boolean} Whether there is a key, right or wrong. */
export function hasKey() {
  return forTab.get(NAME) !== null;
}

/** @returns {Record<string, string>} Headers that carry the key, if there is one. */
export function keyHeaders() {
  const key = forTab.get(NAME);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/**
 * Ask the person for the key; requests that need it at once share one question.
 *
 * @returns {Promise<void>} Rejects with an AbortError if the person cancels.
 */
export function askForKey() {
  asking ??= ask().finally(() => {
    asking = null;
  });
  return asking;
}

function ask() {
  if (hasKey()) note.textContent = "That key was not accepted; try it again.";
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    const closed = () => {
      const key = field.value.trim();
      if (dialog.returnValue === "ok" && key) {
        // What no header can carry is wrong too; the server will say so.
        forTab.set(NAME, CAN_BE_SENT.test(key) ? key : "-");
        resolve();
      } else {
        reject(new DOMException("No key was given.", "AbortError"));
      }
    };
    dialog.addEventListener("close", closed, { once: true });
  });
}
