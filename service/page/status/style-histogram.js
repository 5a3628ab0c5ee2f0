import { html } from "../html.js";
import { between, inBuckets, sharesOf } from "./histogram.js";
import { count, plural, share, span } from "./units.js";

const WIDTH = 52;
const HEIGHT = 150;
const PAD = { left: 44, top: 26, bottom: 42 };
const VERDICTS = ["usual", "unusual", "unlike"];

/** The style shift of the answered images beside the validation images', in the buckets of the metric. */
export function StyleHistogram({ style, labels, now, earlier }) {
  const live = now.histogram("retina_style_shift", labels);
  if (!live) return null;
  const before = earlier?.histogram("retina_style_shift", labels);
  const expected = sharesOf(style.validation_quantiles, live.bounds);
  const seen = inBuckets(live);
  const late = before && inBuckets(between(live, before));
  const title = `Style shift of ${labels.model}, version ${labels.version}`;
  return html`<div class="style-histogram">
    <h3>Style shift of the answered images</h3>
    <p>${verdicts(labels, now, live.count, style)}</p>
    <div class="scroll" tabindex="0" role="group" aria-label=${title}>
      <${Bars} bounds=${live.bounds} expected=${expected} seen=${seen.map((each) => (live.count ? each / live.count : 0))}
        style=${style} words=${`${title}: ${live.count} answered images and ${style.validation_images} validation images by bucket; the figures are in the table below`} />
    </div>
    <p class="legend-line muted">
      <span class="swatch seen" aria-hidden="true"></span> answered images <span class="swatch expected" aria-hidden="true"></span> validation images.${" "}
      Buckets are as wide as each other in the drawing, but not in their scores. Validation's shares come from the quantiles in the card.
    </p>
    <details>
      <summary>The same as a table</summary>
      <div class="scroll" tabindex="0" role="group" aria-label=${`${title}, as a table`}>
        <table>
          <caption>Images by style shift, in standard deviations of the validation images</caption>
          <thead><tr><th scope="col">Style shift</th><th scope="col">validation</th><th scope="col">since the start</th><th scope="col">${earlier ? `in the ${span(now, earlier)}` : "of late"}</th></tr></thead>
          <tbody>
            ${live.bounds.map(
              (bound, i) =>
                html`<tr key=${bound}>
                  <th scope="row">${range(live.bounds, i)}</th>
                  <td>${share(expected[i], 1)}</td>
                  <td>${share(seen[i], live.count)} (${count(seen[i])})</td>
                  <td>${late ? count(late[i]) : "–"}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>
  </div>`;
}

function range(bounds, i) {
  if (i === 0) return `up to ${bounds[0]}`;
  return bounds[i] === Infinity ? `above ${bounds[i - 1]}` : `${bounds[i - 1]} to ${bounds[i]}`;
}

function verdicts(labels, now, total, { validation_quantiles: quantiles, usual_up_to: usual, unlike_beyond: unlike }) {
  const shares = sharesOf(quantiles, [usual, unlike, Infinity]);
  const expected = VERDICTS.map((verdict, i) => `${share(shares[i], 1)} ${verdict}`).join(", ");
  const parts = VERDICTS.map((verdict) => {
    const images = now.sum("retina_style_verdicts_total", { ...labels, verdict }) ?? 0;
    return `${count(images)} ${verdict} (${share(images, total)})`;
  });
  const answered = total ? `Of ${plural(total, "image")} since the start: ${parts.join(", ")}.` : "No image was answered yet.";
  return `${answered} Of the validation images: ${expected}.`;
}

function Bars({ bounds, expected, seen, style, words }) {
  const most = Math.max(0.05, ...expected, ...seen);
  const top = Math.ceil(10 * most) / 10;
  const y = (value) => PAD.top + HEIGHT * (1 - value / top);
  const x = (bucket) => PAD.left + WIDTH * bucket;
  const end = x(bounds.length);
  const place = (value) => {
    const bucket = bounds.findIndex((bound) => value <= bound);
    if (bucket < 1 || bounds[bucket] === Infinity) return x(bucket + 0.5);
    return x(bucket + (value - bounds[bucket - 1]) / (bounds[bucket] - bounds[bucket - 1]));
  };
  const limit = (value, name) =>
    html`<line class="limit" x1=${place(value)} x2=${place(value)} y1=${PAD.top - 8} y2=${y(0)} />
      <text x=${place(value) + 4} y=${PAD.top - 10}>${name}</text>`;
  return html`<svg viewBox=${`0 0 ${end + 10} ${PAD.top + HEIGHT + PAD.bottom}`} role="img" aria-label=${words}>
    ${[0, 0.5, 1].map(
      (part) =>
        html`<line class="grid" x1=${x(0)} x2=${end} y1=${y(part * top)} y2=${y(part * top)} />
          <text x=${x(0) - 6} y=${y(part * top) + 4} text-anchor="end">${(100 * part * top).toFixed(0)} %</text>`,
    )}
    ${bounds.map(
      (bound, i) =>
        html`<rect class="expected" x=${x(i) + 5} y=${y(expected[i])} width=${WIDTH - 10} height=${y(0) - y(expected[i])} />
          <rect class="seen" x=${x(i) + 15} y=${y(seen[i])} width=${WIDTH - 30} height=${y(0) - y(seen[i])} />
          ${bound !== Infinity && html`<text x=${x(i + 1)} y=${y(0) + 16} text-anchor="middle">${bound}</text>`}`,
    )}
    ${limit(style.usual_up_to, "unusual")} ${limit(style.unlike_beyond, "unlike")}
    <text x=${x(bounds.length / 2)} y=${y(0) + 34} text-anchor="middle">style shift; each bucket ends at the number on its right</text>
  </svg>`;
}
