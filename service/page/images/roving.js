import { useLayoutEffect, useRef, useState } from "../html.js";

const PAGE = 10;

/**
 * One stop of the Tab key for a list, whose rows have `data-id` and whose controls have `data-control`. Up, Down, Page
 * Up, Page Down, Home and End move between rows, Left and Right within one, Delete takes a row out.
 *
 * @param ids those of the rows, in their order
 * @param preferred the row that the Tab key finds first
 * @param remove takes an id out; then the focus goes to the next row, or to the files' input if none is left
 * @returns {stop, list, drop}: the row whose first control has tabindex 0, the list's attributes, `remove` with focus
 */
export function useRoving({ ids, preferred, remove }) {
  const list = useRef(null);
  const [at, setAt] = useState(null);
  const next = useRef(undefined);
  const stop = ids.includes(at) ? at : ids.includes(preferred) ? preferred : ids[0];

  const focus = (id, control = "open") => {
    const row = list.current?.querySelector(`[data-id="${id}"]`);
    (row?.querySelector(`[data-control="${control}"]`) ?? row?.querySelector('[data-control="open"]'))?.focus();
  };
  const drop = (id) => {
    const index = ids.indexOf(id);
    next.current = ids[index + 1] ?? ids[index - 1] ?? null;
    remove(id);
  };
  useLayoutEffect(() => {
    if (next.current === undefined) return;
    if (next.current === null) document.getElementById("file")?.focus();
    else focus(next.current);
    next.current = undefined;
  });
  const press = (event) => {
    const row = event.target.closest("[data-id]");
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const id = Number(row.dataset.id);
    const index = ids.indexOf(id);
    const last = ids.length - 1;
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -PAGE, PageDown: PAGE, Home: -last, End: last }[event.key];
    if (step) focus(ids[Math.min(last, Math.max(0, index + step))], event.target.dataset.control);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const controls = [...row.querySelectorAll("[data-control]")];
      controls[controls.indexOf(event.target) + (event.key === "ArrowLeft" ? -1 : 1)]?.focus();
    } else if (event.key === "Delete") drop(id);
    else return;
    event.preventDefault();
  };
  const note = ({ target }) => {
    const row = target.closest("[data-id]");
    if (row) setAt(Number(row.dataset.id));
  };
  return { stop, drop, list: { ref: list, onKeyDown: press, onFocusIn: note } };
}
