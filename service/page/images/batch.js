import { downloadCsv } from "../exports.js";
import { html, useRef } from "../html.js";
import { downloadGates } from "./gates-file.js";

/** How far the images are, what to do with all of them, and below it the list. */
export function Batch({ items, rows, session, removeAll, children }) {
  if (!items.length) return null;
  const done = items.filter((item) => item.answer);
  const failed = items.filter(({ state }) => state === "failed").length;
  const gated = done.filter(({ answer }) => Object.keys(answer.predictions[0].recalibration_weights ?? {}).length);
  const compared = rows.filter(({ right }) => right !== null);
  return html`<section class="panel gallery" aria-labelledby="batch-title">
    <div class="gallery-head">
      <h2 id="batch-title">This session</h2>
      ${items.length > 1 && html`<${RemoveAll} count=${items.length} remove=${removeAll} />`}
    </div>
    <${Progress} progress=${session.progress} />
    ${session.paused && html`<${Paused} session=${session} />`}
    <div class="gallery-all" role="group" aria-label="All images">
      ${failed > 1 && html`<button type="button" onClick=${() => session.retryFailed()}>Retry ${failed} failed</button>`}
      <button type="button" disabled=${!done.length} onClick=${() => downloadCsv(done, session.tables)}>All as CSV</button>
      ${gated.length > 1 && html`<button type="button" onClick=${() => downloadGates(gated, session.tables)}>All gates as NPZ</button>`}
    </div>
    ${compared.length > 0 && html`<p class="muted">Own labels: ${compared.filter(({ right }) => right).length} of ${compared.length} findings agree.</p>`}
    ${children}
  </section>`;
}

/** A bar for the eye; for the ear a sentence at each quarter, and not one for each image. */
function Progress({ progress: { total, done, failed, open } }) {
  const quarter = Math.floor((4 * done) / total);
  const heard = open ? `${Math.ceil((quarter * total) / 4)} of ${total} images done` : `All ${total} images done${failed ? `, ${failed} failed` : ""}`;
  return html`
    <p class="visually-hidden" role="status" id="batch-status">${total > 1 && heard}</p>
    ${total > 1 && open > 0 && html`<div class="batch-progress"><progress max=${total} value=${done} aria-label="Images done"></progress><span>${done} of ${total}</span></div>`}
  `;
}

function Paused({ session }) {
  return html`<div class="problem paused" role="alert">
    <strong>The service can't be reached.</strong>
    <p>The images that are left wait. The page looks again by itself, at least every 30 seconds.</p>
    <button type="button" onClick=${() => session.goOn()}>Go on</button>
  </div>`;
}

function RemoveAll({ count, remove }) {
  const dialog = useRef(null);
  const close = () => dialog.current.close();
  const confirm = () => {
    close();
    remove();
  };
  return html`
    <button type="button" onClick=${() => dialog.current.showModal()}>Remove all (${count})</button>
    <dialog ref=${dialog} class="panel" aria-labelledby="remove-title">
      <h2 id="remove-title">Remove all ${count} images?</h2>
      <p>Their results are kept nowhere else.</p>
      <div class="dialog-actions">
        <button type="button" onClick=${close}>Keep them</button>
        <button type="button" class="primary" onClick=${confirm}>Remove ${count} images</button>
      </div>
    </dialog>
  `;
}
