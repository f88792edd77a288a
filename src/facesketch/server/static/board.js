/** Paper to draw on: lines kept as lines, so that each can be taken back and drawn again. */

const PAPER = "#fff";
const INK = "#1c1a18";
const STEP = 8; // pixels of the drawing that an arrow key moves the pen
const FINE_STEP = 2;
const CLEARED = null; // a step that takes all lines off the paper
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @typedef {{x: number, y: number, pressure: number}} Point
 * @typedef {{isEraser: boolean, width: number, points: Point[]}} Line
 */

export class Board {
  /** @type {(Line | null)[]} */
  #steps = [];
  /** @type {(Line | null)[]} Taken back, the last one last. */
  #undone = [];
  /** @type {Line | null} */
  #line = null;
  /** @type {number | null} */
  #pointer = null;
  #cursor;
  #canvas;
  #pen;
  #point;
  #onChange;
  isEraser = false;
  width = 3;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} point Marks where the pen is when it is led by keys.
   * @param {() => void} onChange Called whenever the drawing changes, within lines too.
   */
  constructor(canvas, point, onChange) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d", { willReadFrequently: true });
    this.#point = point;
    this.#onChange = onChange;
    this.#cursor = { x: canvas.width / 2, y: canvas.height / 3, pressure: 0.5 };
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => event.pointerId === this.#pointer && this.#up()); // not a palm's
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#up());
    this.#redraw();
  }

  /** @returns {Line[]} What is on the paper. */
  get #lines() {
    return this.#steps.slice(this.#steps.lastIndexOf(CLEARED) + 1);
  }

  get isBlank() {
    return !this.#lines.some((line) => !line.isEraser);
  }

  get hasLines() {
    return this.#lines.length > 0;
  }

  get canUndo() {
    return this.#steps.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  undo() {
    this.#moveLast(this.#steps, this.#undone);
  }

  redo() {
    this.#moveLast(this.#undone, this.#steps);
  }

  clear() {
    this.#up();
    this.#add(CLEARED);
    this.#changed();
  }

  /** @returns {Promise<Blob>} The drawing, a PNG. */
  toBlob() {
    return new Promise((resolve) => this.#canvas.toBlob(resolve, "image/png"));
  }

  #down(event) {
    if (this.#pointer !== null || event.button !== 0) return;
    event.preventDefault(); // no text selection, no scrolling
    this.#canvas.focus({ preventScroll: true });
    this.#up();
    this.#point.hidden = true;
    this.#pointer = event.pointerId;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#begin(this.#place(event));
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const moved of events.length ? events : [event]) this.#go(this.#place(moved));
    this.#onChange();
  }

  #up() {
    this.#line = null;
    this.#pointer = null;
    this.#point.classList.remove("down");
  }

  #key(event) {
    if (event.key === " ") {
      if (this.#line) this.#up();
      else this.#begin({ ...this.#cursor });
      this.#showPoint();
    } else if (event.key in ARROWS) {
      const step = event.shiftKey ? FINE_STEP : STEP;
      const [x, y] = ARROWS[event.key];
      this.#cursor.x = clamp(this.#cursor.x + x * step, this.#canvas.width);
      this.#cursor.y = clamp(this.#cursor.y + y * step, this.#canvas.height);
      if (this.#line) {
        this.#go({ ...this.#cursor });
        this.#onChange();
      }
      this.#showPoint();
    } else {
      return;
    }
    event.preventDefault();
  }

  #showPoint() {
    this.#point.hidden = false;
    this.#point.classList.toggle("down", this.#line !== null);
    this.#point.style.setProperty("--x", `${(100 * this.#cursor.x) / this.#canvas.width}%`);
    this.#point.style.setProperty("--y", `${(100 * this.#cursor.y) / this.#canvas.height}%`);
  }

  /** Where an event is on the drawing; a mouse has no pressure and counts as half. */
  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) * this.#canvas.width) / box.width,
      y: ((event.clientY - box.top) * this.#canvas.height) / box.height,
      pressure: event.pointerType === "pen" ? event.pressure : 0.5,
    };
  }

  #begin(place) {
    this.#line = { isEraser: this.isEraser, width: this.width, points: [place] };
    this.#add(this.#line);
    this.#stroke(this.#line, 0);
    this.#onChange();
  }

  #go(place) {
    this.#line.points.push(place);
    this.#stroke(this.#line, this.#line.points.length - 1);
  }

  #add(step) {
    this.#steps.push(step);
    this.#undone = [];
  }

  /** Move the last of some steps to others. */
  #moveLast(from, to) {
    this.#up();
    if (from.length) to.push(from.pop());
    this.#changed();
  }

  #changed() {
    this.#redraw();
    this.#onChange();
  }

  #redraw() {
    this.#pen.fillStyle = PAPER;
    this.#pen.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    for (const line of this.#lines) line.points.forEach((_, index) => this.#stroke(line, index));
  }

  /** Draw the piece of a line that ends at a point; the first piece is a dot. */
  #stroke(line, index) {
    const from = line.points[Math.max(0, index - 1)];
    const to = line.points[index];
    this.#pen.strokeStyle = line.isEraser ? PAPER : INK;
    this.#pen.lineWidth = line.isEraser ? line.width * 4 : line.width * (0.4 + 1.2 * to.pressure);
    this.#pen.lineCap = "round";
    this.#pen.beginPath();
    this.#pen.moveTo(from.x, from.y);
    this.#pen.lineTo(to.x, to.y);
    this.#pen.stroke();
  }
}

function clamp(value, limit) {
  return Math.min(limit, Math.max(0, value));
}
