/** The studio: which view is on the desk, and the way of a picture from source to result. */

import { convert } from "./api.js";
import { CameraView } from "./camera-view.js";
import { DrawView } from "./draw-view.js";
import { Visit } from "./history.js";
import { takeKeyFromAddress } from "./key.js";
import { complain, say } from "./messages.js";
import { chosenOptions, chosenStyle, enableOptions, listenToOptions, offerStyles } from "./options.js";
import { listenForPictures } from "./pictures.js";
import { Progress } from "./progress.js";
import { ResultView } from "./result.js";
import { byId } from "./settings.js";
import { openPicture, release, worksOf } from "./work.js";

const VIEWS = ["welcome", "working", "result", "camera", "draw"];
const OTHER_WAY = { photo2sketch: "sketch2photo", sketch2photo: "photo2sketch" };

/** @type {AbortController | null} What is being converted; a new picture aborts it. */
let current = null;
/** @type {import("./work.js").Source | null} What lies on the sheet, converted again when an option changes. */
let onSheet = null;
let mode = "picture";
const stage = byId("stage");
const result = new ResultView();
const visit = new Visit((work) => openWork(work), () => startOver());
const views = {
  picture: { enter: () => show(current ? "working" : result.work ? "result" : "welcome"), leave: leavePicture },
  camera: enteringShows("camera", new CameraView(take, chosenOptions)),
  draw: enteringShows("draw", new DrawView(take)),
};

function enteringShows(name, view) {
  const enter = () => {
    show(name);
    view.enter();
  };
  return { enter, leave: () => view.leave() };
}

/** Put one view on the desk; focus that was on the desk stays there. */
function show(name) {
  const focused = document.activeElement;
  const hadFocus = stage.contains(focused);
  for (const view of VIEWS) byId(`view-${view}`).hidden = view !== name;
  if (!hadFocus || (focused !== stage && focused.getClientRects().length)) return;
  const target = stage.querySelector(".view:not([hidden]) compare-slider") ?? stage;
  target.focus({ preventScroll: true });
}

function changeMode(name) {
  if (name !== mode) {
    views[mode].leave();
    mode = name;
    say("");
    scrollTo(0, 0);
  }
  for (const button of document.querySelectorAll("[data-mode]")) {
    button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  }
  enableOptions(mode !== "draw");
  followDirection();
  views[mode].enter();
}

/** Offer the styles if a drawing is made: by choice, or of the picture on the sheet. */
function followDirection() {
  if (mode === "draw") return offerStyles("sketch2photo");
  const { direction } = chosenOptions(mode === "picture" ? onSheet?.direction : undefined);
  const detected = (mode === "picture" && result.work?.direction) || "auto";
  offerStyles(direction === "auto" ? detected : direction);
}

/** Let go of what is being converted, without a word. */
function drop() {
  current?.abort();
  current = null;
}

/** Stop what is being converted; the sheet keeps what was there before. */
function leavePicture() {
  drop();
  onSheet = result.work?.source ?? null;
}

/** A picture came in: convert it, whatever the page was doing. */
function take(source, note = "") {
  changeMode("picture");
  // Where a picture came from tells its direction only until the person says otherwise.
  convertSource(source, chosenOptions(source.direction), note);
}

/** Convert a picture and show what became of it, with a note; a newer call takes over. */
async function convertSource(source, options, note = "") {
  drop();
  onSheet = source;
  const controller = new AbortController();
  current = controller;
  const { signal } = controller;
  const picture = await openPicture(source.blob);
  try {
    signal.throwIfAborted();
    showWorking(picture);
    const answer = await patiently(source, options, signal);
    const works = await worksOf(source, picture, answer);
    if (signal.aborted) works.forEach((done) => release(done.before, done.after));
    signal.throwIfAborted();
    for (const done of works.reverse()) visit.add(done);
    openWork(works.at(-1), true);
    say(`${note} ${inWords(answer)}`.trim());
  } catch (error) {
    if (current !== controller) return; // something newer speaks for itself
    if (result.work) onSheet = result.work.source; // which is what is seen, and options are about
    show(result.work ? "result" : "welcome");
    if (error.name === "AbortError") say("Cancelled.");
    else complain(error.message);
  } finally {
    release(picture);
    if (current === controller) current = null;
  }
}

/** Convert, and say how far it is. */
async function patiently(source, options, signal) {
  const progress = new Progress(source.blob);
  try {
    return await convert(source.blob, options, signal, progress);
  } finally {
    progress.end();
  }
}

function showWorking(picture) {
  const image = /** @type {HTMLImageElement} */ (byId("working-picture"));
  const blank = byId("working-blank");
  image.hidden = !picture.isShown;
  blank.hidden = picture.isShown;
  blank.textContent = "This browser cannot show the picture; the server may well read it.";
  image.src = picture.isShown ? picture.url : "";
  show("working");
}

function openWork(done, isNew = false) {
  if (!isNew) {
    drop();
    changeMode("picture");
    onSheet = done.source;
    say("");
    scrollTo(0, 0);
  }
  result.show(done, isNew);
  followDirection();
  show("result");
}

function startOver() {
  drop();
  onSheet = null;
  result.clear();
  followDirection();
  say("");
  if (mode === "picture") show("welcome");
}

/** What was done, in a sentence or two. */
function inWords(answer) {
  const sentences = [];
  if (answer.detected) {
    const { domain, probability, is_sure: isSure } = answer.detected;
    const kind = domain === "photo" ? "a photo" : "a drawing";
    sentences.push(
      isSure
        ? `Taken for ${kind}.`
        : `This may be ${kind} (${Math.round(100 * probability)} %); if not, change the direction.`,
    );
  }
  if (answer.note) sentences.push(answer.note);
  if (answer.images.length > 1) sentences.push(`${answer.images.length} faces, all in This visit.`);
  const ms = answer.milliseconds;
  sentences.push(ms < 1000 ? `Done in ${Math.round(ms)} ms.` : `Done in ${(ms / 1000).toFixed(1)} s.`);
  return sentences.join(" ");
}

/** Feed the result back, the other way. */
function turnBack() {
  const done = result.work;
  const direction = OTHER_WAY[done.direction];
  const source = { blob: done.after.blob, name: `${done.source.name}-back`, direction };
  // A portrait has the learned framing already; a whole picture needs its scale again.
  const align = done.alignment === "whole" ? "whole" : "none";
  convertSource(source, { direction, align, ...chosenStyle(direction) });
}

takeKeyFromAddress();
listenForPictures(take, (error) => complain(error.message));
listenToOptions((name) => {
  if (onSheet && name === "direction") onSheet = { ...onSheet, direction: undefined }; // the person knows better
  followDirection();
  if (mode === "picture" && onSheet) convertSource(onSheet, chosenOptions(onSheet.direction));
});
addEventListener("hashchange", takeKeyFromAddress);
for (const button of document.querySelectorAll("[data-mode]")) {
  button.addEventListener("click", () => changeMode(button.dataset.mode));
}
byId("turn-back").addEventListener("click", turnBack);
byId("another").addEventListener("click", () => {
  startOver();
  byId("file").focus();
});
byId("cancel").addEventListener("click", () => current?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) current?.abort();
});
if (/Mac|iPhone|iPad/.test(navigator.platform)) {
  for (const key of document.querySelectorAll("[data-modifier]")) key.textContent = "⌘";
}
byId("not-started").remove();
document.body.dataset.ready = "";
