import { percent } from "../format.js";
import { html, useLayoutEffect, useMemo, useRef } from "../html.js";
import { Agreement } from "./agreement.js";
import { Filters } from "./filters.js";
import { Name, Thumbnail } from "./gallery.js";
import { useRoving } from "./roving.js";
import { COLUMNS } from "./rows.js";
import { Scatter } from "./scatter.js";
import { SendAgain } from "./send-again.js";

/**
 * All images as a table: to sort, to filter, to open, and to send again with another model.
 *
 * @param rows all, `shown` those that the view lets through, in its order
 * @param picked the ids that are chosen, a Set
 */
export function Table({ rows, shown, view, setView, picked, pick, models, chosen, selected, open, remove, send }) {
  const ids = shown.map(({ id }) => id);
  const { stop, drop, list } = useRoving({ ids, preferred: selected, remove });
  useLayoutEffect(() => list.ref.current.querySelector('[tabindex="0"]')?.focus(), []); // the button that led here is gone
  const labelled = rows.some(({ given }) => given);
  const columns = Object.keys(COLUMNS).filter((key) => key !== "own" || labelled);
  const some = ids.filter((id) => picked.has(id));
  const toggle = (id) => {
    const changed = new Set(picked);
    if (!changed.delete(id)) changed.add(id);
    pick(changed);
  };
  const pickAll = () => pick(new Set(some.length === ids.length ? [] : ids));
  const act = useRef({});
  act.current = { open, toggle, drop };
  return html`<section class="panel images" aria-labelledby="images-title">
    <h2 id="images-title">All images</h2>
    <${Filters} rows=${rows} shown=${shown.length} view=${view} setView=${setView} labelled=${labelled} />
    <p id="table-keys" class="visually-hidden">Arrow keys move between rows and within one. Enter opens an image. Delete removes it.</p>
    <div class="images-scroll">
      <table role="table" class=${`images-table ${labelled ? "labelled" : ""}`}>
        <caption class="visually-hidden">Images of this tab</caption>
        <thead role="rowgroup">
          <tr role="row">
            <td role="cell"><input type="checkbox" aria-label="Choose all shown images" checked=${ids.length > 0 && some.length === ids.length}
              indeterminate=${some.length > 0 && some.length < ids.length} onChange=${pickAll} /></td>
            ${columns.map((key) => html`<${Head} column=${key} view=${view} setView=${setView} key=${key} />`)}
            <td role="cell"></td>
          </tr>
        </thead>
        <tbody role="rowgroup" ...${list}>
          ${shown.map(
            (row) =>
              html`<${Row} key=${row.id} row=${row} labelled=${labelled} stop=${row.id === stop} current=${row.id === selected}
                picked=${picked.has(row.id)} act=${act} />`,
          )}
        </tbody>
      </table>
      ${!shown.length && html`<p class="muted">No image meets the filter.</p>`}
    </div>
    <${SendAgain} models=${models} start=${chosen} ids=${some.length ? some : ids} chosen=${some.length} send=${send} />
    <${Scatter} rows=${shown} open=${open} />
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
  return html`<th role="columnheader" scope="col" aria-sort=${sorted ? (descending ? "descending" : "ascending") : undefined}>
    <button type="button" onClick=${next}>${COLUMNS[column].title}<span aria-hidden="true">${sorted ? (descending ? " ▼" : " ▲") : ""}</span></button>
  </th>`;
}

const none = () => html`<span class="muted">–</span>`;

/** Drawn anew only where something of it changed. The roles are written out because the rows are laid out as grids. */
function Row({ row, labelled, stop, current, picked, act }) {
  return useMemo(() => {
    const { item, id, name, set, verdict, percentile, probability, given, own, right } = row;
    const cell = (content, title = "") => html`<td role="cell" data-title=${title}>${content}</td>`;
    return html`<tr role="row" data-id=${id} class=${current ? "chosen" : ""}>
      ${cell(html`<input type="checkbox" tabindex="-1" data-control="pick" aria-label=${`Choose ${name}`} checked=${picked}
        onChange=${() => act.current.toggle(id)} />`)}
      <th role="rowheader" scope="row">
        <button type="button" class="open" data-control="open" tabindex=${stop ? 0 : -1} title=${name}
          aria-current=${current ? "true" : undefined} aria-describedby="table-keys" onClick=${() => act.current.open(id)}>
          <${Thumbnail} item=${item} /><span><${Name} name=${name} /></span>
        </button>
      </th>
      ${cell(row.finding ?? html`<${State} item=${item} />`, COLUMNS.finding.title)}
      ${cell(probability === null ? none() : html`<span class=${row.doubt ? "muted" : ""}>${percent(probability)}</span>`, COLUMNS.probability.title)}
      ${cell(set ? set.join(", ") : none(), COLUMNS.set.title)}
      ${cell(
        html`${row.doubt && row.doubt !== verdict && html`<span class="badge">${row.doubt}</span> `}${
          verdict === null
            ? none()
            : html`<span class=${verdict === row.doubt ? "badge" : ""}>${verdict}</span> <span class="muted">${percentile.toFixed(1)} %</span>`
        }`,
        COLUMNS.style.title,
      )}
      ${cell(html`${row.model} <span class="muted">${row.version}</span>`, COLUMNS.model.title)}
      ${
        labelled &&
        cell(html`${own ?? given ?? none()}${right !== null && html` <span class=${right ? "agrees" : "differs"}>${right ? "right" : "wrong"}</span>`}`, COLUMNS.own.title)
      }
      ${cell(html`<button type="button" class="plain" tabindex="-1" data-control="remove" aria-label=${`Remove ${name}`}
        title="Remove" onClick=${() => act.current.drop(id)}>×</button>`)}
    </tr>`;
  }, [row, labelled, stop, current, picked]);
}

function State({ item: { state, problem } }) {
  if (state === "failed") return html`<span class="fault">${problem.message}</span>`;
  return html`<span class="muted">${state === "running" ? "classifying…" : "waiting…"}</span>`;
}
