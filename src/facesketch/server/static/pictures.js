/** Pictures come in: chosen, dropped, pasted, or one of the samples. */

import { ApiError, reach } from "./api.js";
import { sizeInWords } from "./messages.js";
import { byId, settings } from "./settings.js";

/**
 * Listen for pictures.
 *
 * @param {(source: import("./work.js").Source, note?: string) => void} take
 * @param {(error: Error) => void} refuse Called with a sentence for the person.
 */
export function listenForPictures(take, refuse) {
  const takeFirst = ([file, ...others]) => {
    try {
      take(sourceOf(file), others.length ? `Took the first of ${others.length + 1} files.` : "");
    } catch (error) {
      refuse(error);
    }
  };
  for (const id of ["file", "phone-file"]) listenToField(byId(id), takeFirst);
  listenForDrops(takeFirst, refuse);
  document.addEventListener("paste", (event) => {
    const files = filesIn(event.clipboardData);
    if (files.length) takeFirst(files);
    else if (!isTextField(event.target)) refuse(new ApiError("There is no picture in the clipboard; copy one first."));
  });
  for (const button of document.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", () => fetchSample(button.dataset.sample).then(take, refuse));
  }
}

function listenToField(field, takeFirst) {
  field.addEventListener("change", () => {
    const files = [...field.files];
    field.value = ""; // so that the same file can be chosen again
    if (files.length) takeFirst(files);
  });
}

function listenForDrops(takeFirst, refuse) {
  let depth = 0; // dragenter and dragleave come for every element on the way
  const mark = (event, change) => {
    if (event.dataTransfer?.types.includes("Files")) depth += change;
    document.body.classList.toggle("dragging", depth > 0);
  };
  document.addEventListener("dragenter", (event) => mark(event, 1));
  document.addEventListener("dragleave", (event) => mark(event, -1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // or a link would be followed, away from here
    mark(event, -depth);
    const files = filesIn(event.dataTransfer);
    if (files.length) takeFirst(files);
    else refuse(new ApiError("That was not a picture file; save the picture first, then drop the file."));
  });
}

/** Any file will do: the server judges, and its sentence is better than a guess by name. */
function filesIn(transfer) {
  return [...(transfer?.files ?? [])];
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
