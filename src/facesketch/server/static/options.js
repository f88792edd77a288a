/** Direction and framing, as the person chose them. */

import { byId } from "./settings.js";

const form = /** @type {HTMLFormElement} */ (byId("options"));
const HINTS = {
  none: "Nothing is cut or turned.",
  portrait: "The face is found, set upright and framed as the generators know it.",
  whole: "The whole picture, at the scale that suits the face in it.",
};

/** @returns {import("./api.js").Options} */
export function chosenOptions() {
  const chosen = new FormData(form);
  const options = { direction: chosen.get("direction") ?? "auto", align: chosen.get("align") };
  if (options.align !== "none") options.faces = chosen.has("all_faces") ? "all" : "largest";
  return options;
}

/** @param {() => void} onChange The person chose something else. */
export function listenToOptions(onChange) {
  const follow = () => {
    byId("framing-hint").textContent = HINTS[chosenOptions().align ?? "none"];
    enableOptions(true);
  };
  form.addEventListener("change", () => {
    follow();
    onChange();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
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
