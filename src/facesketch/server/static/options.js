/** Direction, style and framing, as the person chose them. */

import { byId } from "./settings.js";
import { forTab } from "./storage.js";

const STYLE_NAME = "facesketch-style";
const form = /** @type {HTMLFormElement} */ (byId("options"));
const styles = byId("style-set"); // null where there is one style
const HINTS = {
  none: "Nothing is cut or turned.",
  portrait: "The face is found, set upright and framed as the generators know it.",
  whole: "The whole picture, at the scale that suits the face in it.",
};

/**
 * @param {import("./api.js").Direction} [known] Counts instead of the chosen one.
 * @returns {import("./api.js").Options}
 */
export function chosenOptions(known) {
  const chosen = new FormData(form);
  const direction = known ?? chosen.get("direction") ?? "auto";
  const options = { direction, align: chosen.get("align"), ...chosenStyle(direction) };
  if (options.align !== "none") options.faces = chosen.has("all_faces") ? "all" : "largest";
  return options;
}

/**
 * @param {import("./api.js").Direction | "auto"} direction
 * @returns {{style?: string}} Nothing where no drawing is made, or there is one style.
 */
export function chosenStyle(direction) {
  return styles && direction !== "sketch2photo" ? { style: form.elements.style.value } : {};
}

/** @param {(name: string) => void} onChange The person chose something else, of that name. */
export function listenToOptions(onChange) {
  const follow = () => {
    byId("framing-hint").textContent = HINTS[chosenOptions().align ?? "none"];
    enableOptions(true);
  };
  form.addEventListener("change", (event) => {
    follow();
    if (styles) forTab.set(STYLE_NAME, form.elements.style.value);
    onChange(/** @type {HTMLInputElement} */ (event.target).name);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  recallStyle();
  follow();
}

/**
 * Show whether the options count: a drawing that is being drawn is no photo.
 *
 * @param {boolean} isUsed
 */
export function enableOptions(isUsed) {
  for (const id of ["direction-set", "framing-set"]) byId(id).disabled = !isUsed;
  form.elements.all_faces.disabled = !isUsed || chosenOptions().align === "none";
}

/**
 * Offer the styles only where a drawing is made.
 *
 * @param {import("./api.js").Direction | "auto"} direction
 */
export function offerStyles(direction) {
  if (styles) styles.hidden = direction === "sketch2photo";
}

/** Take the style that was chosen before the page was loaded again, if it is still there. */
function recallStyle() {
  if (!styles) return;
  const known = [...form.elements.style].find((radio) => radio.value === forTab.get(STYLE_NAME));
  if (known) known.checked = true;
}
