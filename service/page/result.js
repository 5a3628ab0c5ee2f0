import { paintLegend, viridis } from "./colours.js";
import { byId, element, percent } from "./dom.js";
import { colourMap, drawOverlay, fade } from "./overlay.js";
import { showStrip } from "./strip.js";

/**
 * Show one answer of the service.
 *
 * @param picture from `decode`, null if the browser can't draw the file
 * @param card null if it could not be read
 */
export function showResult(answer, model, file, picture, card) {
  const [prediction] = answer.predictions;
  byId("result").hidden = false;
  showProbabilities(prediction, model.task);
  showPicture(prediction, file, picture);
  showStrip(prediction.recalibration_weights ?? {}, card);
}

function showProbabilities({ label, probability, present, probabilities }, task) {
  const several = task === "multi-label";
  const headline = several ? (present.length ? present.join(", ") : "No label is more likely than not") : label;
  byId("headline").replaceChildren(element("strong", {}, headline), several ? "" : ` ${percent(probability)}`);
  byId("independent").hidden = !several;
  // Grades have an order of their own; other labels are easier to read by rank.
  const shown = task === "ordinal" ? probabilities : [...probabilities].sort((a, b) => b.probability - a.probability);
  byId("bars").replaceChildren(
    ...shown.map((entry) => {
      const fill = element("span", { className: "fill" });
      fill.style.width = `${100 * entry.probability}%`;
      return element(
        "li",
        { className: (several ? present.includes(entry.label) : entry.label === label) ? "top" : "" },
        element("span", { className: "label" }, entry.label),
        element("span", { className: "track", aria: { hidden: true } }, fill),
        element("span", { className: "percent" }, percent(entry.probability)),
      );
    }),
  );
}

function showPicture({ label, class_activation: activation }, file, picture) {
  const canvas = byId("canvas");
  canvas.hidden = !picture;
  byId("no-picture").hidden = Boolean(picture);
  byId("margin-note").hidden = !picture?.cropped;
  byId("map-controls").hidden = !(picture && activation);
  byId("no-map").hidden = Boolean(activation);
  if (!picture) return;
  if (!activation) {
    canvas.ariaLabel = file.name;
    drawOverlay(canvas, picture, null, 0);
    return;
  }

  const choice = byId("map-class");
  choice.replaceChildren(...activation.labels.map((text, i) => new Option(text, i, text === label, text === label)));
  paintLegend(byId("map-legend"), viridis, fade);
  let map;
  const redraw = () => {
    const opacity = byId("opacity").value;
    byId("opacity-value").textContent = `${opacity} %`;
    drawOverlay(canvas, picture, map.canvas, opacity / 100);
  };
  const chooseClass = () => {
    map = colourMap(activation.maps[choice.value]);
    byId("map-low").textContent = map.low.toFixed(2);
    byId("map-high").textContent = map.high.toFixed(2);
    byId("map-flat").hidden = Boolean(map.canvas);
    canvas.ariaLabel = `${file.name}, with the evidence for ${activation.labels[choice.value]} laid over it`;
    redraw();
  };
  choice.onchange = chooseClass;
  byId("opacity").oninput = redraw;
  chooseClass();
}
