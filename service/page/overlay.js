import { paintLegend, viridis } from "./colours.js";
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { colourMap, decode, drawOverlay, evidenceRange, fade } from "./picture.js";

const TIP = {
  1: `The map shows where the evidence for one class lies. It is scaled for this image and this class alone, from the
    least to the greatest positive evidence; evidence against the class is not drawn. So colours can't be compared
    between classes or between images. The legend's numbers are in the unit of the class's logit, which is the mean over
    the whole map.`,
  2: `The maps show where the evidence for one class lies, both on one scale, from the least to the greatest positive
    evidence in either; evidence against the class is not drawn. So colours can be compared between the two images, but
    not between classes.`,
};

/** What is laid over a picture: the class (its number) and the opacity (0 to 100). */
export const startMap = ({ label, class_activation: activation }) => ({
  label: activation ? activation.labels.indexOf(label) : 0,
  opacity: 60,
});

/** The picture that the item's file holds, decoded; undefined while that goes on, null where it can't be drawn. */
function usePicture({ drawable, answer }) {
  const [picture, setPicture] = useState(undefined);
  useEffect(() => {
    let current = true;
    Promise.resolve(drawable && decode(drawable, answer.predictions[0].image)).then((found) => current && setPicture(found));
    return () => (current = false);
  }, [drawable, answer]);
  return picture;
}

/** The ends of the chosen class's colours over all of these predictions; null without maps. */
export const rangeOf = (predictions, map) =>
  predictions.every((prediction) => prediction.class_activation)
    ? evidenceRange(predictions.map(({ class_activation: { maps } }) => maps[map.label]))
    : null;

/** The chosen class's map of a prediction, coloured; null without map or contrast. */
export const coloured = ({ class_activation: activation }, map, range) =>
  range && colourMap(activation.maps[map.label], range);

/** An item's image with its activation map, coloured as for all of `together`. */
export function Picture({ item, map, together }) {
  const [prediction] = item.answer.predictions;
  const activation = prediction.class_activation;
  const picture = usePicture(item);
  const colours = useMemo(() => coloured(prediction, map, rangeOf(together, map)), [prediction, map.label, ...together]);
  const canvas = useRef(null);
  useEffect(() => {
    if (picture) drawOverlay(canvas.current, picture, colours, map.opacity / 100);
  }, [picture, colours, map.opacity]);
  if (picture === null)
    return html`<p class="note">This file can't be drawn here, so the picture and its map are left out. The service could
      read it; the results are complete.</p>`;
  const words = activation && map.opacity ? `, with the evidence for ${activation.labels[map.label]} laid over it` : "";
  const notes = [
    picture?.cropped && "The model saw the bright part only.",
    item.drawable !== item.file && "Drawn by the service, since browsers can't draw this kind of file.",
  ].filter(Boolean);
  return html`<figure>
    <canvas ref=${canvas} class="picture" role="img" aria-label=${item.file.name + words}></canvas>
    ${notes.length > 0 && html`<figcaption class="muted">${notes.join(" ")}</figcaption>`}
  </figure>`;
}

/** Choose the class and the opacity of the maps of one or two predictions. */
export function MapControls({ together, drawable, map, setMap }) {
  const activation = together[0].class_activation;
  const range = useMemo(() => rangeOf(together, map), [map.label, ...together]);
  if (!activation) return html`<p class="muted">This model gives no class activation map.</p>`;
  if (!drawable) return null;
  return html`<div class="map-controls" role="group" aria-labelledby="map-title">
    <div class="map-title"><h3 id="map-title">Class activation map</h3><${Tip} label="How the map is scaled" text=${TIP[together.length]} /></div>
    <div class="controls">
      <label for="map-class">Evidence for</label>
      <select id="map-class" onChange=${({ target }) => setMap({ ...map, label: Number(target.value) })}>
        ${activation.labels.map((label, i) => html`<option value=${i} selected=${i === map.label}>${label}</option>`)}
      </select>
      <label for="opacity">Opacity</label>
      <span class="slider">
        <input type="range" id="opacity" min="0" max="100" step="5" value=${map.opacity}
          onInput=${({ target }) => setMap({ ...map, opacity: target.valueAsNumber })} />
        <output for="opacity">${map.opacity} %</output>
      </span>
    </div>
    ${
      range.high > range.low
        ? html`<${Legend} low=${range.low.toFixed(2)} high=${range.high.toFixed(2)} colour=${viridis} alpha=${fade} dark />`
        : html`<p class="note">Nowhere in the image is there more evidence for this class than elsewhere: there is nothing
            to draw.</p>`
    }
  </div>`;
}

/** A strip of the colours between two ends. */
export function Legend({ low, high, colour, alpha, dark = false }) {
  const canvas = useRef(null);
  useEffect(() => paintLegend(canvas.current, colour, alpha), [colour, alpha]);
  return html`<div class="legend">
    <span>${low}</span><canvas ref=${canvas} class=${dark ? "dark" : ""} aria-hidden="true"></canvas><span>${high}</span>
  </div>`;
}

/** A question mark that explains; it yields to Escape without the pointer moving (WCAG 1.4.13). */
function Tip({ label, text }) {
  const [dismissed, dismiss] = useState(false);
  useEffect(() => {
    const onKey = ({ key }) => key === "Escape" && dismiss(true);
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  const back = () => dismiss(false);
  return html`<span class=${`tip ${dismissed ? "dismissed" : ""}`} onPointerLeave=${back} onFocusOut=${back}>
    <button type="button" aria-label=${label} aria-describedby="tip">?</button>
    <span id="tip" role="tooltip">${text}</span>
  </span>`;
}
