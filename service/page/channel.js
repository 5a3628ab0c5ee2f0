import { lookAt } from "./api.js";
import { Fault } from "./fault.js";
import { percent, signed } from "./format.js";
import { html, useEffect, useState } from "./html.js";

/** Images of the person's own that are named, of those that move a gate most. */
const MOST = 5;

/**
 * One channel opened: its gate, the answer with the gate at its usual value, and the images that move it most.
 *
 * @param opened {block, channel}
 * @param row of `compareGates`, the block's
 * @param others further items, of which those that the same model read are set beside it
 * @param show lays the channel's map over the image: {name, map}; null takes it away
 */
export function OpenChannel({ item, opened: { block, channel }, row, others, open, show, close }) {
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState(null);
  const name = `${block}, channel ${channel}`;
  useEffect(() => {
    let current = true;
    setFound(null);
    setProblem(null);
    lookAt(item, block, channel).then(
      (answer) => {
        if (!current) return;
        setFound(answer);
        // Features may be negative as well; what counts is how much a channel adds, in either direction.
        show({ name, map: answer.map.map((cells) => cells.map(Math.abs)) });
      },
      (error) => current && setProblem(error),
    );
    return () => {
      current = false;
      show(null);
    };
  }, [item, block, channel]);
  return html`<section class="channel" aria-labelledby="channel-title" aria-busy=${String(!found && !problem)}>
    <div class="channel-head">
      <h4 id="channel-title">${name}</h4>
      <button type="button" onClick=${close}>Close the channel</button>
    </div>
    ${problem && html`<${Fault} problem=${problem} />`}
    ${found && html`<${Effect} found=${found} />`}
    <${Movers} row=${row} channel=${channel} others=${others} item=${item} open=${open} />
  </section>`;
}

/** What the answer would be with the gate at its usual value. */
function Effect({ found: { gate, gate_if_set: usual, labels } }) {
  const largest = labels.reduce((a, b) => (Math.abs(b.log_odds_change) > Math.abs(a.log_odds_change) ? b : a));
  const moves = Math.abs(largest.log_odds_change) >= 0.05;
  return html`<p>
      The gate is ${gate.toFixed(3)}; in training it is ${usual.toFixed(3)} on average. Over the image lies how much this channel adds, in
      either direction.${" "}
      ${moves ? `With the gate at ${usual.toFixed(3)} the answer would change most for ${largest.label}.` : `With the gate at ${usual.toFixed(3)} the answer would be nearly the same.`}
    </p>
    <table class="differences">
      <caption class="visually-hidden">The answer with this gate at its usual value</caption>
      <thead><tr><th scope="col">Label</th><th scope="col">Answered</th><th scope="col">With the usual gate</th><th scope="col">Logit</th></tr></thead>
      <tbody>
        ${labels.map(
          ({ label, probability, probability_if_set: set, log_odds_change: change }) =>
            html`<tr>
              <th scope="row">${label}</th><td>${percent(probability)}</td><td>${percent(set)}</td><td>${signed(change, 2)}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

/** Of the other images that the same model read, those whose gate is farthest from training's mean. */
function Movers({ row, channel, others, item, open }) {
  if (!row.relative) return null;
  const { digest } = item.answer.model;
  const values = others
    .filter(({ answer }) => answer?.model.digest === digest && answer.predictions[0].recalibration_weights)
    .map(({ id, name, answer }) => {
      const gate = answer.predictions[0].recalibration_weights[row.block][channel];
      return { id, name, value: (gate - row.mean[channel]) / row.std[channel] };
    })
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  if (values.length < 2) return html`<p class="muted">Choose more images, such as those of training, to see which of them move this gate most.</p>`;
  return html`<div>
    <p>Of your ${values.length} images these move the gate most:</p>
    <ol>
      ${values.slice(0, MOST).map(
        ({ id, name, value }) =>
          html`<li key=${id}>
            ${id === item.id ? html`<span>${name} (this one)</span>` : html`<button type="button" onClick=${() => open(id)}>${name}</button>`}
            <b>${" "}${signed(value, 1)} SD</b>
          </li>`,
      )}
    </ol>
  </div>`;
}
