/** A work: a picture, what became of it, and the addresses that show both. */

/**
 * @typedef {import("./api.js").Direction} Direction
 *
 * @typedef {Object} Source A picture that can be converted.
 * @property {Blob} blob
 * @property {string} name Without its ending.
 * @property {Direction} [direction] Known by where it came from; else the choice on the page counts.
 *
 * @typedef {Object} Picture What the page shows of a blob.
 * @property {Blob} blob
 * @property {string} url
 * @property {boolean} isShown Whether this browser can show it at all.
 * @property {number} width
 * @property {number} height
 *
 * @typedef {Object} Work
 * @property {Source} source
 * @property {Picture} before
 * @property {Picture} after
 * @property {Direction} direction
 * @property {"none" | "portrait" | "whole"} alignment What was done with the faces.
 * @property {boolean} isAligned Whether the result has the same outline as the source.
 */

/**
 * @param {Blob} blob
 * @returns {Promise<Picture>} To be given to `release` when it is no longer shown.
 */
export async function openPicture(blob) {
  const url = URL.createObjectURL(blob);
  const image = new Image();
  image.src = url;
  const isShown = await image.decode().then(
    () => true,
    () => false, // HEIC in most browsers; the server may well read it
  );
  return { blob, url, isShown, width: image.naturalWidth, height: image.naturalHeight };
}

/** @param {Picture[]} pictures Their addresses stop working, their memory is given back. */
export function release(...pictures) {
  for (const picture of pictures) URL.revokeObjectURL(picture.url);
}

/**
 * Make works of an answer, one for each picture in it.
 *
 * @param {Source} source
 * @param {import("./api.js").Answer} answer
 * @returns {Promise<Work[]>}
 */
export function worksOf(source, answer) {
  return Promise.all(
    answer.images.map(async (image) => {
      const blob = new Blob([bytesOf(image.data)], { type: image.media_type });
      const [before, after] = await Promise.all([openPicture(source.blob), openPicture(blob)]);
      const isAligned = answer.alignment !== "portrait" && before.isShown && haveSameShape(before, after);
      return { source, before, after, direction: answer.direction, alignment: answer.alignment, isAligned };
    }),
  );
}

/**
 * @param {Work} work
 * @returns {string} A file name that says what it is.
 */
export function fileName(work) {
  const kind = work.direction === "photo2sketch" ? "sketch" : "photo";
  return `${work.source.name}-${kind}.png`;
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function haveSameShape(one, other) {
  const ratio = one.width / one.height / (other.width / other.height);
  return Math.abs(ratio - 1) < 0.02;
}
