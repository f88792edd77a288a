/** Says how far the conversion of a picture is, once it takes long. */

import { count, say, sizeInWords } from "./messages.js";

const SLOW_S = 2; // from here on it is counted

export class Progress {
  #size;
  #share = 0; // of the picture that has left
  #since = performance.now(); // it is sent, or converted
  #isWaiting = false;
  #clock = setInterval(() => this.#tell(), 1000);

  /** @param {Blob} picture */
  constructor(picture) {
    this.#size = sizeInWords(picture.size);
    say(`Sending ${this.#size} and converting it …`);
  }

  /** @param {number} share Of the picture that has left, 0 to 1. */
  sent(share) {
    if (this.#isWaiting || share === 1) this.#since = performance.now();
    this.#isWaiting = false;
    this.#share = share;
  }

  /** @param {number} seconds Until the server is asked again. */
  wait(seconds) {
    this.#isWaiting = true;
    count("The server is busy; trying again", `in ${seconds} s.`);
  }

  end() {
    clearInterval(this.#clock);
  }

  #tell() {
    const seconds = Math.round((performance.now() - this.#since) / 1000);
    if (this.#isWaiting || this.#share === 0 || seconds < SLOW_S) return;
    if (this.#share < 1) count(`Sending ${this.#size},`, `${Math.floor(100 * this.#share)} % so far …`);
    else count("Still converting,", `${seconds} s so far …`);
  }
}
