import { useCardState } from "./card.js";
import { Exports } from "./exports-bar.js";
import { Frames } from "./frames.js";
import { Gates } from "./gates.js";
import { html, useLayoutEffect, useState } from "./html.js";
import { MapControls, Picture, startMap } from "./overlay.js";
import { Probabilities } from "./probabilities.js";
import { StyleShift } from "./style-shift.js";
import { Trust } from "./trust.js";

/**
 * Everything that one answer holds: whether to trust it first, then the image beside the finding, then how it came about.
 *
 * @param classify sends the same file to another model
 * @param others all images, `open` shows another of them
 */
export function Result({ item, models, again, classify, others, open }) {
  const [prediction] = item.answer.predictions;
  const { model } = item.answer;
  const { card } = useCardState(model.name, model.version);
  const [map, setMap] = useState(() => startMap(prediction));
  const show = (channel) => setMap((now) => ({ ...now, channel, ...(channel && { shown: true }) }));
  return html`<section class="panel result" aria-labelledby="result-title" aria-busy=${String(["waiting", "running"].includes(item.state))}>
    <div class="result-head">
      <h2 id="result-title">${item.name}</h2>
      <${Origin} item=${item} again=${again} />
    </div>
    <${Trust} item=${item} models=${models} classify=${classify} />
    <div class="findings">
      <div class="seen">
        <${Picture} item=${item} map=${map} setMap=${setMap} together=${[prediction]} />
        <${Frames} item=${item} again=${again} key=${model.digest} />
        <${MapControls} together=${[prediction]} drawable=${item.drawable} map=${map} setMap=${setMap} />
      </div>
      <div class="readings">
        <${Probabilities} prediction=${prediction} task=${item.model.task} card=${card} />
        <${StyleShift} shift=${prediction.style_shift} style=${card?.style} />
      </div>
    </div>
    <${Gates} series=${[{ name: item.name, weights: prediction.recalibration_weights ?? {} }]} card=${card} looking=${{ item, others, open, show }} />
    <div class="result-foot">
      <${Exports} item=${item} map=${map} />
      <p class="facts">
        <span>${model.name}, version ${model.version}</span>
        <span title=${model.digest}>${model.digest.slice(0, "sha256:".length + 12)}</span>
        <span>request ${item.answer.id}</span>
        <span>${item.time.toLocaleString()}</span>
        <span title="from sending to the whole answer, as this browser saw it">${item.milliseconds.toFixed(0)} ms</span>
      </p>
    </div>
  </section>`;
}

/** What the file is; of TIFF, whose pages are not counted, which page and a way to another one. */
function Origin({ item, again }) {
  const { format, width, height, frame, laterality } = item.answer.predictions[0].image;
  const eye = { R: "right eye", L: "left eye", B: "both eyes" }[laterality];
  return html`<div class="origin muted">
    <span>${[format, `${width} × ${height}`, eye].filter(Boolean).join(" · ")}</span>
    ${format === "TIFF" && html`<${PageNumber} frame=${frame} again=${again} />`}
  </div>`;
}

/** The number of a TIFF's page. What is being typed stays when the result around it is drawn anew. */
function PageNumber({ frame, again }) {
  const [typed, type] = useState(String(frame));
  useLayoutEffect(() => type(String(frame)), [frame]);
  return html`<label>Page${" "}
    <input type="number" min="1" max="65536" value=${typed} onInput=${({ target }) => type(target.value)}
      onChange=${({ target }) => target.validity.valid && target.value && again({ frame: target.valueAsNumber })} /></label
  >`;
}
