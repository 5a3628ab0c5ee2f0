import { percent } from "../format.js";

/** 97.5th percentile of the normal distribution, for 95 % intervals. */
const Z = 1.959964;

export const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** A whole number as it is read: 3,599. */
export const count = (number) => number.toLocaleString("en-GB");

export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** "93.1 % (95 % interval 89.4 to 96.3 %)", of a share and its interval, which may be null. */
export const share = (value, interval) => `${percent(value)}${interval ? ` (95 % interval ${range(interval)})` : ""}`;

export const range = ([low, high]) => `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} %`;

/** The figures of the card's own data, which is not of another origin. */
export const own = (card, metric) =>
  card.measured.results.find((result) => result.metric === metric && result.split !== "external");

/** The figures of data of another origin: [{data, images, accuracy, balanced}], the last two null where not measured. */
export function elsewhere(card) {
  const results = card.measured.results.filter(({ split }) => split === "external");
  return [...Map.groupBy(results, ({ data }) => data)].map(([data, measured]) => ({
    data,
    images: measured[0].images,
    accuracy: measured.find(({ metric }) => metric === "accuracy") ?? null,
    balanced: measured.find(({ metric }) => metric === "balanced_accuracy") ?? null,
  }));
}

/**
 * How many of the test images were labelled rightly, by the confusion matrix or else by the accuracy.
 *
 * @returns {?{right: number, images: number, value: number, interval: ?number[], data: ?string, split: string}} null where
 *   the card holds neither; `right` is null where the accuracy is of no whole number of images, as a mean over seeds is
 */
export function rightOf(card) {
  if (card.task === "multi-label") return null;
  const accuracy = own(card, "accuracy");
  const { confusion } = card.measured;
  const split = accuracy?.split ?? "test";
  if (confusion) {
    const images = sum(confusion.flat());
    const right = sum(confusion.map((row, i) => row[i]));
    return { right, images, value: right / images, interval: accuracy?.interval ?? null, data: accuracy?.data, split };
  }
  if (!accuracy) return null;
  const { value, interval, images, data } = accuracy;
  return { right: whole(value, images), images, value, interval, data, split };
}

/** How many of the images a share is; null where that is no whole number. */
export function whole(value, images) {
  const number = Math.round(value * images);
  return Math.abs(number - value * images) < 1e-6 * images ? number : null;
}

/** Of each label's test images, how many were called so: [{label, found, images, value, interval}]; without a confusion matrix nothing. */
export const sensitivities = ({ labels, measured: { confusion } }) =>
  (confusion ?? []).map((row, i) => {
    const images = sum(row);
    return {
      label: labels[i],
      found: row[i],
      images,
      value: images ? row[i] / images : null,
      interval: images ? wilson(row[i], images) : null,
    };
  });

/** The 95 % interval of a share by Wilson (1927), which fits small counts and shares of 0 and 1. */
export function wilson(found, images) {
  const p = found / images;
  const z2 = Z * Z;
  const centre = (p + z2 / (2 * images)) / (1 + z2 / images);
  const half = (Z / (1 + z2 / images)) * Math.sqrt((p * (1 - p)) / images + z2 / (4 * images * images));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
