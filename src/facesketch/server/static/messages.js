/** One line under the sheet: what goes on, or what went wrong. */

import { byId } from "./settings.js";

const status = byId("status");
const error = byId("error");

/**
 * Say what goes on; an error that stood there goes away.
 *
 * @param {string} text
 */
export function say(text) {
  write("", text);
}

/**
 * Say what went wrong, in place of what went on.
 *
 * @param {string} text A sentence that says what to do.
 */
export function complain(text) {
  write(text, "");
}

/** Leave alone what stands there already, or screen readers would say it again. */
function write(problem, news) {
  if (error.textContent !== problem) error.textContent = problem;
  if (status.textContent !== news) status.textContent = news;
}

/**
 * @param {number} bytes
 * @returns {string} Such as "3.1 MB".
 */
export function sizeInWords(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
