import { predictBriefly } from "./api.js";
import { percent } from "./format.js";
import { html, useEffect, useLayoutEffect, useState } from "./html.js";
import { patiently } from "./session.js";

/** Labels that have a line of their own: those with the highest peaks. */
const LINES = 3;
/** Frames of a volume that are all classified, at most; a file may claim any number. */
const MOST = 2000;
const WIDTH = 600;
const HEIGHT = 90;

/** What is known of a file's frames, as long as the file is kept: file to digest of the model to predictions by frame. */
const volumes = new WeakMap();

/** The frame of a DICOM volume that is shown, and the probabilities over all of its frames. */
export function Frames({ item, again }) {
  const { frame, frames } = item.answer.predictions[0].image;
  const { predictions, state, start, stop } = useVolume(item, frames <= MOST ? frames : 1);
  const [asked, ask] = useState(frame);
  useLayoutEffect(() => ask(frame), [frame]);
  if (!(frames > 1)) return null;
  const done = predictions.filter(Boolean).length;
  return html`<div class="frames" role="group" aria-label="Frames of the volume">
    ${done > 1 && html`<${Curves} predictions=${predictions} frame=${asked} choose=${(chosen) => again({ frame: chosen })} />`}
    <div class="frame-bar">
      <label for="frame">Frame</label>
      <input type="range" id="frame" min="1" max=${frames} value=${asked} onInput=${({ target }) => ask(target.valueAsNumber)}
        onChange=${({ target }) => again({ frame: target.valueAsNumber })} />
      <output for="frame">${asked} of ${frames}</output>
      ${
        state === "running"
          ? html`<button type="button" onClick=${stop}>Stop</button><progress max=${frames} value=${done} aria-label="Frames that are classified"></progress>`
          : done < frames && frames <= MOST && html`<button type="button" onClick=${start}>Classify all ${frames} frames</button>`
      }
    </div>
    ${state === "failed" && html`<p class="note" role="alert">The frames could not all be classified. ${done} of ${frames} are there.</p>`}
  </div>`;
}

/** The predictions of a volume's frames, as they come, two at a time. */
function useVolume(item, frames) {
  const { digest } = item.answer.model;
  const known = volumes.get(item.file) ?? new Map();
  const [state, setState] = useState("idle");
  const [, redraw] = useState(0);
  const predictions = known.get(digest) ?? Array(frames).fill(null);
  useEffect(() => {
    if (state !== "running") return;
    let current = true;
    known.set(digest, predictions);
    volumes.set(item.file, known);
    const waiting = predictions.flatMap((found, i) => (found ? [] : [i + 1]));
    const work = async () => {
      for (let frame = waiting.shift(); frame && current; frame = waiting.shift()) {
        predictions[frame - 1] = await patiently(() => predictBriefly({ ...item, frame }));
        if (current) redraw((count) => count + 1);
      }
    };
    Promise.all([work(), work()]).then(
      () => current && setState("idle"),
      () => current && setState("failed"),
    );
    return () => (current = false);
  }, [state, item.file, digest]);
  return { predictions, state, start: () => setState("running"), stop: () => setState("idle") };
}

/** A line for each of the labels with the highest peaks, over the frames; frames unlike training are marked below. */
function Curves({ predictions, frame, choose }) {
  const frames = predictions.length;
  const x = (number) => (WIDTH * (number - 0.5)) / frames;
  const y = (probability) => HEIGHT * (1 - probability);
  const some = predictions.find(Boolean);
  const series = some.probabilities
    .map(({ label }, i) => {
      const values = predictions.map((prediction) => prediction?.probabilities[i].probability ?? null);
      const peak = Math.max(...values);
      return { label, values, peak, at: values.indexOf(peak) + 1 };
    })
    .sort((a, b) => b.peak - a.peak)
    .slice(0, LINES);
  const pick = ({ clientX, currentTarget }) => {
    const { left, width } = currentTarget.getBoundingClientRect();
    choose(Math.min(frames, Math.max(1, Math.ceil(((clientX - left) / width) * frames))));
  };
  const words = series.map(({ label, peak, at }) => `${label} at most ${percent(peak)}, in frame ${at}`).join("; ");
  return html`<figure class="frame-curves">
    <svg viewBox=${`0 -4 ${WIDTH} ${HEIGHT + 14}`} role="img" aria-label=${`Probabilities by frame: ${words}.`} onClick=${pick}>
      <line class="axis" x1="0" x2=${WIDTH} y1=${HEIGHT} y2=${HEIGHT} />
      <line class="here" x1=${x(frame)} x2=${x(frame)} y1="-4" y2=${HEIGHT + 8} />
      ${series.map(({ values }, i) => html`<path class=${`line line-${i}`} d=${path(values, x, y)} />`)}
      ${predictions.map((prediction, i) => prediction?.style_shift?.verdict === "unlike" && html`<circle class="unlike" cx=${x(i + 1)} cy=${HEIGHT + 6} r="2" />`)}
    </svg>
    <figcaption class="muted">
      ${series.map(({ label, peak, at }, i) => html`<span class="curve-key"><svg viewBox="0 0 24 8" aria-hidden="true"><path class=${`line line-${i}`} d="M0 4h24" /></svg>${label}, at most ${percent(peak)} in frame ${at}</span>`)}
      ${predictions.some((each) => each?.style_shift?.verdict === "unlike") && html`<span class="curve-key">Dots: frames unlike the training images</span>`}
    </figcaption>
  </figure>`;
}

/** A line through the values that are there; where one is missing it begins anew. */
function path(values, x, y) {
  return values
    .map((value, i) => (value === null ? "" : `${i && values[i - 1] !== null ? "L" : "M"}${x(i + 1).toFixed(1)} ${y(value).toFixed(1)}`))
    .join("");
}
