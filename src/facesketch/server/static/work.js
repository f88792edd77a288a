/** A work: a picture, what became of it, and the addresses that show both. */

import { drawSquare } from "./square.js";

const THUMB_SIDE = 160; // pixels: twice what the visit shows

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
 * @property {string} thumb The address of its square middle, small.
 * @property {number} uses How many have it still to be released.
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
    () => image.naturalWidth > 0,
    () => false, // HEIC in most browsers; the server may well read it
  );
  const thumb = isShown ? await thumbOf(image) : "";
  return { blob, url, isShown, width: image.naturalWidth, height: image.naturalHeight, thumb, uses: 1 };
}

/** @param {Picture[]} pictures Whose memory is given back when all that use them have said so. */
export function release(...pictures) {
  for (const picture of pictures) {
    picture.uses -= 1;
    if (picture.uses === 0) [picture.url, picture.thumb].forEach((url) => URL.revokeObjectURL(url));
  }
}

/**
 * Make works of an answer, one for each picture in it.
 *
 * @param {Source} source
 * @param {Picture} before The source, opened; every work uses it.
 * @param {import("./api.js").Answer} answer
 * @returns {Promise<Work[]>}
 */
export function worksOf(source, before, answer) {
  before.uses += answer.images.length;
  return Promise.all(
    answer.images.map(async (image) => {
      const blob = new Blob([bytesOf(image.data)], { type: image.media_type });
      const after = await openPicture(blob);
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

async function thumbOf(image) {
  const canvas = document.createElement("canvas");
  drawSquare(canvas, image, image.naturalWidth, image.naturalHeight, THUMB_SIDE);
  return URL.createObjectURL(await new Promise((done) => canvas.toBlob(done)));
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function haveSameShape(one, other) {
  const ratio = one.width / one.height / (other.width / other.height);
  return Math.abs(ratio - 1) < 0.02;
}
