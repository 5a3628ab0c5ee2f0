/** Standard deviations at which the relative colours end. */
export const CLIP = 3;
/** A gate that hardly moved in training would turn rounding into many standard deviations. */
const LEAST_STD = 1e-3;
/** Gates that are named. */
export const SHOWN = 8;

export const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;

/** Whether two answers have the same blocks with as many gates, so that these can be set against each other. */
export const sameGates = (a, b) => {
  const shape = (weights) => JSON.stringify(Object.entries(weights ?? {}).map(([block, gates]) => [block, gates.length]));
  return shape(a) === shape(b);
};

/**
 * Compare gates with those of the training images.
 *
 * @param series [{name, weights, card}], weights from block to gates; the card of the series, if it has one of its own
 * @param card that of all other series; null if unknown
 * @returns one row for each block and each of the series: {block, name, letter, values, mean, std, relative}; the last
 *   three are null where the card has no reference, `relative` is in standard deviations. Of two series, each block has
 *   a third row, with `difference`: B minus A.
 */
export function compareGates(series, card) {
  const blocks = Object.keys(series[0].weights);
  return blocks.flatMap((name) => {
    const rows = series.map(({ name: image, weights, card: own = card }, i) => {
      const block = own?.gate_reference && own.blocks.find((candidate) => candidate.name === name);
      const part = (values) => (block ? values.slice(block.offset, block.offset + block.channels) : null);
      const usual = part(own?.gate_reference?.mean);
      const std = part(own?.gate_reference?.std)?.map((value) => Math.max(value, LEAST_STD)) ?? null;
      return {
        block: name,
        name: image,
        letter: "ABCDEFGH"[i],
        values: weights[name],
        mean: usual,
        std,
        relative: usual && weights[name].map((value, channel) => (value - usual[channel]) / std[channel]),
      };
    });
    return rows.length === 2 && rows.every(({ relative }) => relative) ? [...rows, difference(...rows)] : rows;
  });
}

/** The row of B minus A. */
function difference(a, b) {
  const minus = (part) => b[part].map((value, channel) => value - a[part][channel]);
  const [values, relative] = [minus("values"), minus("relative")];
  return { block: a.block, name: "B − A", letter: "B−A", values, mean: null, std: null, relative, difference: true };
}

/**
 * The gates that differ from what is usual by more than chance gives to one image in twenty, the farthest first.
 *
 * The bound is Bonferroni's for normal values. Gates of trained networks have heavier tails, so it is a guide, no test.
 */
export function outstanding(rows) {
  const all = rows
    .flatMap(({ block, relative }, index) => relative.map((value, channel) => ({ index, block, channel, value })))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const bound = normalQuantile(1 - 0.05 / (2 * all.length));
  return { bound, count: all.length, largest: all[0].value, found: all.filter(({ value }) => Math.abs(value) > bound) };
}

/** The value that a part of a normal distribution lies below, for parts near 1 (Abramowitz and Stegun, 26.2.23). */
export function normalQuantile(part) {
  const t = Math.sqrt(-2 * Math.log(1 - part));
  return t - (2.515517 + 0.802853 * t + 0.010328 * t ** 2) / (1 + 1.432788 * t + 0.189269 * t ** 2 + 0.001308 * t ** 3);
}
