/** What was made on this visit: in the page's memory only, gone with it or at one press. */

import { byId } from "./settings.js";
import { release } from "./work.js";

const MOST = 24; // works; a large photo takes some MB

export class Visit {
  /** @type {import("./work.js").Work[]} Newest first. */
  #works = [];
  #list = byId("history");
  #clear = byId("clear-history");
  #onOpen;

  /**
   * @param {(work: import("./work.js").Work) => void} onOpen The person wants to see a work again.
   * @param {() => void} onClear All works are gone.
   */
  constructor(onOpen, onClear) {
    this.#onOpen = onOpen;
    this.#clear.addEventListener("click", () => {
      this.clear();
      onClear();
      byId("stage").focus({ preventScroll: true }); // this button is gone
    });
    this.#draw();
  }

  /** @param {import("./work.js").Work} work */
  add(work) {
    this.#works.unshift(work);
    for (const old of this.#works.splice(MOST)) release(old.before, old.after);
    this.#draw();
  }

  clear() {
    for (const work of this.#works.splice(0)) release(work.before, work.after);
    this.#draw();
  }

  #draw() {
    const isEmpty = this.#works.length === 0;
    this.#clear.hidden = isEmpty;
    byId("visit-empty").hidden = !isEmpty;
    this.#list.replaceChildren(...this.#works.map((work, index) => this.#entry(work, index)));
  }

  #entry(work, index) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "print small";
    const kind = work.direction === "photo2sketch" ? "drawn" : "made a photo";
    button.setAttribute("aria-label", `${work.source.name}, ${kind}, number ${this.#works.length - index}`);
    button.append(thumb(work.after, "after"));
    if (work.before.isShown) button.append(thumb(work.before, "before"));
    button.addEventListener("click", () => this.#onOpen(work));
    const entry = document.createElement("li");
    entry.append(button);
    return entry;
  }
}

function thumb(picture, className) {
  const image = new Image();
  image.decoding = "async"; // it may be a large photo
  image.src = picture.url;
  image.alt = "";
  image.className = className;
  return image;
}
