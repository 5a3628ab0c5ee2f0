import { fetchDemo, listModels, predict, Problem, readCard } from "./api.js";
import { showCard } from "./card.js";
import { showCurl } from "./curl.js";
import { byId, element, percent } from "./dom.js";
import { decode } from "./overlay.js";
import { showResult } from "./result.js";

const cards = new Map();
let chosen = null; // the model
let image = null; // {file, isDemo}, what was classified last
let running = new AbortController();

const say = (text) => (byId("status").textContent = text);

/** Run a task in place of the one before it. A failure is shown, with a way to try again. */
async function attempt(task) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  byId("problem").replaceChildren();
  byId("result").ariaBusy = "true";
  try {
    await task(signal);
  } catch (error) {
    if (signal.aborted) return;
    showProblem(error, () => attempt(task));
  }
  if (!signal.aborted) byId("result").ariaBusy = "false";
}

function showProblem(error, retry) {
  const known = error instanceof Problem;
  if (!known) console.error(error);
  say("");
  clearResult();
  byId("problem").replaceChildren(
    element("strong", {}, known ? error.message : "This page failed"),
    element("p", {}, known ? error.detail : String(error)),
    element("button", { type: "button", onclick: retry }, "Try again"),
  );
  reveal(byId("problem"));
}

/** On a small screen what came may lie below the fold. */
function reveal(node) {
  if (node.getBoundingClientRect().top > 0.7 * innerHeight) node.scrollIntoView();
}

function clearResult() {
  byId("result").hidden = true;
  byId("curl").hidden = true;
  byId("facts").replaceChildren();
  document.body.classList.remove("answered");
}

async function start() {
  say("Loading the models…");
  const models = await listModels();
  say("");
  byId("models-empty").hidden = models.length > 0;
  byId("model-list").replaceChildren(...models.map(modelChoice));
  byId("file").disabled = models.length === 0;
  if (models.length) choose(models[0]);
}

function modelChoice(model) {
  const radio = element("input", { type: "radio", name: "model", id: `model-${model.name}`, value: model.name });
  radio.onchange = () => {
    choose(model);
    if (image && !image.isDemo) classify(image.file);
    else forget();
  };
  const item = element(
    "li",
    {},
    element(
      "label",
      {},
      radio,
      element("span", {}, element("b", {}, model.name), element("span", { className: "muted" }, model.description)),
    ),
  );
  if (model.demo) {
    const demo = element(
      "button",
      { type: "button", aria: { label: `Try the demo image of ${model.name}` } },
      "Try the demo image",
    );
    demo.onclick = () => {
      choose(model);
      attempt(async (signal) => submit(await fetchDemo(model, signal), true, signal));
    };
    item.append(demo);
  }
  return item;
}

function choose(model) {
  chosen = model;
  byId(`model-${model.name}`).checked = true;
  showCard(model, null);
  cardOf(model).then(
    (card) => model === chosen && showCard(model, card),
    (error) => model === chosen && showCard(model, null, `The card can't be shown: ${error.message}.`),
  );
}

function cardOf(model) {
  if (!cards.has(model.card)) {
    const card = readCard(model);
    card.catch(() => cards.delete(model.card));
    cards.set(model.card, card);
  }
  return cards.get(model.card);
}

function forget() {
  running.abort();
  image = null;
  say("");
  byId("problem").replaceChildren();
  clearResult();
}

function classify(file) {
  if (chosen) attempt((signal) => submit(file, false, signal));
}

async function submit(file, isDemo, signal) {
  const model = chosen;
  image = { file, isDemo };
  say(`Classifying ${file.name} with ${model.name}…`);
  const sent = performance.now();
  const [answer, picture, card] = await Promise.all([
    predict(model, file, signal).then((value) => ({ ...value, milliseconds: performance.now() - sent })),
    decode(file, model.input.crop),
    cardOf(model).catch(() => null),
  ]);
  if (signal.aborted) return;
  showResult(answer, model, file, picture, card);
  showFacts(answer, model, file, isDemo);
  document.body.classList.add("answered");
  const [{ label, probability }] = answer.predictions;
  say(`${file.name}: ${label}, ${percent(probability)}`);
  reveal(byId("status"));
}

function showFacts({ id, model: { name, version, digest }, notice, milliseconds }, model, file, isDemo) {
  byId("notice").textContent = notice;
  byId("facts").replaceChildren(
    element("span", {}, `${name}, version ${version}`),
    element("span", { title: digest }, digest.slice(0, "sha256:".length + 12)),
    element("span", {}, `request ${id}`),
    element(
      "span",
      { title: "from sending to the whole answer, as this browser saw it" },
      `${milliseconds.toFixed(0)} ms`,
    ),
  );
  showCurl(model, file, isDemo);
}

function take(files) {
  if (files.length) classify(files[0]);
}

byId("file").onchange = ({ target }) => {
  take([...target.files]);
  target.value = ""; // so that choosing the same file again counts as a change
};
// The whole window takes drops: a file dropped beside the zone would otherwise replace the page.
window.ondragover = (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
};
window.ondragleave = ({ relatedTarget }) => {
  if (!relatedTarget) byId("drop").classList.remove("over");
};
window.ondrop = (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  take(event.dataTransfer.files);
};
// Not onpaste: a window doesn't have it in every browser.
window.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files));
byId("to-card").onclick = () => (byId("card").open = true);
// A tooltip must yield without the pointer moving (WCAG 1.4.13).
const tip = document.querySelector(".tip");
document.onkeydown = ({ key }) => {
  if (key === "Escape") tip.classList.add("dismissed");
};
for (const leaving of ["pointerleave", "focusout"]) {
  tip.addEventListener(leaving, () => tip.classList.remove("dismissed"));
}

attempt(start);
