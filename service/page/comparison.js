import { useCardState } from "./card.js";
import { certainty, doubt, finding, percent, signed } from "./format.js";
import { Gates } from "./gates.js";
import { html, useState } from "./html.js";
import { MapDifference } from "./map-difference.js";
import { MapControls, Picture, startMap } from "./overlay.js";
import { sameGates } from "./reference.js";
import { levelOf, Verdict } from "./trust.js";

/** Two answers side by side. */
export function Comparison({ items, close }) {
  const [first, second] = items;
  const predictions = items.map(({ answer }) => answer.predictions[0]);
  const cards = items.map(({ answer: { model } }) => useCardState(model.name, model.version).card ?? null);
  const [map, setMap] = useState(() => startMap(predictions[0]));
  const same = first.answer.model.digest === second.answer.model.digest;
  // Versions of one model may have the same labels and blocks; their maps have other scales and their gates other references.
  const labels = predictions.map(({ probabilities }) => probabilities.map(({ label }) => label).join("\n"));
  const comparable = labels[0] === labels[1];
  const gates = sameGates(...predictions.map(({ recalibration_weights: weights }) => weights));
  const series = items.map(({ name }, i) => ({
    name,
    weights: predictions[i].recalibration_weights ?? {},
    card: cards[i],
  }));
  return html`<section class="panel result" aria-labelledby="comparison-title">
    <div class="result-head">
      <h2 id="comparison-title">Two images compared</h2>
      <button type="button" onClick=${close}>Close the comparison</button>
    </div>
    <div class="pair">
      ${items.map(
        (item, i) =>
          html`<div key=${item.id}>
            <h3><span class="series">${"AB"[i]}</span>${item.name}</h3>
            <${Picture} item=${item} map=${comparable || i === 0 ? map : startMap(predictions[i])} setMap=${setMap}
              together=${same ? predictions : [predictions[i]]} />
            <div class=${`trust ${levelOf(predictions[i])}`}><${Verdict} prediction=${predictions[i]} /></div>
            <div class=${doubt(predictions[i]) ? "doubtful" : ""}>
              <p class="headline"><strong>${finding(predictions[i])}</strong> <span>${certainty(predictions[i])}</span></p>
            </div>
            ${!same && html`<p class="muted">${item.answer.model.name}, version ${item.answer.model.version}</p>`}
          </div>`,
      )}
    </div>
    <${MapControls} together=${same ? predictions : [predictions[0]]} drawable=${first.drawable} map=${map} setMap=${setMap} />
    ${comparable && html`<${MapDifference} pair=${predictions} label=${map.label} />`}
    ${comparable && html`<${Differences} pair=${predictions} />`}
    ${!same && html`<p class="note">${apart(comparable, gates)}</p>`}
    ${comparable && gates && html`<${Gates} series=${series} card=${cards[0]} />`}
  </section>`;
}

/** What two models' answers can't say of each other. */
function apart(comparable, gates) {
  if (!comparable)
    return "The two were read by different models, so their labels and gates can't be set against each other. The class and opacity above are A's.";
  const maps = "The two were read by different versions, so each map has a scale of its own. The legend is A's.";
  return gates ? `${maps} Each one's gates are set against its own training images.` : `${maps} Their networks have other blocks, so their gates can't be set against each other.`;
}

function Differences({ pair: [a, b] }) {
  if (a.abstained || b.abstained) return html`<p class="muted">An image that is not classified has no probabilities to compare.</p>`;
  return html`<table class="differences">
    <caption class="visually-hidden">Probabilities of A and B</caption>
    <thead><tr><th scope="col">Label</th><th scope="col">A</th><th scope="col">B</th><th scope="col">B − A</th></tr></thead>
    <tbody>
      ${a.probabilities.map(
        ({ label, probability }, i) =>
          html`<tr>
            <th scope="row">${label}</th>
            <td class=${doubt(a) ? "muted" : ""}>${percent(probability)}</td>
            <td class=${doubt(b) ? "muted" : ""}>${percent(b.probabilities[i].probability)}</td>
            <td>${signed(100 * (b.probabilities[i].probability - probability), 1)} points</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}
