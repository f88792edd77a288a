/** Converts whatever is newest, again and again, one request in flight at a time. */

import { pause } from "./api.js";

const RECENT = 12; // answers that the rate is taken from

/**
 * @typedef {Object} Parts
 * @property {() => Promise<Blob | null>} grab The newest picture, or null: nothing new, wait for `poke`.
 * @property {(picture: Blob, signal: AbortSignal) => Promise<Blob>} send
 * @property {(result: Blob, rate: number) => void} show Rate in results a second.
 * @property {(seconds: number) => void} wait The server asked for a pause.
 * @property {(error: Error) => void} fail Something else went wrong, and the loop has ended.
 */

export class LiveLoop {
  /** @type {AbortController | null} */
  #controller = null;
  #parts;
  #leastMs;
  /** @type {(() => void) | null} */
  #wake = null;

  /**
   * @param {Parts} parts
   * @param {number} maxRate Most pictures a second that the server wants.
   */
  constructor(parts, maxRate) {
    this.#parts = parts;
    this.#leastMs = 1000 / maxRate;
  }

  get isRunning() {
    return this.#controller !== null;
  }

  start() {
    if (this.#controller) return;
    this.#controller = new AbortController();
    this.#run(this.#controller.signal);
  }

  /** End now: what is in flight is aborted, so that the server drops it too. */
  stop() {
    this.#controller?.abort();
    this.#controller = null;
    this.poke();
  }

  /** Say that there is something new to grab. */
  poke() {
    this.#wake?.();
    this.#wake = null;
  }

  async #run(signal) {
    const times = [];
    while (!signal.aborted) {
      const began = performance.now();
      try {
        const picture = await this.#parts.grab();
        if (signal.aborted) return;
        if (!picture) {
          times.length = 0; // the person paused, not the server
          await this.#untilPoked();
          continue;
        }
        const result = await this.#parts.send(picture, signal);
        if (signal.aborted) return;
        times.push(performance.now());
        if (times.length > RECENT) times.shift();
        this.#parts.show(result, rateOf(times));
      } catch (error) {
        if (signal.aborted) return;
        if (!error.retryAfterMs) return this.#fail(error);
        this.#parts.wait(Math.ceil(error.retryAfterMs / 1000));
        await pause(error.retryAfterMs, signal);
      }
      await pause(Math.max(0, this.#leastMs - (performance.now() - began)), signal);
    }
  }

  #untilPoked() {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #fail(error) {
    this.#controller = null;
    this.#parts.fail(error);
  }
}

function rateOf(times) {
  const elapsed = times.at(-1) - times[0];
  return elapsed > 0 ? ((times.length - 1) * 1000) / elapsed : 0;
}
