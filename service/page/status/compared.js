import { useCardState } from "../card.js";
import { signed } from "../format.js";
import { metricName } from "../models/metrics.js";
import { html, useState } from "../html.js";
import { differences, differentResults } from "./differences.js";

/** Two versions of a model, and what differs between their cards. */
export function Compared({ versions }) {
  const byModel = Map.groupBy(versions, ({ model }) => model);
  const several = [...byModel].filter(([, of]) => of.length > 1).map(([model]) => model);
  const [choice, choose] = useState({});
  const model = several.includes(choice.model) ? choice.model : several[0];
  const numbers = byModel.get(model)?.map(({ version }) => version).sort((a, b) => a - b) ?? []; // prettier-ignore
  const a = numbers.includes(choice.a) ? choice.a : numbers.at(-2);
  const b = numbers.includes(choice.b) ? choice.b : numbers.at(-1);
  const select = (label, value, options, name) =>
    html`<label>${label} <select value=${value} onChange=${({ target }) => choose({ ...choice, model, [name]: target.value })}>
        ${options.map((option) => html`<option value=${option} selected=${option === value}>${option}</option>`)}
      </select></label>`;
  return html`<section class="panel" aria-labelledby="compared-title">
    <h2 id="compared-title">Two versions compared</h2>
    ${
      several.length
        ? html`<div class="choices">
              ${select("Model", model, several, "model")} ${select("A: version", a, numbers, "a")} ${select("B: version", b, numbers, "b")}
            </div>
            <${Differences} model=${model} a=${a} b=${b} />`
        : html`<p class="muted">No model is served in two versions now.</p>`
    }
  </section>`;
}

function Differences({ model, a, b }) {
  const [left, right] = [useCardState(model, a), useCardState(model, b)];
  const fault = left.fault ?? right.fault;
  if (fault) return html`<p>The cards can't be compared: ${fault.message}</p>`;
  if (!left.card || !right.card) return html`<p class="muted">Loading…</p>`;
  const rows = differences(left.card, right.card);
  const results = differentResults(left.card, right.card);
  if (!rows.length && !results.length) return html`<p>Nothing differs between the two cards.</p>`;
  return html`
    ${results.length > 0 && html`<${Results} results=${results} />`}
    ${results.length === 0 && html`<p>The measured results don't differ.</p>`}
    ${rows.length > 0 && html`<${Rest} rows=${rows} />`}
  `;
}

const heading = html`<th scope="col">A</th><th scope="col">B</th><th scope="col">B − A</th>`;

function Results({ results }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Measured results that differ">
    <table class="compared">
      <caption>Measured results that differ, with their 95 % intervals. The intervals are of each version alone; there is none of the difference.</caption>
      <thead><tr><th scope="col">Metric</th><th scope="col">Measured on</th>${heading}</tr></thead>
      <tbody>
        ${results.map(
          ({ metric, data, split, a, b }) =>
            html`<tr key=${`${metric} ${data} ${split}`}>
              <th scope="row">${metricName(metric)}</th>
              <td>${data}, ${split === "external" ? "data of another origin" : `${split} split`}</td>
              <td>${figure(a)}</td>
              <td>${figure(b)}</td>
              <td>${a && b ? signed(b.value - a.value, 3) : "–"}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function figure(result) {
  if (!result) return "not measured";
  const range = result.interval && ` (${result.interval.map((end) => end.toFixed(3)).join(" to ")})`;
  return `${result.value.toFixed(3)}${range ?? ""}`;
}

function Rest({ rows }) {
  const sections = Map.groupBy(rows, ({ path: [section] }) => section);
  return html`<div class="scroll" tabindex="0" role="group" aria-label="The rest of the cards that differs">
    <table class="compared">
      <caption>Everything else in the cards that differs</caption>
      <thead><tr><th scope="col">Entry</th>${heading}</tr></thead>
      ${[...sections].map(
        ([section, entries]) =>
          html`<tbody key=${section}>
            <tr><th scope="rowgroup" colspan="4">${words(section)}</th></tr>
            ${entries.map(
              ({ path, a, b, difference }) =>
                html`<tr key=${path.join(".")}>
                  <th scope="row">${path.slice(1).map(words).join(", ") || words(section)}</th>
                  ${a === b ? html`<td colspan="2">${a}, not the same</td>` : html`<td>${a}</td><td>${b}</td>`}
                  <td>${difference === null ? "" : signed(difference, decimals(difference))}</td>
                </tr>`,
            )}
          </tbody>`,
      )}
    </table>
  </div>`;
}

const words = (name) => name.replaceAll("_", " ");
const decimals = (value) => (Number.isInteger(value) ? 0 : 4);
