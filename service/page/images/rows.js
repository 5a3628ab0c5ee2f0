import { doubt, finding } from "../format.js";
import { ownLabel } from "./labels.js";

const known = new WeakMap();

/** Every item as the table shows it; those of items that didn't change are the same objects as before. */
export function rowsOf(items, tables) {
  if (!known.has(tables)) known.set(tables, new WeakMap());
  const rows = known.get(tables);
  return items.map((item) => {
    if (!rows.has(item)) rows.set(item, rowOf(item, tables));
    return rows.get(item);
  });
}

/** An item as the table shows it. Of an image without answer, `probability` and the like are null. */
export function rowOf(item, tables) {
  const { given, label: own } = ownLabel(item, tables);
  const base = { item, id: item.id, name: item.name, model: item.model.name, version: item.version, given, own };
  if (!item.answer || item.state !== "done")
    return { ...base, finding: null, probability: null, set: null, doubt: null, verdict: null, percentile: null, score: null, right: null };
  const [prediction] = item.answer.predictions;
  const { label, probability, present, abstained, prediction_set: set, style_shift: shift } = prediction;
  return {
    ...base,
    finding: finding(prediction),
    probability: present ? null : probability,
    set: set?.labels ?? null,
    doubt: doubt(prediction),
    verdict: shift?.verdict ?? null,
    percentile: shift?.percentile ?? null,
    score: shift?.score ?? null,
    right: own && !present && !abstained ? own === label : null,
  };
}

const text = (a, b) => String(a).localeCompare(String(b), undefined, { numeric: true, sensitivity: "base" });
const number = (a, b) => a - b;

/** The columns by which one can sort: their title, what of a row counts, and how two of these compare. */
export const COLUMNS = {
  name: { title: "Image", value: ({ name }) => name, compare: text },
  finding: { title: "Finding", value: ({ finding }) => finding, compare: text },
  probability: { title: "Probability", value: ({ probability }) => probability, compare: number },
  set: { title: "Prediction set", value: ({ set }) => set && [set.length, set.join(", ")], compare: (a, b) => a[0] - b[0] || text(a[1], b[1]) },
  style: { title: "Style shift", value: ({ percentile }) => percentile, compare: number },
  model: { title: "Model", value: ({ model, version }) => `${model} ${version}`, compare: text },
  own: { title: "Own label", value: ({ own, given }) => own ?? given, compare: text },
};

/** Nothing sorted and nothing left out. */
export const START = { sort: null, descending: false, name: "", finding: "", verdict: "", right: "" };

/** The rows that a view shows, in its order; rows without a value come last either way. */
export function shownRows(rows, { sort, descending, name, finding, verdict, right }) {
  const wanted = name.trim().toLowerCase();
  const shown = rows.filter(
    (row) =>
      row.name.toLowerCase().includes(wanted) &&
      (!finding || (finding.startsWith("state:") ? finding === `state:${stateOf(row)}` : row.finding === finding)) &&
      (!verdict || row.verdict === verdict) &&
      (!right || (right === "none" ? !row.own : row.right === (right === "right"))),
  );
  if (!sort) return shown;
  const { value, compare } = COLUMNS[sort];
  const keyed = shown.map((row) => ({ row, key: value(row) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
    return (descending ? -1 : 1) * compare(a.key, b.key);
  });
  return keyed.map(({ row }) => row);
}

const stateOf = ({ item: { state } }) => (state === "running" ? "waiting" : state);
