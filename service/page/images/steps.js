import { html, useLayoutEffect, useRef } from "../html.js";

/** Above the result: the way to the table, to the images before and after this one in its order, and to other answers on this one. */
export function Steps({ items, shown, item, other, select, compare, openTable, arrive }) {
  const back = useRef(null);
  useLayoutEffect(() => arrive && back.current.focus(), []);
  const at = shown.findIndex(({ id }) => id === item.id);
  const step = (by) => select(shown[at + by].id);
  const again = item.answer ? items.filter(({ id, file, answer }) => file === item.file && id !== item.id && answer) : [];
  const place = at < 0 ? "left out by the filter" : `${at + 1} of ${shown.length}${shown.length < items.length ? " that the filter shows" : ""}`;
  return html`<nav class="steps" aria-label="Images">
    <button type="button" ref=${back} onClick=${openTable}>All images (${items.length})</button>
    <button type="button" disabled=${at <= 0} onClick=${() => step(-1)}>Previous</button>
    <button type="button" disabled=${at + 1 >= shown.length} onClick=${() => step(1)}>Next</button>
    <span class="muted">${place}</span>
    ${again.map(({ id, answer: { model } }) =>
      html`<button type="button" aria-pressed=${String(id === other)} onClick=${() => compare(id === other ? null : id)}>Compare with ${model.name}, version ${model.version}</button>`,
    )}
  </nav>`;
}
