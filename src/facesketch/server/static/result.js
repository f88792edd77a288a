/** Shows a work on the sheet, and what can be done with it. */

import "./compare-slider.js";
import { complain, say } from "./messages.js";
import { byId } from "./settings.js";
import { fileName } from "./work.js";

const NAMES = {
  photo2sketch: { before: "Photo", after: "Drawing", back: "Back to a photo" },
  sketch2photo: { before: "Drawing", after: "Photo", back: "Back to a drawing" },
};
const dialog = /** @type {HTMLDialogElement} */ (byId("full-dialog"));

export class ResultView {
  /** @type {import("./work.js").Work | null} */
  #work = null;
  #mat = byId("result-mat");

  constructor() {
    byId("download").addEventListener("click", () => this.#download());
    byId("full").addEventListener("click", () => this.#openFull());
    byId("copy").addEventListener("click", () => this.#copy());
    byId("share").addEventListener("click", () => this.#share());
    // Browsers offer these to safe pages only, and not every browser does.
    byId("copy").hidden = !navigator.clipboard?.write || !("ClipboardItem" in window);
    const probe = new File([], "probe.png", { type: "image/png" });
    byId("share").hidden = !navigator.canShare?.({ files: [probe] });
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  }

  get work() {
    return this.#work;
  }

  /**
   * @param {import("./work.js").Work} work
   * @param {boolean} isNew Whether to unveil it.
   */
  show(work, isNew) {
    this.#work = work;
    const names = NAMES[work.direction];
    byId("turn-back-label").textContent = names.back;
    if (work.isAligned) {
      const slider = document.createElement("compare-slider");
      slider.setAttribute("before", names.before.toLowerCase());
      slider.setAttribute("after", names.after.toLowerCase());
      slider.append(slotted(work.before, "before"), slotted(work.after, "after"));
      const captions = [caption(names.before, "left"), caption(names.after, "right")];
      this.#mat.replaceChildren(fitted(work.after, slider, ...captions));
      if (isNew) slider.reveal();
    } else {
      this.#mat.replaceChildren(pair(work, names));
    }
  }

  clear() {
    this.#work = null;
    this.#mat.replaceChildren();
  }

  #download() {
    const link = document.createElement("a");
    link.href = this.#work.after.url;
    link.download = fileName(this.#work);
    link.click();
    say(`${link.download} was saved.`);
  }

  async #copy() {
    try {
      await navigator.clipboard.write([new ClipboardItem({ "image/png": this.#work.after.blob })]);
      say("Copied; paste it where you like.");
    } catch {
      complain("The browser did not let the page copy; use Download instead.");
    }
  }

  async #share() {
    const { blob } = this.#work.after;
    const file = new File([blob], fileName(this.#work), { type: blob.type });
    try {
      await navigator.share({ files: [file] });
    } catch (error) {
      if (error.name !== "AbortError") complain("The browser did not share it; use Download instead.");
    }
  }

  #openFull() {
    const work = this.#work;
    const names = NAMES[work.direction];
    const pictures = work.before.isShown ? [figure(work.before, names.before)] : [];
    byId("full-pictures").replaceChildren(...pictures, figure(work.after, names.after));
    dialog.showModal();
  }
}

/** Make a frame in the shape of a picture, as large as the mat allows. */
function fitted(picture, ...inside) {
  const frame = document.createElement("div");
  frame.className = "fitted";
  frame.style.setProperty("--ratio", String(picture.width / picture.height));
  frame.append(...inside);
  return frame;
}

function slotted(picture, slot) {
  const image = imageOf(picture, "");
  image.slot = slot;
  return image;
}

function caption(text, side) {
  const element = document.createElement("span");
  element.className = `caption ${side}`;
  element.textContent = text;
  return element;
}

function pair(work, names) {
  const both = document.createElement("div");
  both.className = "pair";
  if (work.before.isShown) {
    both.append(figure(work.before, names.before));
  } else {
    const blank = document.createElement("p");
    blank.className = "blank";
    blank.textContent = "This browser cannot show the original; the server could read it.";
    both.append(blank);
  }
  both.append(figure(work.after, names.after));
  return both;
}

function figure(picture, name) {
  const element = document.createElement("figure");
  const text = document.createElement("figcaption");
  text.textContent = name;
  element.append(imageOf(picture, name), text);
  return element;
}

function imageOf(picture, alt) {
  const image = new Image(picture.width, picture.height);
  image.src = picture.url;
  image.alt = alt;
  image.draggable = false;
  return image;
}
