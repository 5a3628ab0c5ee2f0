/** @returns what was counted between two readings of a histogram: {bounds, counts (cumulative), count} */
export const between = (later, earlier) =>
  earlier
    ? {
        bounds: later.bounds,
        counts: later.counts.map((count, i) => count - earlier.counts[i]),
        count: later.count - earlier.count,
      }
    : later;

/** @returns how many values fell into each bucket alone */
export const inBuckets = ({ counts }) => counts.map((count, i) => count - (counts[i - 1] ?? 0));

/**
 * A quantile, interpolated within its bucket as Prometheus does: the values of a bucket are taken to be spread evenly.
 *
 * @returns {value, beyond}; `beyond` where all that is known is that it is larger than the last bound. Null of no values
 */
export function quantile({ bounds, counts, count }, share) {
  if (!count) return null;
  const rank = share * count;
  const bucket = counts.findIndex((upTo) => upTo >= rank);
  if (bounds[bucket] === Infinity) return { value: bounds[bucket - 1], beyond: true };
  const [low, below] = bucket ? [bounds[bucket - 1], counts[bucket - 1]] : [0, 0];
  return { value: low + ((bounds[bucket] - low) * (rank - below)) / (counts[bucket] - below), beyond: false };
}

/**
 * The shares of a distribution in buckets, from its evenly spaced quantiles. Between two of them it is taken to be even.
 *
 * @param quantiles from the least value to the largest
 * @param bounds of the buckets, rising; the first bucket is all below its bound
 */
export function sharesOf(quantiles, bounds) {
  const last = quantiles.length - 1;
  const upTo = bounds.map((bound) => {
    const above = quantiles.findIndex((value) => value > bound);
    if (above < 0) return 1;
    if (above === 0) return 0;
    const [low, high] = [quantiles[above - 1], quantiles[above]];
    return (above - 1 + (bound - low) / (high - low)) / last;
  });
  return upTo.map((share, i) => share - (upTo[i - 1] ?? 0));
}
