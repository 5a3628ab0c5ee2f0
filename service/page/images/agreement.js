import { Confusion, Reliability } from "../models/charts.js";
import { percent } from "../format.js";
import { html } from "../html.js";

/** Below this number of images a figure says little, whatever its value. */
const FEW = 100;
const BINS = 10;
const Z = 1.959964; // of 95 %

/** How the findings agree with the images' own labels, for each model and version. */
export function Agreement({ rows, filtered }) {
  const given = rows.filter((row) => row.given);
  if (!given.length) return null;
  const compared = given.filter(({ right }) => right !== null);
  const groups = Map.groupBy(compared, ({ item }) => item.answer.model.digest);
  const unknown = [...Map.groupBy(given.filter(({ own }) => !own), ({ model }) => model)];
  const apart = given.filter(({ own, finding, right }) => own && finding && right === null).length;
  return html`<div class="agreement">
    <h3>Findings and own labels</h3>
    ${unknown.map(
      ([model, some]) =>
        html`<p class="note">These are no labels of ${model}, so their images are not counted: ${[...new Set(some.map((row) => row.given))].join(", ")}.</p>`,
    )}
    ${apart > 0 && html`<p class="note">Not counted, since their answers name no single finding: ${apart} ${apart === 1 ? "image" : "images"}.</p>`}
    ${filtered && html`<p class="muted">Only the images that the filter shows are counted.</p>`}
    ${[...groups].map(([digest, group]) => html`<${Group} rows=${latest(group)} key=${digest} />`)}
  </div>`;
}

/** An image that was sent twice to one version counts once. */
const latest = (rows) => [...new Map(rows.map((row) => [row.item.file, row]).reverse()).values()];

function Group({ rows }) {
  const { model, version, item } = rows[0];
  const { labels } = item.model;
  const right = rows.filter((row) => row.right).length;
  const [low, high] = wilson(right, rows.length);
  const counts = labels.map((own) => {
    const some = rows.filter((row) => row.own === own);
    return labels.map((label) => some.filter((row) => row.finding === label).length);
  });
  return html`<section aria-label=${`${model}, version ${version}`}>
    <p><b>${model}, version ${version}:</b> ${right} of ${rows.length} right, an accuracy of ${percent(right / rows.length)} (95 % interval ${percent(low)} to ${percent(high)}, Wilson).</p>
    ${rows.length < FEW && html`<p class="muted">With so few images these figures say little.</p>`}
    <div class="plots">
      <${Confusion} labels=${labels} counts=${counts} />
      <${Reliability} bins=${reliability(rows)} caption="Reliability on these images: dots on the diagonal are honest, below it overconfident." />
    </div>
  </section>`;
}

/** The score interval of a share (Wilson, 1927). */
export function wilson(right, total) {
  const share = right / total;
  const middle = share + Z ** 2 / (2 * total);
  const spread = Z * Math.sqrt((share * (1 - share)) / total + Z ** 2 / (4 * total ** 2));
  return [middle - spread, middle + spread].map((end) => Math.min(1, Math.max(0, end / (1 + Z ** 2 / total))));
}

/** Images by the probability of their finding, in bins of equal width: {confidence, accuracy, images}, empty ones left out. */
export function reliability(rows) {
  const bins = Map.groupBy(rows, ({ probability }) => Math.min(BINS - 1, Math.floor(BINS * probability)));
  return [...bins].sort(([a], [b]) => a - b).map(([, some]) => ({
    confidence: some.reduce((sum, { probability }) => sum + probability, 0) / some.length,
    accuracy: some.filter(({ right }) => right).length / some.length,
    images: some.length,
  }));
}
