import { certainty, finding } from "../format.js";
import { html } from "../html.js";
import { useRoving } from "./roving.js";

/** The images beside the result, the newest first: to open, to compare and to remove. */
export function Gallery({ items, selected, other, select, compare, remove }) {
  const ids = items.map(({ id }) => id);
  const { stop, drop, list } = useRoving({ ids, preferred: selected, remove });
  const comparable = items.some(({ id, answer }) => answer && id === selected);
  return html`
    <p id="gallery-keys" class="visually-hidden">Arrow keys move between images and within one. Delete removes an image.</p>
    <ul aria-labelledby="batch-title" ...${list}>
      ${items.map((item) => {
        const comparing = item.id === other;
        const open = () => select(item.id);
        return html`<li key=${item.id} data-id=${item.id} class=${item.id === selected ? "chosen" : comparing ? "compared" : ""}>
          <button type="button" class="open" data-control="open" tabindex=${item.id === stop ? 0 : -1}
            aria-current=${item.id === selected ? "true" : undefined} aria-describedby="gallery-keys" onClick=${open}>
            <${Thumbnail} item=${item} />
            <span class="name" title=${item.name}>${item.name}</span>
            <${Outcome} item=${item} />
          </button>
          <div class="gallery-actions">
            ${
              comparable && item.answer && item.id !== selected &&
              html`<button type="button" tabindex="-1" data-control="compare" aria-pressed=${String(comparing)}
                aria-label=${`Compare with ${item.name}`} onClick=${() => compare(comparing ? null : item.id)}>
                Compare
              </button>`
            }
            <button type="button" tabindex="-1" data-control="remove" class="plain" aria-label=${`Remove ${item.name}`}
              title="Remove" onClick=${() => drop(item.id)}>×</button>
          </div>
        </li>`;
      })}
    </ul>
  `;
}

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
    <span class="muted"> · ${model.name}${several && ` ${version}`}</span>${["unusual", "unlike"].includes(prediction.style_shift?.verdict) && html`<span class="badge">${prediction.style_shift.verdict}</span>`}</span
  >`;
}
