import { CardText, useCardState } from "./card.js";
import { Confusion, Intervals, Reliability } from "./charts.js";
import { metricName } from "./format.js";
import { html } from "./html.js";

/** Figures to set versions against each other by, where a card has them. */
const HEADLINES = ["accuracy", "balanced_accuracy", "macro_auc", "quadratic_kappa", "ece"];

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

const anchor = (model, version) => `${model.name}-${version}`;

function Overview({ versions }) {
  return html`<div class="panel scroll" tabindex="0" role="group" aria-label="All versions">
    <table class="overview">
      <caption>Each model's figures come from its own data: compare versions of one model, not different models.</caption>
      <thead><tr><th scope="col">Model</th><th scope="col">Version</th>${HEADLINES.map((metric) => html`<th scope="col">${metricName(metric)}</th>`)}</tr></thead>
      <tbody>${versions.map((each) => html`<${OverviewRow} ...${each} key=${anchor(each.model, each.version)} />`)}</tbody>
    </table>
  </div>`;
}

function OverviewRow({ model, version }) {
  const { card } = useCardState(model.name, version);
  const figure = (metric) => {
    const found = card?.measured.results.find((result) => result.metric === metric);
    if (!found) return card ? "–" : "…";
    const { value, interval } = found;
    return html`${value.toFixed(3)}${interval && html`<span class="muted"> (${interval[0].toFixed(3)} to ${interval[1].toFixed(3)})</span>`}`;
  };
  return html`<tr>
    <th scope="row"><a href=${`#${anchor(model, version)}`}>${model.name}</a></th>
    <td>${version}${version === model.version && html`<span class="muted"> (default)</span>`}</td>
    ${HEADLINES.map((metric) => html`<td>${figure(metric)}</td>`)}
  </tr>`;
}

function Version({ model, version }) {
  const { card, fault } = useCardState(model.name, version);
  const id = anchor(model, version);
  return html`<section class="panel version" id=${id} aria-labelledby=${`${id}-title`}>
    <h2 id=${`${id}-title`}>${model.name}, version ${version}</h2>
    ${fault && html`<p>The card can't be shown: ${fault}.</p>`}
    ${!card && !fault && html`<p class="muted">Loading…</p>`}
    ${
      card &&
      html`<p>${card.description}</p>
        <${CardText} card=${card} provider=${model.provider} />
        <div class="plots">
          <${Intervals} results=${card.measured.results} method=${card.measured.interval_method} worth=${card.measured.effective_images} />
          ${card.measured.confusion && html`<${Confusion} labels=${card.labels} counts=${card.measured.confusion} />`}
          ${card.measured.reliability && html`<${Reliability} bins=${card.measured.reliability} />`}
        </div>
        ${card.conformal && html`<${Coverage} conformal=${card.conformal} />`}`
    }
  </section>`;
}

function Coverage({ conformal: { coverage, guarantee, measured } }) {
  const range = measured.interval ? ` (${measured.interval.map((end) => end.toFixed(3)).join(" to ")})` : "";
  return html`<p class="muted">
    Prediction sets: ${(100 * coverage).toFixed(0)} % wanted; measured ${measured.coverage.toFixed(3)}${range} on ${measured.images}${" "}
    images, ${measured.mean_set_size.toFixed(2)} labels on average. ${guarantee}
  </p>`;
}
