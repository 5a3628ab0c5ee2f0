import { predictBriefly } from "./api.js";
import { doubt, finding, listed } from "./format.js";
import { html, useEffect, useState } from "./html.js";

/** Other models that an image is offered to, at most, when it is unlike what the chosen one knows. */
const ASKED = 5;

/** Whether the answer can be trusted, in a sentence or two: what it fits, and whether the image looks as it should. */
export function Trust({ item, models, classify }) {
  const [prediction] = item.answer.predictions;
  const level = levelOf(prediction);
  const fitting = useFitting(item, models, level === "unlike");
  return html`<div class=${`trust ${level}`} role="group" aria-labelledby="trust-title">
    <h3 id="trust-title" class="visually-hidden">Can I trust this answer?</h3>
    <${Verdict} prediction=${prediction} />
    ${
      fitting &&
      html`<p><button type="button" class="primary" onClick=${() => classify(fitting)}>Classify it with ${fitting.name}</button>
        <span class="muted"> The image looks more like those that ${fitting.name} was trained on.</span></p>`
    }
  </div>`;
}

/** "usual", "unusual", "unlike", or "unknown" where the model has no style shift. A file out of scope is unlike. */
export function levelOf(prediction) {
  const found = doubt(prediction);
  if (found) return found === "out of scope" ? "unlike" : found;
  return prediction.style_shift ? "usual" : "unknown";
}

/** The sentence alone, for a box of the class `trust` and the answer's level. */
export function Verdict({ prediction }) {
  const { style_shift: shift, scope } = prediction;
  const level = levelOf(prediction);
  const foreign = doubt(prediction) === "out of scope";
  return html`<p class="verdict"><${Mark} level=${level} /><span>
    ${foreign ? html`<strong>This model is not made for this image.</strong> ${scope.reason}` : html`<${Style} shift=${shift} />`}
    ${" "}${level === "unlike" ? "" : html`<${Fit} prediction=${prediction} />`}
  </span></p>`;
}

function Style({ shift }) {
  if (!shift) return html`This model can't say whether the image looks like its training images.`;
  return {
    usual: html`The image <strong>looks like the training images</strong>.`,
    unusual: html`<strong>The image looks unusual to this model.</strong> Another camera or setting can do that. Check the
      finding before you use it.`,
    unlike: html`<strong>The image is unlike those this model was trained on.</strong> Don't rely on the finding below.`,
  }[shift.verdict];
}

/** Which labels the image fits. A set of one label is an answer; more mean that the model can't tell them apart. */
function Fit({ prediction }) {
  const { abstained, present, prediction_set: set } = prediction;
  if (abstained) return abstained;
  if (!set || present) return html`The finding is <strong>${finding(prediction)}</strong>.`;
  const sets = html`<span class="muted">(${(100 * set.coverage).toFixed(0)} % sets)</span>`;
  if (!set.labels.length) return html`It fits <strong>no label</strong> well ${sets}.`;
  if (set.labels.length === 1) return html`It fits <strong>${set.labels[0]} only</strong> ${sets}.`;
  return html`It fits <strong>${listed(set.labels, "or")}</strong> ${sets}; these can't be told apart here.`;
}

function Mark({ level }) {
  const paths = {
    usual: "M5 12.5l4.5 4.5L19 7.5",
    unusual: "M12 5v9m0 4v.5",
    unlike: "M6 6l12 12M18 6L6 18",
    unknown: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2.5m0 3.5v.5",
  };
  return html`<svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><path d=${paths[level]} /></svg>`;
}

/** Another model to which the image is not unlike, once it is found; the image is sent to each of a few for that. */
function useFitting(item, models, wanted) {
  const [fitting, setFitting] = useState(null);
  useEffect(() => {
    let current = true;
    setFitting(null);
    const ask = async () => {
      let second = null;
      for (const model of models.filter(({ name }) => name !== item.model.name).slice(0, ASKED)) {
        const brief = await predictBriefly({ ...item, model, version: model.version }).catch(() => null); // refused: not the fitting one
        const verdict = brief?.style_shift?.verdict;
        if (!current) return;
        if (verdict === "usual") return setFitting(model);
        if (verdict === "unusual") second ??= model;
      }
      setFitting(second);
    };
    if (wanted) ask();
    return () => (current = false);
  }, [item.answer, wanted]);
  return fitting;
}
