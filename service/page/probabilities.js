import { certainty, doubt, finding, percent, ranked } from "./format.js";
import { html } from "./html.js";
import { levelOf } from "./trust.js";

/** The finding, the labels that fit, and every label's probability; grey where they are not to be relied on. */
export function Probabilities({ prediction, task, card }) {
  const { label, present, abstained, probabilities, prediction_set: set } = prediction;
  const top = present ?? [label];
  return html`<section class=${doubt(prediction) ? "doubtful" : ""} aria-labelledby="probabilities-title">
    <h3 id="probabilities-title">Finding</h3>
    <p class="headline">
      <strong>${finding(prediction)}</strong> <span>${certainty(prediction)}</span>
    </p>
    ${abstained && html`<p>${abstained}</p>`}
    ${set && levelOf(prediction) !== "unlike" && html`<${PredictionSet} set=${set} measured=${card?.conformal?.measured} />`}
    <ul class="bars">
      ${ranked(probabilities, task).map(
        (entry) =>
          html`<li class=${top.includes(entry.label) ? "top" : ""}>
            <span class="label">${entry.label}</span>
            <span class="track" aria-hidden="true"><span class="fill" style=${{ width: `${100 * entry.probability}%` }}></span></span>
            <span class="percent">${percent(entry.probability)}</span>
          </li>`,
      )}
    </ul>
    <p class="muted">
      ${present && "Each label is judged by itself; the figures need not add up to 100 %. "}${card && calibrationNote(card)}
    </p>
  </section>`;
}

function PredictionSet({ set: { coverage, labels }, measured }) {
  const made = `Such sets are made to hold the truth for ${(100 * coverage).toFixed(0)} % of images`;
  const kept = measured && `; on ${measured.images} test images they did so for ${(100 * measured.coverage).toFixed(0)} %`;
  return html`<p class="set">
    ${labels.length === 1 ? "The only label that fits:" : "Labels that fit:"} <b>${labels.join(", ")}</b>
    <span class="muted"> ${made}${kept || " like the validation data"}.</span>
  </p>`;
}

/** How right the probabilities are, and at which class frequencies; earlier cards have the error at validation's own. */
function calibrationNote({ task, calibration }) {
  const { method, ece_after: error, ece_interval: range, effective_images: worth } = calibration;
  const { fitted_on: data, target_prior: prior } = calibration;
  if (method === "none") return "These probabilities were not calibrated.";
  const alike = prior.every((share) => Math.abs(share - prior[0]) < 1e-3);
  const classes = alike ? "equally frequent classes" : "the class frequencies that its card names";
  const start = `Calibrated on the ${data}, for ${classes}`;
  if (!worth) return `${start}. At the validation images' own class frequencies they are off by ${percent(error)} on average.`;
  const [answers, right] = task === "multi-label" ? ["statements", "true"] : ["findings", "right"];
  const hundred = (value) => (100 * value).toFixed(0);
  const chance = range ? ` (95 % interval ${hundred(range[0])} to ${hundred(range[1])})` : "";
  return (
    `${start}. At these frequencies, ${hundred(error)}${chance} more or fewer of 100 ${answers} are ${right} than their ` +
    `probabilities say. Weighted to these frequencies, the images are worth ${worth.toFixed(0)}.`
  );
}
