/**
 * What the server says about itself; see `settings` in studio.html.
 *
 * @typedef {Object} Settings
 * @property {string} version
 * @property {number} max_upload_bytes
 * @property {boolean} needs_key Whether this client must send one.
 * @property {number} live_max_fps
 */

/** @type {Settings} */
export const settings = JSON.parse(document.getElementById("settings").textContent);

/**
 * @param {string} id
 * @returns {HTMLElement} An element that the page surely has.
 */
export const byId = (id) => document.getElementById(id);
