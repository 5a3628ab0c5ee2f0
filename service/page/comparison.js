import { useCardState } from "./card.js";
import { certainty, finding, percent, signed } from "./format.js";
import { Gates } from "./gates.js";
import { html, useState } from "./html.js";
import { MapControls, Picture, startMap } from "./overlay.js";

/** Two answers side by side. */
export function Comparison({ items, close }) {
  const [first, second] = items;
  const predictions = items.map(({ answer }) => answer.predictions[0]);
  const { card } = useCardState(first.answer.model.name, first.answer.model.version);
  const [map, setMap] = useState(() => startMap(predictions[0]));
  const same = first.answer.model.digest === second.answer.model.digest;
  const series = items.map(({ file }, i) => ({
    name: file.name,
    weights: predictions[i].recalibration_weights ?? {},
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
            <h3><span class="series">${"AB"[i]}</span>${item.file.name}</h3>
            <${Picture} item=${item} map=${same || i === 0 ? map : startMap(predictions[i])} setMap=${setMap}
              together=${same ? predictions : [predictions[i]]} />
            <p class="headline"><strong>${finding(predictions[i])}</strong> ${certainty(predictions[i])}</p>
            ${!same && html`<p class="muted">${item.answer.model.name}, version ${item.answer.model.version}</p>`}
          </div>`,
      )}
    </div>
    <${MapControls} together=${same ? predictions : [predictions[0]]} drawable=${first.drawable} map=${map} setMap=${setMap} />
    ${
      same
        ? html`<${Differences} pair=${predictions} /><${Gates} series=${series} card=${card} />`
        : html`<p class="note">The two were read by different models, so their labels and gates can't be set against each
            other. The class and opacity above are A's.</p>`
    }
  </section>`;
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
            <td>${percent(probability)}</td>
            <td>${percent(b.probabilities[i].probability)}</td>
            <td>${signed(100 * (b.probabilities[i].probability - probability), 1)} points</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}
