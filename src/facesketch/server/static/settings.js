/**
 * What the server says about itself; see `settings` in studio.html.
 *
 * @typedef {Object} Settings
 * @property {string} version
 * @property {{convert: string}} addresses Of the API, behind a proxy's prefix too.
 * @property {number} max_upload_bytes
 * @property {number} time_limit_s Seconds that a request may wait and run.
 * @property {string} accept Types of pictures, for a file field.
 * @property {boolean} needs_key Whether this client must send one.
 * @property {boolean} is_local Whether the server runs on this machine.
 * @property {number} live_max_fps Pictures a second that live mode sends at most.
 * @property {string[]} styles Of drawings that can be made.
 * @property {{url: string, name: string}[]} samples
 */

/** @type {Settings} */
export const settings = JSON.parse(document.getElementById("settings").textContent);

/**
 * @param {string} id
 * @returns {HTMLElement} An element that the page surely has.
 */
export const byId = (id) => document.getElementById(id);
