import { percent } from "../format.js";
import { html } from "../html.js";
import { metricMeaning, metricName } from "./metrics.js";
import { capital } from "./words.js";

const SIDE = 240;
const PAD = { left: 44, bottom: 40, top: 8, right: 8 };
const TICKS = [0, 0.25, 0.5, 0.75, 1];

const number = (value) => value.toFixed(3);

/** Measured figures as a table for each data set, with their 95 % intervals drawn between 0 and 1 where they lie there. */
export function Intervals({ results, method, worth }) {
  const origins = Map.groupBy(results, ({ data, split, images }) =>
    split === "external" ? `${data}, data of another origin, ${images} images` : `${data}, ${split} split, ${images} images`,
  );
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Measured results">
    ${[...origins].map(
      ([origin, measured]) =>
        html`<table class="intervals">
          <caption>Measured on ${origin}</caption>
          <thead><tr><th scope="col">Metric</th><th scope="col">Value</th><th scope="col">95 % interval</th><th scope="col" class="drawn"><span class="visually-hidden">Drawn from 0 to 1</span><span class="axis" aria-hidden="true"><span>0</span><span>1</span></span></th></tr></thead>
          <tbody>
            ${measured.map(
              ({ metric, value, interval }) =>
                html`<tr>
                  <th scope="row">${capital(metricName(metric))}<span class="means">${metricMeaning(metric)}</span></th>
                  <td>${number(value)}</td>
                  <td>${interval ? `${number(interval[0])} to ${number(interval[1])}` : "none"}</td>
                  <td class="drawn"><${Whisker} value=${value} interval=${interval ?? [value, value]} /></td>
                </tr>`,
            )}
          </tbody>
        </table>`,
    )}
    <p class="muted">Intervals: ${method}. Figures stand at the class frequencies of the images themselves where nothing else is said.</p>
    ${worth && html`<p class="muted">Calibration error, log loss and Brier score are at the class frequencies that the probabilities assume. Weighted to these, the images are worth ${worth.toFixed(0)}.</p>`}
  </div>`;
}

/** A value with its interval, drawn from 0 to 1. */
export function Whisker({ value, interval: [low, high] }) {
  if (low < 0 || high > 1) return null;
  return html`<svg class="whisker" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
    <line class="grid" x1="0" x2="100" y1="6" y2="6" />
    <line class="ink" x1=${100 * low} x2=${100 * high} y1="6" y2="6" />
    <rect class="dot" x=${100 * value - 0.9} y="1" width="1.8" height="10" />
  </svg>`;
}

/** Counts of the test images, true label by predicted label; darker is a larger share of the true label's images. */
export function Confusion({ labels, counts }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Confusion matrix">
    <table class="confusion">
      <caption>Confusion matrix: images by true label (rows) and most probable label (columns)</caption>
      <thead><tr><td></td>${labels.map((label) => html`<th scope="col">${label}</th>`)}</tr></thead>
      <tbody>
        ${counts.map((row, i) => {
          const total = row.reduce((sum, count) => sum + count, 0);
          return html`<tr>
            <th scope="row">${labels[i]}</th>
            ${row.map((count, j) => {
              const share = total ? count / total : 0;
              return html`<td class=${i === j ? "right" : ""}
                style=${{ "--share": `${Math.round(100 * share)}%` }} title=${`${percent(share)} of “${labels[i]}”`}>${count}</td>`;
            })}
          </tr>`;
        })}
      </tbody>
    </table>
  </div>`;
}

/** How often the most probable label was right, by its probability; a larger dot stands for a larger share. */
export function Reliability({ bins, caption }) {
  const x = (value) => PAD.left + value * SIDE;
  const y = (value) => PAD.top + (1 - value) * SIDE;
  const weighted = bins.every(({ share }) => share != null);
  const size = ({ share, images }) => (weighted ? share : images);
  const most = Math.max(...bins.map(size));
  const words = bins
    .map(({ confidence, accuracy, images }) => `of ${images} images at ${percent(confidence)}, ${percent(accuracy)} right`)
    .join("; ");
  return html`<figure class="reliability">
    <svg viewBox=${`0 0 ${PAD.left + SIDE + PAD.right} ${PAD.top + SIDE + PAD.bottom}`} role="img" aria-label=${`Reliability: ${words}`}>
      ${TICKS.map(
        (tick) => html`
          <line class="grid" x1=${x(tick)} x2=${x(tick)} y1=${y(0)} y2=${y(1)} />
          <line class="grid" x1=${x(0)} x2=${x(1)} y1=${y(tick)} y2=${y(tick)} />
          <text x=${x(tick)} y=${y(0) + 16} text-anchor="middle">${tick}</text>
          <text x=${x(0) - 8} y=${y(tick) + 4} text-anchor="end">${tick}</text>
        `,
      )}
      <line class="ideal" x1=${x(0)} y1=${y(0)} x2=${x(1)} y2=${y(1)} />
      ${bins.map(
        ({ confidence, accuracy, images, share }) =>
          html`<g>
            <line class="gap" x1=${x(confidence)} x2=${x(confidence)} y1=${y(confidence)} y2=${y(accuracy)} />
            <circle class="dot" cx=${x(confidence)} cy=${y(accuracy)} r=${2.5 + 7 * Math.sqrt(size({ share, images }) / most)}>
              <title>${images} images: probability ${percent(confidence)}, right ${percent(accuracy)}</title>
            </circle>
          </g>`,
      )}
      <text x=${x(0.5)} y=${y(0) + 34} text-anchor="middle">probability of the most probable label</text>
      <text transform=${`translate(11 ${y(0.5)}) rotate(-90)`} text-anchor="middle">share that was right</text>
    </svg>
    <figcaption class="muted">${
      caption ??
      `Reliability on the test images, at ${weighted ? "the class frequencies that the probabilities assume" : "their own class frequencies"}: dots on the diagonal are honest, below it overconfident.`
    }</figcaption>
  </figure>`;
}
