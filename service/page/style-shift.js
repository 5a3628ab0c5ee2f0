import { html } from "./html.js";

const ordinal = (number) => {
  const tens = number % 100;
  const suffix = tens > 10 && tens < 14 ? "th" : ({ 1: "st", 2: "nd", 3: "rd" }[number % 10] ?? "th");
  return `${number}${suffix}`;
};

/** How far the image's style (contrast, colour, sharpness) is from that of the images the model knows. */
export function StyleShift({ shift }) {
  if (!shift) return null;
  const { score, percentile, unusual, blocks = [] } = shift;
  const moved = blocks.filter(({ percentile: of }) => of >= 95).sort((a, b) => b.percentile - a.percentile).slice(0, 3);
  const place = Math.min(100, Math.max(0, percentile));
  return html`<section class=${`style-shift ${unusual ? "unusual" : ""}`} aria-labelledby="style-title">
    <h3 id="style-title">Style shift</h3>
    <p>
      <strong>${unusual ? "This image looks unlike the model's training images." : "This image looks like those the model knows."}</strong>
    </p>
    <div class="gauge" role="meter" aria-label="Style shift, percentile" aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${place} aria-valuetext=${`${ordinal(Math.round(place))} percentile${unusual ? ", unusual" : ""}`}>
      <span class="needle" style=${{ left: `${place}%` }}></span>
    </div>
    <div class="gauge-ends muted" aria-hidden="true"><span>usual</span><span>unusual</span></div>
    <p class="muted">
      More unusual than ${place >= 99.95 ? "all" : `${place.toFixed(1)} %`} of the validation images (score ${score.toFixed(2)}).${" "}
      ${
        unusual
          ? "Another camera, setting or kind of image can do that. The figures beside it were not measured on such images: don't rely on them."
          : "That says nothing about whether the finding is right."
      }
      ${unusual && moved.length > 0 && ` It differs most in ${moved.map(({ block }) => block).join(", ")}.`}
    </p>
  </section>`;
}
