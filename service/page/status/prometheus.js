/**
 * Read the text format of Prometheus, version 0.0.4. It is strict: a line that is not of the format is an error, since
 * figures that were read half are worse than none.
 *
 * @returns [{name, labels, value}], in the order of the text
 */
export function parseMetrics(text) {
  if (text && !text.endsWith("\n")) throw new SyntaxError("The text of the metrics ends within a line.");
  return text.split("\n").flatMap((line, index) => {
    if (!line.trim() || line.startsWith("#")) return [];
    const sample = readSample(line);
    if (!sample) throw new SyntaxError(`Line ${index + 1} of the metrics can't be read.`);
    return [sample];
  });
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*$/;
const LABEL = /[ \t]*([a-zA-Z_]\w*)="((?:[^"\\]|\\[\\"n])*)"[ \t]*(,|$)/y;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const SPECIAL = { "+Inf": Infinity, Inf: Infinity, "-Inf": -Infinity, NaN };

function readSample(line) {
  const [, name, inside = "", written] = SAMPLE.exec(line) ?? [];
  const labels = name && readLabels(inside);
  const value = NUMBER.test(written) ? Number(written) : SPECIAL[written];
  return labels && value !== undefined ? { name, labels, value } : null;
}

function readLabels(inside) {
  const labels = {};
  let end = 0;
  while (end < inside.length) {
    LABEL.lastIndex = end;
    const found = LABEL.exec(inside);
    if (!found || Object.hasOwn(labels, found[1])) return null;
    labels[found[1]] = found[2].replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
    end = LABEL.lastIndex;
  }
  return labels;
}
