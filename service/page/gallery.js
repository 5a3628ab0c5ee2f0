import { downloadCsv } from "./exports.js";
import { certainty, finding } from "./format.js";
import { html } from "./html.js";

/** This tab's images with their results, the newest first: to open, to compare and to remove. */
export function Gallery({ items, selected, other, select, compare, remove }) {
  if (!items.length) return null;
  const done = items.filter((item) => item.answer);
  const comparable = done.some(({ id }) => id === selected);
  return html`<section class="panel gallery" aria-labelledby="gallery-title">
    <div class="gallery-head">
      <h2 id="gallery-title">This session</h2>
      <button type="button" disabled=${!done.length} onClick=${() => downloadCsv(done)}>All as CSV</button>
    </div>
    <ul>
      ${items.map((item) => {
        const open = () => {
          select(item.id);
          compare(null);
        };
        const comparing = item.id === other;
        return html`<li key=${item.id} class=${item.id === selected ? "chosen" : comparing ? "compared" : ""}>
          <button type="button" class="open" aria-current=${item.id === selected ? "true" : undefined} onClick=${open}>
            <${Thumbnail} item=${item} />
            <span class="name" title=${item.file.name}>${item.file.name}</span>
            <${Outcome} item=${item} />
          </button>
          <div class="gallery-actions">
            ${
              comparable && item.answer && item.id !== selected &&
              html`<button type="button" aria-pressed=${String(comparing)}
                aria-label=${`Compare with ${item.file.name}`} onClick=${() => compare(comparing ? null : item.id)}>
                Compare
              </button>`
            }
            <button type="button" class="plain" aria-label=${`Remove ${item.file.name}`} title="Remove"
              onClick=${() => remove(item.id)}>×</button>
          </div>
        </li>`;
      })}
    </ul>
  </section>`;
}

function Thumbnail({ item }) {
  if (item.thumbnail) return html`<img class="thumbnail" src=${item.thumbnail} alt="" />`;
  return html`<span class=${`thumbnail ${item.state}`} aria-hidden="true">${item.state === "failed" ? "!" : ""}</span>`;
}

function Outcome({ item: { state, answer, model, problem } }) {
  if (state === "failed") return html`<span class="outcome fault">${problem.message}</span>`;
  if (state !== "done") return html`<span class="outcome muted">${state === "running" ? "classifying…" : "waiting…"}</span>`;
  const [prediction] = answer.predictions;
  return html`<span class="outcome"
    ><b>${finding(prediction)}</b> ${certainty(prediction)}
    <span class="muted"> · ${model.name}</span>${["unusual", "unlike"].includes(prediction.style_shift?.verdict) && html`<span class="badge">${prediction.style_shift.verdict}</span>`}</span
  >`;
}
