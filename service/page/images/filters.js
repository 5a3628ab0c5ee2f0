import { html } from "../html.js";
import { START } from "./rows.js";

/** What a row must be to be shown. */
export function Filters({ rows, shown, view, setView, labelled }) {
  const set = (changes) => setView({ ...view, ...changes });
  const findings = [...new Set(rows.map(({ finding }) => finding).filter(Boolean))].sort();
  const unfinished = ["failed", "waiting"].filter((state) => rows.some(({ item }) => item.state === state));
  const verdicts = ["usual", "unusual", "unlike"].filter((verdict) => rows.some((row) => row.verdict === verdict));
  const choice = (label, key, options) =>
    html`<label>${label}${" "}<select onChange=${({ target }) => set({ [key]: target.value })}>
      <option value="" selected=${!view[key]}>all</option>
      ${options.map(([value, words]) => html`<option value=${value} selected=${view[key] === value}>${words}</option>`)}
    </select></label>`;
  const same = (values) => values.map((value) => [value, value]);
  const filtered = ["name", "finding", "verdict", "right"].some((key) => view[key]);
  return html`<div class="filters" role="search" aria-label="Filter the images">
    <label>Name${" "}<input type="search" value=${view.name} onInput=${({ target }) => set({ name: target.value })} /></label>
    ${choice("Finding", "finding", [...same(findings), ...unfinished.map((state) => [`state:${state}`, state])])}
    ${choice("Style shift", "verdict", same(verdicts))}
    ${labelled && choice("Own label", "right", [["right", "right"], ["wrong", "wrong"], ["none", "unknown"]])}
    ${filtered && html`<button type="button" onClick=${() => set({ ...START, sort: view.sort, descending: view.descending })}>Show all</button>`}
    <span class="muted" role="status">${shown} of ${rows.length} shown</span>
  </div>`;
}
