import { useCardState } from "../card.js";
import { percent } from "../format.js";
import { html } from "../html.js";
import { metricMeaning, metricName } from "./metrics.js";
import { capital, count, own, rightOf, sensitivities } from "./words.js";

/** Figures to set versions against each other by, where a card has them. */
const HEADLINES = ["balanced_accuracy", "macro_auc", "quadratic_kappa", "ece"];
const MEANINGS = ["Right in", "Finds of each class", "Style shift warns falsely"];

export const anchor = (model, version) => `${model.name}-${version}`;

/** All versions in a table: what they are for, how often they were right, and then the metrics. */
export function Overview({ versions }) {
  return html`<div class="panel scroll" tabindex="0" role="group" aria-label="All versions">
    <table class="overview">
      <caption>Each model's figures come from its own test images: compare versions of one model, not different models.</caption>
      <thead><tr><th scope="col">Model</th>${[...MEANINGS, ...HEADLINES.map((metric) => capital(metricName(metric)))].map((name, i) => html`<th scope="col" title=${metricMeaning(HEADLINES[i - MEANINGS.length]) || undefined}>${name}</th>`)}</tr></thead>
      <tbody>${versions.map((each) => html`<${Row} ...${each} key=${anchor(each.model, each.version)} />`)}</tbody>
    </table>
  </div>`;
}

function Row({ model, version }) {
  const { card } = useCardState(model.name, version);
  const cells = card ? [right(card), finds(card), warns(card), ...HEADLINES.map((metric) => figure(card, metric))] : null;
  return html`<tr>
    <th scope="row">
      <a href=${`#${anchor(model, version)}`}>${model.name}</a>, version ${version}${version === model.version && html`<span class="muted"> (default)</span>`}
      ${card?.scope && html`<span class="means">for one kind of image: ${card.scope.modality}</span>`}
    </th>
    ${[...MEANINGS, ...HEADLINES].map((_, i) => html`<td>${cells ? (cells[i] ?? "–") : "…"}</td>`)}
  </tr>`;
}

function right(card) {
  const found = rightOf(card);
  if (!found) return null;
  const { images, split, value } = found;
  if (found.right === null) return `${percent(value)} of ${count(images)} ${split} images`;
  return html`<b>${count(found.right)} of ${count(images)}</b><span class="means">${split} images, ${percent(value)}</span>`;
}

/** From the class that it finds worst to the one that it finds best. */
function finds(card) {
  const rows = sensitivities(card).filter(({ images }) => images).sort((a, b) => a.value - b.value);
  if (!rows.length) return null;
  const [worst, best] = [rows[0], rows.at(-1)];
  return html`<b>${percent(worst.value)} to ${percent(best.value)}</b><span class="means">${worst.label} to ${best.label}</span>`;
}

function warns(card) {
  const found = own(card, "style_shift_false_alarms");
  if (!card.style) return null;
  return found ? html`${percent(found.value)}<span class="means">of ${found.split} images</span>` : "not measured";
}

function figure(card, metric) {
  const found = own(card, metric);
  if (!found) return null;
  const { value, interval } = found;
  return html`${value.toFixed(3)}${interval && html`<span class="means">${interval[0].toFixed(3)} to ${interval[1].toFixed(3)}</span>`}`;
}
