import { save } from "../exports.js";
import { html } from "../html.js";
import { metricName } from "./metrics.js";
import { capital, count } from "./words.js";

/** What an engineer asks, folded. `served` is what the service's list says of this version: {digest, provider}, or nothing. */
export function Technical({ card, served }) {
  return html`<details class="technical">
    <summary>Technical details</summary>
    <dl>
      ${Object.entries(rows(card, served)).map(([term, text]) => html`<div><dt>${term}</dt><dd>${text}</dd></div>`)}
    </dl>
    <p><button type="button" onClick=${() => saveCard(card)}>Download the card (JSON)</button></p>
  </details>`;
}

function rows(card, served) {
  const { height, width, channels, crop, content } = card.input;
  const seen = crop === "centre-square" ? "the centred square of the image" : "the whole image";
  const part = { "b-scan": ", without the borders around a B-scan", fundus: ", within the field of view of a fundus photograph" }[content] ?? "";
  const { depth, recalibration } = card.architecture;
  const { initial_weights: start, calibration, conformal, style, training_data: data, parity } = card;
  const prior = card.labels.map((label, i) => `${label} ${(100 * calibration.target_prior[i]).toFixed(1)} %`).join(", ");
  return {
    Task: card.task,
    Network: `ResNet-${depth}, ${recalibration === "none" ? "no recalibration" : recalibration.toUpperCase()}`,
    Input: `${width} × ${height}, ${channels === 1 ? "grey" : "colour"}, from ${seen}${part}`,
    ...(card.quantisation && { Precision: "INT8 convolutions; the figures are those of the float32 network" }),
    Data: `${data.source}; split by ${data.split_rule}; MD5 ${data.md5}`,
    ...(start && {
      "Initial weights": `${start.source} (${start.file}; licence: ${start.licence}; SHA-256 ${start.sha256}); ${count(start.values)} values. ${start.changes.join(". ")}`,
    }),
    Chosen: `${card.measured.selection}; ${card.measured.seeds === 1 ? "one seed" : `${card.measured.seeds} seeds`}`,
    Calibration: `${calibration.method}, temperature ${calibration.temperature.toFixed(3)}, ${calibration.fitted_on}`,
    "Class frequencies assumed": prior,
    ...(conformal && { "Prediction sets": `${conformal.method.toUpperCase()}, ${conformal.calibrated_on}` }),
    ...(style && { "Style shift": `${style.method} ${style.rule}` }),
    Parity: `worst difference of the probabilities from PyTorch's ${(parity.worst_difference.probabilities ?? 0).toExponential(1)}; opset ${parity.opset}`,
    ...(served && { "Runs on": served.provider, Digest: served.digest }),
    Source: card.source_commit,
    Made: card.created.slice(0, 10),
  };
}

/** What ordinary changes of the test images cost, folded; nothing where the card has none. */
export function Changes({ changes }) {
  if (!changes?.length) return null;
  const number = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
  return html`<details class="changes">
    <summary>What ordinary changes of an image cost</summary>
    <div class="scroll" tabindex="0" role="group" aria-label="Changes of the test images">
      <table>
        <caption>${capital(metricName(changes[0].metric))} on the test images after the same change of each, and in how many the style shift noticed it</caption>
        <thead><tr><th scope="col">Change</th><th scope="col">Value</th><th scope="col">Difference</th><th scope="col">95 % interval</th><th scope="col">Noticed</th></tr></thead>
        <tbody>
          ${changes.map(
            ({ name, meaning, value, difference, interval, flagged }) =>
              html`<tr>
                <th scope="row">${name}<span class="means">${meaning}</span></th>
                <td>${value.toFixed(3)}</td>
                <td>${number(difference)}</td>
                <td>${interval ? interval.map(number).join(" to ") : "none"}</td>
                <td>${(100 * flagged).toFixed(0)} %</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`;
}

const saveCard = (card) =>
  save(`${card.name}-${card.version}-card.json`, new Blob([JSON.stringify(card, null, 2)], { type: "application/json" }));
