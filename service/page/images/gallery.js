import { certainty, doubt, finding } from "../format.js";
import { html, useMemo, useRef } from "../html.js";
import { useRoving } from "./roving.js";

/** The images beside the result, the newest first: to open, to compare and to remove. */
export function Gallery({ items, selected, other, select, compare, remove }) {
  const ids = items.map(({ id }) => id);
  const { stop, drop, list } = useRoving({ ids, preferred: selected, remove });
  const comparable = items.some(({ id, answer }) => answer && id === selected);
  const act = useRef({});
  act.current = { select, compare, drop };
  return html`
    <p id="gallery-keys" class="visually-hidden">Arrow keys move between images and within one. Delete removes an image.</p>
    <ul aria-labelledby="batch-title" ...${list}>
      ${items.map(
        (item) =>
          html`<${Entry} key=${item.id} item=${item} act=${act} stop=${item.id === stop} current=${item.id === selected}
            comparing=${item.id === other} comparable=${comparable && item.answer && item.id !== selected} />`,
      )}
    </ul>
  `;
}

/** Drawn anew only where something of it changed, since each image that is done draws the list. */
function Entry({ item, act, stop, current, comparing, comparable }) {
  return useMemo(() => {
    const { id, name } = item;
    return html`<li data-id=${id} class=${current ? "chosen" : comparing ? "compared" : ""}>
      <button type="button" class="open" data-control="open" tabindex=${stop ? 0 : -1} aria-describedby="gallery-keys"
        aria-current=${current ? "true" : undefined} onClick=${() => act.current.select(id)}>
        <${Thumbnail} item=${item} />
        <span class="name" title=${name}><${Name} name=${name} /></span>
        <${Outcome} item=${item} />
      </button>
      <div class="gallery-actions">
        ${
          comparable &&
          html`<button type="button" tabindex="-1" data-control="compare" aria-pressed=${String(comparing)}
            aria-label=${`Compare with ${name}`} onClick=${() => act.current.compare(comparing ? null : id)}>
            Compare
          </button>`
        }
        <button type="button" tabindex="-1" data-control="remove" class="plain" aria-label=${`Remove ${name}`}
          title="Remove" onClick=${() => act.current.drop(id)}>×</button>
      </div>
    </li>`;
  }, [item, stop, current, comparing, Boolean(comparable)]);
}

/** A name in full, however long: it breaks after the marks that part it. */
export const Name = ({ name }) => name.split(/(?<=[/_.-])/).flatMap((part) => [part, html`<wbr />`]);

/** What an image looks like, or how it stands with it. */
export function Thumbnail({ item }) {
  if (item.thumbnail) return html`<img class="thumbnail" src=${item.thumbnail} alt="" decoding="async" />`;
  return html`<span class=${`thumbnail ${item.state}`} aria-hidden="true">${item.state === "failed" ? "!" : ""}</span>`;
}

function Outcome({ item: { state, answer, model, version, problem } }) {
  if (state === "failed") return html`<span class="outcome fault">${problem.message}</span>`;
  if (state !== "done") return html`<span class="outcome muted">${state === "running" ? "classifying…" : "waiting…"}</span>`;
  const [prediction] = answer.predictions;
  const several = model.versions.length > 1;
  return html`<span class="outcome"
    ><b>${finding(prediction)}</b> ${certainty(prediction)}
    <span class="muted"> · ${model.name}${several && ` ${version}`}</span>${doubt(prediction) && html`<span class="badge">${doubt(prediction)}</span>`}</span
  >`;
}
