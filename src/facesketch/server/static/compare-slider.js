/**
 * <compare-slider>: two pictures in slots "before" and "after" and a line to draw between them.
 *
 * A range input over the whole picture does the work, so that keyboard, touch, mouse and screen
 * readers all know it. Attributes: `before` and `after`, what the pictures are called.
 */

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
  :host { display: block; position: relative; overflow: hidden; }
  ::slotted(img) { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
  .before { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--at)) 0 0); }
  .line { position: absolute; inset-block: 0; left: var(--at); width: 2px; translate: -1px 0;
    background: var(--slider-line, #fff); box-shadow: 0 0 0 1px rgb(0 0 0 / .18); pointer-events: none; }
  .knob { position: absolute; top: 50%; left: 50%; width: 44px; height: 44px; translate: -50% -50%;
    border-radius: 50%; background: var(--slider-knob, #fff); color: var(--slider-ink, #222);
    box-shadow: 0 1px 6px rgb(0 0 0 / .35); display: grid; place-items: center; }
  svg { width: 26px; fill: none; stroke: currentcolor; stroke-width: 1.8; stroke-linecap: round;
    stroke-linejoin: round; }
  input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
    cursor: ew-resize; touch-action: pan-y; appearance: none; }
  input::-webkit-slider-thumb { appearance: none; width: 1px; height: 100%; }
  input::-moz-range-thumb { width: 1px; height: 100%; border: 0; }
  input:focus-visible ~ .line .knob { outline: 3px solid var(--slider-focus, Highlight); outline-offset: 3px; }
`);
const INSIDE = `
  <slot name="after"></slot>
  <div class="before"><slot name="before"></slot></div>
  <input type="range" min="0" max="100" step="0.5" value="50">
  <div class="line"><span class="knob"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M9 7l-5 5 5 5M15 7l5 5-5 5"/></svg></span></div>
`;
const REVEAL_MS = 900;

export class CompareSlider extends HTMLElement {
  #root = this.attachShadow({ mode: "open", delegatesFocus: true });

  connectedCallback() {
    this.#root.adoptedStyleSheets = [STYLE];
    this.#root.innerHTML = INSIDE;
    this.input.setAttribute("aria-label", `Compare: ${this.getAttribute("before")} to the left, ${this.getAttribute("after")} to the right`);
    this.input.addEventListener("input", () => this.#draw());
    this.#draw();
  }

  /** @returns {HTMLInputElement} */
  get input() {
    return this.#root.querySelector("input");
  }

  /** Wipe from the picture before to the middle, once; at once where motion is unwelcome. */
  reveal() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const began = performance.now();
    let isTouched = false;
    this.input.addEventListener("input", () => (isTouched = true), { once: true });
    const step = (now) => {
      if (isTouched || !this.isConnected) return;
      const part = Math.min(1, Math.max(0, now - began) / REVEAL_MS);
      this.input.value = String(100 - 50 * (1 - (1 - part) ** 3));
      this.#draw();
      if (part < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  #draw() {
    const share = Number(this.input.value);
    this.style.setProperty("--at", `${share}%`);
    this.input.setAttribute("aria-valuetext", `${Math.round(share)} % ${this.getAttribute("before")}`);
  }
}

customElements.define("compare-slider", CompareSlider);
