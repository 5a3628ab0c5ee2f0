import { html } from "./html.js";

const SENTENCES = {
  usual: "This image looks like those the model knows.",
  unusual: "This image looks unusual to the model.",
  unlike: "This image is unlike those the model was trained on.",
};
const ADVICE = {
  usual: "That says nothing about whether the finding is right.",
  unusual: "Another camera or setting can do that. The figures beside it were measured on usual images.",
  unlike: "It may be another kind of image. Don't rely on the finding.",
};

const ordinal = (number) => {
  const tens = number % 100;
  const suffix = tens > 10 && tens < 14 ? "th" : ({ 1: "st", 2: "nd", 3: "rd" }[number % 10] ?? "th");
  return `${number}${suffix}`;
};

/** Whether the image's style (contrast, colour, sharpness) is that of the images the model knows. */
export function StyleShift({ shift }) {
  if (!shift) return null;
  const { score, percentile, verdict, blocks } = shift;
  const place = Math.min(100, Math.max(0, percentile));
  return html`<section class=${`style-shift ${verdict}`} aria-labelledby="style-title">
    <h3 id="style-title">Style shift</h3>
    <p>
      <strong>${SENTENCES[verdict]}</strong>
    </p>
    <div class="gauge" role="meter" aria-label="Style shift, percentile" aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${place} aria-valuetext=${`${ordinal(Math.round(place))} percentile, ${verdict}`}>
      <span class="needle" style=${{ left: `${place}%` }}></span>
    </div>
    <div class="gauge-ends muted" aria-hidden="true"><span>usual</span><span>${verdict === "unlike" ? "unlike" : "unusual"}</span></div>
    <p class="muted">
      More unusual than ${place >= 99.95 ? "all" : `${place.toFixed(1)} %`} of the validation images (score ${score.toFixed(2)}).${" "}
      ${ADVICE[verdict]} ${verdict !== "usual" && `It differs most at ${blocks.map(({ block }) => block).join(", ")}.`}
    </p>
  </section>`;
}
