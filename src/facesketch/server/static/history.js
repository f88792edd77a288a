/** What was made on this visit: in the page's memory only, gone with it or at one press. */

import { say } from "./messages.js";
import { byId } from "./settings.js";
import { release } from "./work.js";

const MOST = 24; // works, as studio.html says; a large photo takes some MB
const REGRET_MS = 10_000; // in which all that was cleared can be brought back

export class Visit {
  /** @type {import("./work.js").Work[]} Newest first. */
  #works = [];
  /** @type {{works: import("./work.js").Work[], entries: Element[]} | null} */
  #cleared = null;
  #timer = 0; // until it is gone for good
  #count = 0; // of all that there were
  #list = byId("history");
  #clear = byId("clear-history");
  #restore = byId("restore-history");
  #onOpen;

  /**
   * @param {(work: import("./work.js").Work) => void} onOpen The person wants to see a work again.
   * @param {() => void} onClear All works are gone.
   */
  constructor(onOpen, onClear) {
    this.#onOpen = onOpen;
    this.#clear.addEventListener("click", () => {
      this.#clearAll();
      onClear();
      say(`Cleared. It can be brought back for ${REGRET_MS / 1000} s.`);
    });
    this.#restore.addEventListener("click", () => this.#bringBack());
    this.#follow();
  }

  /** @param {import("./work.js").Work} work */
  add(work) {
    this.#forget();
    this.#count += 1;
    this.#works.unshift(work);
    this.#list.prepend(this.#entry(work, this.#count)); // the others stay, and focus on one of them
    for (const old of this.#works.splice(MOST)) {
      release(old.before, old.after);
      this.#list.lastElementChild.remove();
    }
    this.#follow();
  }

  #clearAll() {
    this.#cleared = { works: this.#works.splice(0), entries: [...this.#list.children] };
    this.#list.replaceChildren();
    this.#timer = setTimeout(() => this.#forget(), REGRET_MS);
    this.#follow();
    this.#restore.focus(); // the other button is gone
  }

  #bringBack() {
    clearTimeout(this.#timer);
    this.#works = this.#cleared.works;
    this.#list.replaceChildren(...this.#cleared.entries);
    this.#cleared = null;
    this.#follow();
    this.#clear.focus();
    say("");
  }

  /** What was cleared is gone for good. */
  #forget() {
    if (!this.#cleared) return;
    clearTimeout(this.#timer);
    for (const work of this.#cleared.works) release(work.before, work.after);
    this.#cleared = null;
    if (document.activeElement === this.#restore) byId("stage").focus({ preventScroll: true });
    this.#follow();
  }

  #follow() {
    const isEmpty = this.#works.length === 0;
    this.#clear.hidden = isEmpty;
    this.#restore.hidden = !this.#cleared;
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
  image.src = picture.thumb;
  image.alt = "";
  image.className = className;
  return image;
}
