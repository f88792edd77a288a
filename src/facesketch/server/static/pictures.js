/** Pictures come in: chosen, dropped, pasted, or one of the samples. */

import { ApiError, reach } from "./api.js";
import { sizeInWords } from "./messages.js";
import { byId, settings } from "./settings.js";

/**
 * Listen for pictures.
 *
 * @param {(source: import("./work.js").Source) => void} take
 * @param {(error: Error) => void} refuse Called with a sentence for the person.
 */
export function listenForPictures(take, refuse) {
  const takeFile = (file) => {
    try {
      take(sourceOf(file));
    } catch (error) {
      refuse(error);
    }
  };
  for (const id of ["file", "phone-file"]) listenToField(byId(id), takeFile);
  listenForDrops(takeFile, refuse);
  document.addEventListener("paste", (event) => {
    const file = pictureIn(event.clipboardData);
    if (file) takeFile(file);
    else if (!isTextField(event.target)) refuse(new ApiError("There is no picture in the clipboard; copy one first."));
  });
  for (const button of document.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", () => fetchSample(button.dataset.sample).then(take, refuse));
  }
}

function listenToField(field, takeFile) {
  field.addEventListener("change", () => {
    const [file] = field.files;
    field.value = ""; // so that the same file can be chosen again
    if (file) takeFile(file);
  });
}

function listenForDrops(takeFile, refuse) {
  let depth = 0; // dragenter and dragleave come for every element on the way
  const mark = (change) => {
    depth = change === 0 ? 0 : depth + change;
    document.body.classList.toggle("dragging", depth > 0);
  };
  document.addEventListener("dragenter", () => mark(1));
  document.addEventListener("dragleave", () => mark(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(0);
    const file = pictureIn(event.dataTransfer);
    if (file) takeFile(file);
    else refuse(new ApiError("That was not a picture file; save the picture first, then drop the file."));
  });
}

/** Any file will do: the server judges, and its sentence is better than a guess by name. */
function pictureIn(transfer) {
  return transfer?.files[0] ?? null;
}

function isTextField(target) {
  return target instanceof HTMLInputElement && target.type === "password";
}

function sourceOf(file) {
  if (file.size > settings.max_upload_bytes) {
    const [size, limit] = [file.size, settings.max_upload_bytes].map(sizeInWords);
    throw new ApiError(`${file.name} has ${size}, and this server takes ${limit}; save it smaller or choose another.`);
  }
  if (!file.size) throw new ApiError(`${file.name} is empty; choose another.`);
  return { blob: file, name: stemOf(file.name) };
}

async function fetchSample(url) {
  const response = await reach(fetch(url));
  if (!response.ok) throw new ApiError("The sample did not come; reload the page and try again.");
  return { blob: await reach(response.blob()), name: stemOf(url.split("/").at(-1)) };
}

function stemOf(name) {
  return name.replace(/\.[^.]*$/, "") || "picture";
}
