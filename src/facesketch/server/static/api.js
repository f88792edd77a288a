/** Talks to the API; every failure becomes a sentence. */

import { askForKey, hasKey, keyHeaders } from "./key.js";
import { settings } from "./settings.js";

const MAX_TRIES = 5;
const SILENCE_MS = 30_000; // in which not a byte went or came: the line is dead
const SILENT = "The connection has died. See that the network is there, then try again.";

/**
 * @typedef {"photo2sketch" | "sketch2photo"} Direction
 *
 * @typedef {Object} Options
 * @property {Direction | "auto"} direction
 * @property {string} [style] Of a drawing that is made.
 * @property {"none" | "portrait" | "whole"} align
 * @property {"largest" | "all"} [faces]
 *
 * @typedef {Object} Answer
 * @property {Direction} direction
 * @property {{domain: string, probability: number, is_sure: boolean} | null} detected
 * @property {number} milliseconds
 * @property {"none" | "portrait" | "whole"} alignment
 * @property {string | null} note
 * @property {{media_type: string, width: number, height: number, data: string}[]} images
 */

/** A refusal by the server, or its silence. */
export class ApiError extends Error {
  /**
   * @param {string} sentence To show as it is.
   * @param {number | null} retryAfterMs How long to wait before asking again, if that may help.
   */
  constructor(sentence, retryAfterMs = null) {
    super(sentence);
    this.name = "ApiError";
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * Convert one picture and learn all about it; waits and tries again while the server is busy.
 *
 * @param {Blob} picture
 * @param {Options} options
 * @param {AbortSignal} signal
 * @param {import("./progress.js").Progress} progress Hears how far it is.
 * @returns {Promise<Answer>}
 */
export async function convert(picture, options, signal, progress) {
  for (let tries = 1; ; tries += 1) {
    try {
      const response = await post(picture, options, "application/json", signal, (share) => progress.sent(share));
      return await reach(response.json());
    } catch (error) {
      if (!(error instanceof ApiError) || error.retryAfterMs === null || tries === MAX_TRIES) throw error;
      await countDown(error.retryAfterMs, signal, (seconds) => progress.wait(seconds));
    }
  }
}

/**
 * Convert one of many pictures, as small and as quick as it goes; does not wait.
 *
 * @param {Blob} picture
 * @param {Options} options
 * @param {AbortSignal} signal
 * @returns {Promise<Blob>} A JPEG.
 */
export async function convertFrame(picture, options, signal) {
  const response = await post(picture, options, "image/jpeg", signal);
  return reach(response.blob());
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>} Ends early, without an error, when the signal is given.
 */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}

async function countDown(milliseconds, signal, onWait) {
  for (let left = Math.ceil(milliseconds / 1000); left > 0; left -= 1) {
    onWait(left);
    await pause(1000, signal);
    signal.throwIfAborted();
  }
}

async function post(picture, options, accept, signal, onSent = () => {}) {
  const body = new FormData();
  body.append("image", picture, picture.name ?? "picture");
  for (const [name, value] of Object.entries(options)) body.append(name, value);
  if (settings.needs_key && !hasKey()) await askForKey(); // before a large picture goes for nothing
  for (;;) {
    signal.throwIfAborted();
    const headers = { Accept: `${accept}, application/problem+json`, ...keyHeaders() };
    const response = await send(body, headers, signal, onSent);
    if (response.ok) return response;
    if (response.status !== 401) throw await refusal(response);
    onSent(0);
    await askForKey();
  }
}

/**
 * Send a form by XMLHttpRequest, as fetch does not tell how much has left; a dead line is given up.
 *
 * @param {FormData} body
 * @param {Record<string, string>} headers
 * @param {AbortSignal} signal
 * @param {(share: number) => void} onSent How much has left, 0 to 1.
 * @returns {Promise<Response>}
 */
function send(body, headers, signal, onSent) {
  const request = new XMLHttpRequest();
  const abort = () => request.abort();
  let timer = 0;
  const giveUpAfter = (milliseconds) => {
    clearTimeout(timer);
    timer = setTimeout(abort, milliseconds);
  };
  request.open("POST", settings.addresses.convert);
  request.responseType = "blob";
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    giveUpAfter(SILENCE_MS);
    onSent(loaded / total);
  });
  request.upload.addEventListener("load", () => {
    giveUpAfter(1000 * settings.time_limit_s + SILENCE_MS); // the server converts
    onSent(1);
  });
  request.addEventListener("progress", () => giveUpAfter(SILENCE_MS));
  signal.addEventListener("abort", abort);
  giveUpAfter(SILENCE_MS);
  const answer = new Promise((resolve, reject) => {
    request.addEventListener("load", () => resolve(responseOf(request)));
    request.addEventListener("error", () => reject(new ApiError(unreachable())));
    request.addEventListener("abort", () => reject(signal.aborted ? signal.reason : new ApiError(SILENT)));
    request.send(body);
  });
  return answer.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  });
}

/**
 * @param {XMLHttpRequest} request That is done.
 * @returns {Response}
 */
function responseOf(request) {
  const headers = new Headers();
  for (const name of ["Content-Type", "Retry-After"]) {
    const value = request.getResponseHeader(name);
    if (value !== null) headers.set(name, value);
  }
  return new Response(request.response, { status: request.status, headers });
}

/**
 * Wait for the server, whose silence becomes a sentence.
 *
 * @template T
 * @param {Promise<T>} answer An answer that begins, or the rest of it.
 * @returns {Promise<T>}
 */
export async function reach(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(unreachable());
  }
}

function unreachable() {
  if (!navigator.onLine && !settings.is_local) return "This device is offline. Connect it, then try again.";
  return "The server cannot be reached. See that it still runs, then try again.";
}

async function refusal(response) {
  const isBusy = response.status === 429 || response.status === 503;
  const seconds = Number(response.headers.get("Retry-After")) || 1;
  const retryAfterMs = isBusy ? seconds * 1000 : null;
  const isProblem = response.headers.get("Content-Type")?.includes("application/problem+json");
  const problem = isProblem ? await reach(response.json()) : {};
  const sentence = problem.detail ?? `The server answered ${response.status}; try again, or try another picture.`;
  return new ApiError(sentence, retryAfterMs);
}
