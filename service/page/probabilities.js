import { certainty, finding, percent, ranked } from "./format.js";
import { html } from "./html.js";

/** The finding, the labels that can't be ruled out, and every label's probability. */
export function Probabilities({ prediction, task, card }) {
  const { label, present, abstained, probabilities, prediction_set: set, style_shift: shift } = prediction;
  const top = present ?? [label];
  return html`<section aria-labelledby="probabilities-title">
    <h3 id="probabilities-title">Finding</h3>
    <p class=${`headline ${shift && shift.verdict !== "usual" ? "doubtful" : ""}`}>
      <strong>${finding(prediction)}</strong> <span>${certainty(prediction)}</span>
    </p>
    ${abstained && html`<p>${abstained}</p>`}
    ${set && html`<${PredictionSet} set=${set} />`}
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

function PredictionSet({ set: { coverage, labels } }) {
  return html`<p class="set">
    Can't be ruled out: <b>${labels.join(", ")}</b>
    <span class="muted"> Such sets hold the truth for ${(100 * coverage).toFixed(0)} % of images like the validation data.</span>
  </p>`;
}

function calibrationNote({ calibration: { method, ece_after: error, fitted_on: data, target_prior: prior } }) {
  if (method === "none") return "These probabilities were not calibrated.";
  const alike = prior.every((share) => Math.abs(share - prior[0]) < 1e-3);
  const classes = alike ? "equally frequent classes" : "the class frequencies that its card names";
  return `Calibrated on the ${data}, for ${classes}: there they are off by ${percent(error)} on average.`;
}
