import { percent } from "../format.js";
import { html, useEffect } from "../html.js";
import { Agreement } from "./agreement.js";
import { Filters } from "./filters.js";
import { Thumbnail } from "./gallery.js";
import { useRoving } from "./roving.js";
import { COLUMNS } from "./rows.js";
import { SendAgain } from "./send-again.js";

/**
 * All images as a table: to sort, to filter, to open, and to send again with another model.
 *
 * @param rows all, `shown` those that the view lets through, in its order
 * @param picked the ids that are chosen, a Set
 */
export function Table({ rows, shown, view, setView, picked, pick, models, selected, open, remove, send }) {
  const ids = shown.map(({ id }) => id);
  const { stop, drop, list } = useRoving({ ids, preferred: selected, remove });
  useEffect(() => list.ref.current.querySelector('[tabindex="0"]')?.focus(), []); // the button that led here is gone
  const labelled = rows.some(({ given }) => given);
  const columns = Object.keys(COLUMNS).filter((key) => key !== "own" || labelled);
  const chosen = ids.filter((id) => picked.has(id));
  const toggle = (id) => {
    const changed = new Set(picked);
    if (!changed.delete(id)) changed.add(id);
    pick(changed);
  };
  const pickAll = () => pick(new Set(chosen.length === ids.length ? [] : ids));
  return html`<section class="panel images" aria-labelledby="images-title">
    <h2 id="images-title">All images</h2>
    <${Filters} rows=${rows} shown=${shown.length} view=${view} setView=${setView} labelled=${labelled} />
    <p id="table-keys" class="visually-hidden">Arrow keys move between rows and within one. Enter opens an image. Delete removes it.</p>
    <div class="images-scroll">
      <table class="images-table">
        <caption class="visually-hidden">Images of this session</caption>
        <thead>
          <tr>
            <td><input type="checkbox" aria-label="Choose all shown images" checked=${ids.length > 0 && chosen.length === ids.length}
              indeterminate=${chosen.length > 0 && chosen.length < ids.length} onChange=${pickAll} /></td>
            ${columns.map((key) => html`<${Head} column=${key} view=${view} setView=${setView} key=${key} />`)}
            <td></td>
          </tr>
        </thead>
        <tbody ...${list}>
          ${shown.map(
            (row) =>
              html`<${Row} key=${row.id} row=${row} labelled=${labelled} stop=${row.id === stop} current=${row.id === selected}
                picked=${picked.has(row.id)} act=${{ open, toggle, drop }} />`,
          )}
        </tbody>
      </table>
      ${!shown.length && html`<p class="muted">No image meets the filter.</p>`}
    </div>
    <${SendAgain} models=${models} ids=${chosen.length ? chosen : ids} chosen=${chosen.length} send=${send} />
    <${Agreement} rows=${shown} filtered=${shown.length < rows.length} />
  </section>`;
}

function Head({ column, view, setView }) {
  const { sort, descending } = view;
  const sorted = sort === column;
  const next = () => {
    if (!sorted) setView({ ...view, sort: column, descending: false });
    else setView(descending ? { ...view, sort: null, descending: false } : { ...view, descending: true });
  };
  return html`<th scope="col" aria-sort=${sorted ? (descending ? "descending" : "ascending") : undefined}>
    <button type="button" onClick=${next}>${COLUMNS[column].title}<span aria-hidden="true">${sorted ? (descending ? " ▼" : " ▲") : ""}</span></button>
  </th>`;
}

const none = html`<span class="muted">–</span>`;

function Row({ row, labelled, stop, current, picked, act }) {
  const { item, id, name, set, verdict, percentile, probability, given, own, right } = row;
  return html`<tr data-id=${id} class=${current ? "chosen" : ""}>
    <td><input type="checkbox" tabindex="-1" data-control="pick" aria-label=${`Choose ${name}`} checked=${picked}
      onChange=${() => act.toggle(id)} /></td>
    <th scope="row">
      <button type="button" class="open" data-control="open" tabindex=${stop ? 0 : -1} title=${name}
        aria-current=${current ? "true" : undefined} aria-describedby="table-keys" onClick=${() => act.open(id)}>
        <${Thumbnail} item=${item} /><span>${name}</span>
      </button>
    </th>
    <td>${row.finding ?? html`<${State} item=${item} />`}</td>
    <td class="number">${probability === null ? none : percent(probability)}</td>
    <td>${set ? set.join(", ") : none}</td>
    <td>${
      verdict === null
        ? none
        : html`<span class=${verdict === "usual" ? "" : "badge"}>${verdict}</span> <span class="muted">${percentile.toFixed(1)} %</span>`
    }</td>
    <td>${row.model} <span class="muted">${row.version}</span></td>
    ${
      labelled &&
      html`<td>${own ?? given ?? none}${right !== null && html` <span class=${right ? "agrees" : "differs"}>${right ? "right" : "wrong"}</span>`}</td>`
    }
    <td><button type="button" class="plain" tabindex="-1" data-control="remove" aria-label=${`Remove ${name}`} title="Remove"
      onClick=${() => act.drop(id)}>×</button></td>
  </tr>`;
}

function State({ item: { state, problem } }) {
  if (state === "failed") return html`<span class="fault">${problem.message}</span>`;
  return html`<span class="muted">${state === "running" ? "classifying…" : "waiting…"}</span>`;
}
