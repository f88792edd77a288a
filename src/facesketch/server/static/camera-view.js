/** The camera's sheet: preview, one picture, or live. */

import { convertFrame } from "./api.js";
import { Camera } from "./camera.js";
import { LiveLoop } from "./live.js";
import { complain, say } from "./messages.js";
import { byId, settings } from "./settings.js";

const LIVE_SIDE = 256; // pixels: what the generators learned
const SHOT_SIDE = 1024;

export class CameraView {
  #camera = new Camera(byId("video"), () => {
    this.#reset();
    complain("The camera was taken away; connect it and turn it on again.");
  });
  #picture = /** @type {HTMLImageElement} */ (byId("live-picture"));
  #loop;

  /**
   * @param {(source: import("./work.js").Source) => void} take Called with a picture that was taken.
   * @param {() => import("./api.js").Options} options What the person chose.
   */
  constructor(take, options) {
    this.#loop = new LiveLoop(
      {
        grab: () => this.#camera.grab(LIVE_SIDE, 0.85),
        send: (picture, signal) => convertFrame(picture, { ...options(), faces: "largest" }, signal),
        show: (result, rate) => this.#show(result, rate),
        wait: (seconds) => say(`The server is busy; live goes on in ${seconds} s.`),
        fail: (error) => {
          this.#endLive();
          complain(error.message);
        },
      },
      settings.live_max_fps,
    );
    byId("camera-on").addEventListener("click", () => this.#turnOn(() => this.#camera.start()));
    byId("camera-other").addEventListener("click", () => this.#turnOn(() => this.#camera.turn()));
    byId("camera-stop").addEventListener("click", () => this.leave());
    byId("live").addEventListener("click", () => (this.#loop.isRunning ? this.#endLive() : this.#beginLive()));
    byId("shutter").addEventListener("click", async () => {
      take({ blob: await this.#camera.grab(SHOT_SIDE, 0.92), name: "camera" });
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && this.#camera.isOn) this.#hide();
    });
    addEventListener("pagehide", () => this.leave());
  }

  enter() {
    say("");
  }

  /** Turn everything off: no light on the camera while nobody looks. */
  leave() {
    this.#camera.stop();
    this.#reset();
    say("");
  }

  #hide() {
    this.leave();
    say("The camera was turned off while the page was hidden.");
  }

  async #turnOn(start) {
    const wasLive = this.#loop.isRunning;
    this.#endLive();
    for (const id of ["camera-on", "camera-other", "shutter", "live"]) byId(id).disabled = true;
    say("Waiting for the camera; the browser may ask you.");
    try {
      if (!(await start())) return;
      if (document.hidden) return this.#hide();
      byId("video").classList.toggle("mirrored", this.#camera.isMirrored);
      byId("live-picture").classList.toggle("mirrored", this.#camera.isMirrored);
      this.#enable(true);
      byId("camera-other").hidden = !(await this.#camera.hasAnother());
      say("The camera is on.");
      byId("shutter").focus();
      if (wasLive) this.#beginLive();
    } catch (error) {
      this.#reset();
      byId("phone-camera").classList.add("wanted");
      complain(error.message);
    }
  }

  #reset() {
    this.#endLive();
    this.#enable(false);
    byId("camera-other").hidden = true;
  }

  #enable(isOn) {
    byId("camera-off").hidden = isOn;
    byId("camera-on").disabled = false;
    byId("camera-other").disabled = false;
    for (const id of ["shutter", "live", "camera-stop"]) byId(id).disabled = !isOn;
  }

  #beginLive() {
    byId("live").setAttribute("aria-pressed", "true");
    say("Live: the camera's pictures are converted one after the other.");
    this.#loop.start();
  }

  #endLive() {
    this.#loop.stop();
    byId("live").setAttribute("aria-pressed", "false");
    byId("live-sheet").hidden = true;
    byId("camera-duo").classList.remove("is-live");
    if (this.#picture.src) URL.revokeObjectURL(this.#picture.src);
    this.#picture.removeAttribute("src");
  }

  #show(result, rate) {
    const old = this.#picture.src;
    this.#picture.src = URL.createObjectURL(result);
    if (old) URL.revokeObjectURL(old);
    byId("live-sheet").hidden = false;
    byId("camera-duo").classList.add("is-live");
    byId("live-fps").textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} pictures a second`;
  }
}
