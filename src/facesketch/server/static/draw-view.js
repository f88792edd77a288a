/** The drawing desk: tools, paper, and the photo that grows beside it. */

import { convertFrame } from "./api.js";
import { Board } from "./board.js";
import { LiveLoop } from "./live.js";
import { complain, say } from "./messages.js";
import { byId, settings } from "./settings.js";

export class DrawView {
  #isChanged = false;
  #isUnkept = false; // lines that are nowhere but on the paper
  #picture = /** @type {HTMLImageElement} */ (byId("drawn-picture"));
  #board;
  #loop;

  /** @param {(source: import("./work.js").Source) => void} take Called with the finished drawing. */
  constructor(take) {
    this.#board = new Board(byId("board"), byId("pen-point"), () => this.#changed());
    this.#loop = new LiveLoop(
      {
        grab: () => this.#grab(),
        send: (drawing, signal) => convertFrame(drawing, { direction: "sketch2photo", align: "none" }, signal),
        show: (photo) => this.#show(photo),
        wait: (seconds) => {
          this.#isChanged = true; // what was sent is still to be shown
          say(`The server is busy; going on in ${seconds} s.`);
        },
        fail: (error) => complain(error.message),
      },
      settings.live_max_fps,
    );
    byId("pen").addEventListener("click", () => this.#choose(false));
    byId("eraser").addEventListener("click", () => this.#choose(true));
    byId("pen-width").addEventListener("input", (event) => (this.#board.width = Number(event.target.value)));
    byId("undo").addEventListener("click", () => this.#board.undo());
    byId("redo").addEventListener("click", () => this.#board.redo());
    byId("wipe").addEventListener("click", () => this.#board.clear());
    byId("guide").addEventListener("click", () => this.#toggleGuide());
    byId("keep-drawing").addEventListener("click", async () => {
      this.#isUnkept = false;
      take({ blob: await this.#board.toBlob(), name: "drawing", direction: "sketch2photo" });
    });
    byId("view-draw").addEventListener("keydown", (event) => this.#key(event));
    addEventListener("beforeunload", (event) => this.#isUnkept && event.preventDefault());
  }

  enter() {
    say("Eyes, nose and mouth first: that is what the photo hangs on.");
    this.#loop.start();
  }

  leave() {
    this.#loop.stop();
    this.#isChanged = this.#board.hasLines; // the photo may be of an older state
  }

  #changed() {
    this.#isChanged = true;
    this.#isUnkept = !this.#board.isBlank;
    const focused = document.activeElement;
    byId("undo").disabled = !this.#board.canUndo;
    byId("redo").disabled = !this.#board.canRedo;
    byId("wipe").disabled = !this.#board.hasLines;
    byId("keep-drawing").disabled = this.#board.isBlank;
    if (focused.disabled) byId("board").focus({ preventScroll: true }); // or focus would be lost
    if (this.#board.isBlank) this.#hide();
    this.#loop.start(); // if an error ended it
    this.#loop.poke();
  }

  #key(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    const key = event.key.toLowerCase(); // Caps Lock or Shift make it large
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) this.#board.redo();
    else this.#board.undo();
  }

  async #grab() {
    if (!this.#isChanged || this.#board.isBlank) return null;
    this.#isChanged = false;
    return this.#board.toBlob();
  }

  #show(photo) {
    if (this.#board.isBlank) return; // cleared meanwhile
    const old = this.#picture.src;
    this.#picture.src = URL.createObjectURL(photo);
    if (old) URL.revokeObjectURL(old);
    this.#picture.hidden = false;
    byId("drawn-blank").hidden = true;
    say("The photo follows your pen. Done takes it to the sheet.");
  }

  #hide() {
    this.#picture.hidden = true;
    byId("drawn-blank").hidden = false;
  }

  #choose(isEraser) {
    this.#board.isEraser = isEraser;
    byId("pen").setAttribute("aria-pressed", String(!isEraser));
    byId("eraser").setAttribute("aria-pressed", String(isEraser));
  }

  #toggleGuide() {
    const isOn = byId("guide").getAttribute("aria-pressed") !== "true";
    byId("guide").setAttribute("aria-pressed", String(isOn));
    byId("guide-lines").classList.toggle("gone", !isOn);
  }
}
