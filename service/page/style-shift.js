import { html } from "./html.js";
import { sharesOf } from "./status/histogram.js";

const ADVICE = {
  usual: "That says nothing about whether the finding is right.",
  unusual: "The figures of the model card were measured on usual images.",
  unlike: "It may be another kind of image.",
};
const BINS = 32;
const WIDTH = 320;
const HEIGHT = 64;

/** How far the image's style (contrast, colour, sharpness) is from that of the images the model knows. */
export function StyleShift({ shift, style }) {
  if (!shift) return null;
  const { score, percentile, verdict, blocks } = shift;
  return html`<section class=${`style-shift ${verdict}`} aria-labelledby="style-title">
    <h3 id="style-title">Style shift</h3>
    ${style && html`<${Histogram} score=${score} verdict=${verdict} style=${style} />`}
    <p class="muted">
      ${percentile >= 100 ? "Further from the training images than every validation image" : `Further from the training images than ${percentile.toFixed(1)} % of the validation images`}${" "}
      (score ${score.toFixed(2)}). ${ADVICE[verdict]} ${verdict !== "usual" && `It differs most at ${blocks.map(({ block }) => block).join(", ")}.`}
    </p>
  </section>`;
}

/**
 * The axis on which validation's scores and some images' stand; it grows like the logarithm, so that any score has a place.
 *
 * @returns {{place, shares: number[]}} from a score to its place, 0 to 1, and validation's share in each of the axis's bins
 */
export function axisOf({ validation_quantiles: quantiles, unlike_beyond: unlike }, scores) {
  const start = Math.asinh(Math.min(quantiles[0], ...scores));
  const end = Math.asinh(Math.max(quantiles.at(-1), unlike, ...scores)) + 0.15;
  const edges = Array.from({ length: BINS + 1 }, (_, i) => Math.sinh(start + (i * (end - start)) / BINS));
  const shares = sharesOf(quantiles, edges).slice(1); // nothing is below the first edge
  return { place: (score) => (Math.asinh(score) - start) / (end - start), shares };
}

/** Validation's scores, and the image's among them. */
function Histogram({ score, verdict, style }) {
  const { validation_quantiles: quantiles, usual_up_to: usual, unlike_beyond: unlike, validation_images: images } = style;
  const { place: part, shares } = axisOf(style, [score]);
  const place = (value) => WIDTH * part(value);
  const most = Math.max(...shares);
  const words = `Style shift: this image has ${score.toFixed(2)}, ${verdict}. Validation images have ${quantiles[0].toFixed(2)} to
    ${quantiles.at(-1).toFixed(2)}; usual is up to ${usual.toFixed(2)}, unlike beyond ${unlike.toFixed(2)}.`;
  return html`<figure class="shift-histogram">
    <svg viewBox=${`0 -6 ${WIDTH} ${HEIGHT + 8}`} role="img" aria-label=${words}>
      ${shares.map((share, i) => {
        const height = (HEIGHT * share) / most;
        return html`<rect class="bin" x=${(WIDTH * i) / BINS + 0.5} y=${HEIGHT - height} width=${WIDTH / BINS - 1} height=${height} />`;
      })}
      <line class="axis" x1="0" x2=${WIDTH} y1=${HEIGHT} y2=${HEIGHT} />
      ${[usual, unlike].map((limit) => html`<line class="limit" x1=${place(limit)} x2=${place(limit)} y1="0" y2=${HEIGHT} />`)}
      <line class="own" x1=${place(score)} x2=${place(score)} y1="-4" y2=${HEIGHT} />
      <path class="own" d=${`M${place(score) - 5} -6h10l-5 8z`} />
    </svg>
    <figcaption class="muted">Grey: ${images} validation images. Dashed: where unusual and unlike begin. Marked: this image.</figcaption>
  </figure>`;
}
