import { useCardState } from "../card.js";
import { Fault } from "../fault.js";
import { html } from "../html.js";
import { Confusion, Intervals, Reliability } from "./charts.js";
import { Images, Purpose, Right, Sensitivities, Sets, Style } from "./meaning.js";
import { anchor, Overview } from "./overview.js";
import { Changes, Technical } from "./technical.js";

/** The view of every model and version that is served. */
export function Models({ models }) {
  const versions = models.flatMap((model) => [...model.versions].reverse().map((version) => ({ model, version })));
  return html`
    <h1>Models</h1>
    ${!versions.length && html`<p class="panel">No model is loaded. Put a model package into the model repository.</p>`}
    ${versions.length > 0 && html`<${Overview} versions=${versions} />`}
    ${versions.map(({ model, version }) => html`<${Version} model=${model} version=${version} key=${anchor(model, version)} />`)}
  `;
}

/** One version: what it means first, then the figures, and last what only engineers ask. */
function Version({ model, version }) {
  const { card, fault, again } = useCardState(model.name, version);
  const id = anchor(model, version);
  return html`<section class="panel version" id=${id} aria-labelledby=${`${id}-title`} aria-busy=${String(!card && !fault)}>
    <h2 id=${`${id}-title`}>${model.name}, version ${version}</h2>
    ${fault && html`<${Fault} problem=${fault} retry=${again} />`}
    ${!card && !fault && html`<p class="muted">Loading…</p>`}
    ${card && html`<${About} card=${card} served=${version === model.version ? model : null} />`}
  </section>`;
}

function About({ card, served }) {
  const { confusion, reliability, results, interval_method: method, effective_images: worth, perturbations } = card.measured;
  return html`
    <${Purpose} card=${card} />
    <div class="meanings">
      <${Right} card=${card} />
      <${Sensitivities} card=${card} />
      <${Sets} card=${card} />
      <${Style} card=${card} />
    </div>
    ${
      (confusion || reliability) &&
      html`<section>
        <h3>What it takes for what, and how honest its probabilities are</h3>
        <div class="plots">
          ${confusion && html`<${Confusion} labels=${card.labels} counts=${confusion} />`}
          ${reliability && html`<${Reliability} bins=${reliability} />`}
        </div>
      </section>`
    }
    <${Images} card=${card} />
    <section>
      <h3>All metrics</h3>
      <${Intervals} results=${results} method=${method} worth=${worth} />
    </section>
    <${Changes} changes=${perturbations} />
    <${Technical} card=${card} served=${served} />
  `;
}
