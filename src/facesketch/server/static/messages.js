/** One line under the sheet: what goes on, or what went wrong. */

import { byId } from "./settings.js";

const SPEAK_MS = 10_000; // between two numbers that are read out

const status = byId("status");
const spoken = byId("spoken"); // the same for screen readers
const error = byId("error");
let counted = ""; // what the number that ticks is of
let spokenAt = 0;

/**
 * Say what goes on; an error that stood there goes away.
 *
 * @param {string} text
 */
export function say(text) {
  counted = "";
  write("", text, text);
}

/**
 * Say what goes on, with a number that ticks: screen readers hear the first and then one every 10 s.
 *
 * @param {string} what
 * @param {string} number
 */
export function count(what, number) {
  const text = `${what} ${number}`;
  const isDue = what !== counted || performance.now() - spokenAt >= SPEAK_MS;
  if (isDue) spokenAt = performance.now();
  counted = what;
  write("", text, isDue ? text : spoken.textContent);
}

/**
 * Say what went wrong, in place of what went on.
 *
 * @param {string} text A sentence that says what to do.
 */
export function complain(text) {
  counted = "";
  write(text, "", "");
}

/** Leave alone what stands there already, or screen readers would say it again. */
function write(problem, news, words) {
  if (error.textContent !== problem) error.textContent = problem;
  if (status.textContent !== news) status.textContent = news;
  if (spoken.textContent !== words) spoken.textContent = words;
}

/**
 * @param {number} bytes
 * @returns {string} Such as "3.1 MB".
 */
export function sizeInWords(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
