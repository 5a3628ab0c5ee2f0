/** Parts of a card that have figures or tables of their own, or are too long to be read value by value. */
const APART = ["measured.results", "blocks"];
/** A list of more values is only said to differ. */
const READABLE = 12;

/**
 * What differs between two cards, the measured results apart.
 *
 * @returns [{path, a, b, difference}]; `path` is a list of names, `difference` a number or null
 */
export function differences(a, b) {
  const [left, right] = [leaves(a), leaves(b)];
  const paths = [...new Set([...left.keys(), ...right.keys()])];
  return paths
    .map((path) => ({ path, a: left.get(path), b: right.get(path) }))
    .filter((each) => JSON.stringify(each.a) !== JSON.stringify(each.b))
    .map((each) => ({
      path: JSON.parse(each.path),
      a: inWords(each.a),
      b: inWords(each.b),
      difference: typeof each.a === "number" && typeof each.b === "number" ? each.b - each.a : null,
    }));
}

function leaves(part, path = [], found = new Map()) {
  if (APART.includes(path.join("."))) return found;
  if (part && typeof part === "object" && !Array.isArray(part))
    for (const [name, value] of Object.entries(part)) leaves(value, [...path, name], found);
  else found.set(JSON.stringify(path), part);
  return found;
}

function inWords(value) {
  if (value === undefined || value === null) return "none";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (!Array.isArray(value)) return String(value);
  if (value.length > READABLE || value.some((each) => each && typeof each === "object")) return `${value.length} values`;
  return value.map(inWords).join(", ") || "none";
}

/**
 * The measured results that differ, by metric, data and split.
 *
 * @returns [{metric, data, split, a, b}]; `a` and `b` are results of the card, or undefined
 */
export function differentResults(a, b) {
  const key = ({ metric, data, split }) => JSON.stringify([metric, data, split]);
  const [left, right] = [a, b].map(({ measured }) => new Map(measured.results.map((result) => [key(result), result])));
  return [...new Set([...left.keys(), ...right.keys()])]
    .map((each) => ({ a: left.get(each), b: right.get(each) }))
    .filter((pair) => JSON.stringify(pair.a) !== JSON.stringify(pair.b))
    .map((pair) => {
      const { metric, data, split } = pair.a ?? pair.b;
      return { metric, data, split, ...pair };
    });
}
