/** What was made on this visit: in the page's memory only, gone with it or at one press. */

import { byId } from "./settings.js";
import { release } from "./work.js";

const MOST = 24; // works; a large photo takes some MB

export class Visit {
  /** @type {import("./work.js").Work[]} Newest first. */
  #works = [];
  #count = 0; // of all that there were
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
    this.#follow();
  }

  /** @param {import("./work.js").Work} work */
  add(work) {
    this.#count += 1;
    this.#works.unshift(work);
    this.#list.prepend(this.#entry(work, this.#count)); // the others stay, and focus on one of them
    for (const old of this.#works.splice(MOST)) {
      release(old.before, old.after);
      this.#list.lastElementChild.remove();
    }
    this.#follow();
  }

  clear() {
    for (const work of this.#works.splice(0)) release(work.before, work.after);
    this.#list.replaceChildren();
    this.#follow();
  }

  #follow() {
    const isEmpty = this.#works.length === 0;
    this.#clear.hidden = isEmpty;
    byId("visit-empty").hidden = !isEmpty;
  }

  #entry(work, number) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "print small";
    const kind = work.direction === "photo2sketch" ? "drawn" : "made a photo";
    button.setAttribute("aria-label", `${work.source.name}, ${kind}, number ${number}`);
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
