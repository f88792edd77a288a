/** The camera: on when asked, off when hidden, and a sentence for whatever goes wrong. */

import { drawSquare } from "./square.js";

const SENTENCES = {
  NotAllowedError: "The camera was refused. Allow it in the browser's settings for this page, then turn it on again.",
  NotFoundError: "No camera was found. Connect one, or choose a picture instead.",
  OverconstrainedError: "No camera was found. Connect one, or choose a picture instead.",
  NotReadableError: "The camera is busy. Close the program or the tab that uses it, then turn it on again.",
  AbortError: "The camera is busy. Close the program or the tab that uses it, then turn it on again.",
};
const FRONT = { facingMode: "user" };
const NEEDS_HTTPS =
  "Browsers give the camera to safe pages only: open this server over HTTPS or on localhost, or use the camera app.";

/** A camera that could not be had; its message is a sentence to show. */
export class CameraError extends Error {}

export class Camera {
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {MediaTrackConstraints} */
  #wish = FRONT;
  #asked = 0; // counts starts and stops: an answer to an older question is void
  #video;
  #canvas = document.createElement("canvas");

  /**
   * @param {HTMLVideoElement} video Shows what the camera sees.
   * @param {() => void} onLost Called when the camera is taken away, by unplugging for one.
   */
  constructor(video, onLost) {
    this.#video = video;
    this.onLost = onLost;
  }

  get isOn() {
    return this.#stream !== null;
  }

  /** Whether the camera looks at the person, so that the preview wants mirroring. */
  get isMirrored() {
    return this.#track?.getSettings().facingMode !== "environment";
  }

  /**
   * Ask for the camera and show it.
   *
   * @returns {Promise<boolean>} Whether it is on; false if it was stopped before the person answered.
   * @throws {CameraError} If there is none to be had.
   */
  async start() {
    if (!navigator.mediaDevices) throw new CameraError(NEEDS_HTTPS);
    this.#asked += 1;
    const question = this.#asked;
    try {
      const video = { ...this.#wish, width: { ideal: 1280 }, height: { ideal: 960 } };
      const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
      if (question !== this.#asked) return turnOff(stream);
      this.#stream = stream;
      this.#video.srcObject = stream;
      await this.#video.play();
    } catch (error) {
      if (question !== this.#asked) return false;
      this.stop();
      this.#wish = FRONT; // another one may be gone
      throw new CameraError(SENTENCES[error.name] ?? `The camera did not start (${error.message}).`);
    }
    this.#track.addEventListener("ended", () => {
      this.stop();
      this.#wish = FRONT;
      this.onLost();
    });
    return true;
  }

  stop() {
    this.#asked += 1;
    if (this.#stream) turnOff(this.#stream);
    this.#stream = null;
    this.#video.srcObject = null;
  }

  /** Turn to the next of the cameras; otherwise as `start`. */
  async turn() {
    const current = this.#track?.getSettings().deviceId;
    const question = this.#asked;
    const ids = await cameraIds();
    if (question !== this.#asked) return false;
    this.stop();
    this.#wish = { deviceId: { exact: ids[(ids.indexOf(current) + 1) % ids.length] } };
    return this.start();
  }

  /** @returns {Promise<boolean>} Whether there is another camera to turn to. */
  async hasAnother() {
    return (await cameraIds()).length > 1;
  }

  get #track() {
    return this.#stream?.getVideoTracks()[0];
  }

  /**
   * Take the square middle of the picture, not mirrored.
   *
   * @param {number} maxSide In pixels.
   * @param {number} quality Of the JPEG, 0 to 1.
   * @returns {Promise<Blob>}
   */
  grab(maxSide, quality) {
    drawSquare(this.#canvas, this.#video, this.#video.videoWidth, this.#video.videoHeight, maxSide);
    return new Promise((resolve) => this.#canvas.toBlob(resolve, "image/jpeg", quality));
  }
}

async function cameraIds() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "videoinput").map((device) => device.deviceId);
}

function turnOff(stream) {
  for (const track of stream.getTracks()) track.stop();
  return false;
}
