import { paintLegend, viridis } from "./colours.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { DETAILED, decode, drawableMap, evidenceRange, fade, LEVELS } from "./picture.js";
import { Viewer } from "./viewer.js";

const TIP = {
  1: `The map shows where the evidence for one class lies. It is scaled for this image and this class alone, from the
    least to the greatest positive evidence; evidence against the class is not drawn. So maps can't be compared
    between classes or between images. The numbers are in the unit of the class's logit, which is the mean over
    the whole map.`,
  2: `The maps show where the evidence for one class lies, both on one scale, from the least to the greatest positive
    evidence in either; evidence against the class is not drawn. So they can be compared between the two images, but
    not between classes.`,
};

/**
 * What is laid over a picture: the class (its number), how it is drawn, the opacity of colours (0 to 100); instead of the
 * class an open channel {name, map}.
 */
export const startMap = ({ label, class_activation: activation }) => ({
  label: activation ? Math.max(0, activation.labels.indexOf(label)) : 0,
  shown: true,
  style: "lines",
  opacity: 40,
});

/** The picture that the item's file holds, decoded; undefined while that goes on, null where it can't be drawn. */
function usePicture({ drawable, answer }) {
  const [picture, setPicture] = useState(undefined);
  useEffect(() => {
    let current = true;
    Promise.resolve(drawable && decode(drawable, answer.predictions[0].image, DETAILED)).then(
      (found) => current && setPicture(found),
    );
    return () => (current = false);
  }, [drawable, answer]);
  return picture;
}

/** The ends of the chosen class's evidence over all of these predictions; null without maps. */
const rangeOf = (predictions, map) =>
  map.channel
    ? evidenceRange([map.channel.map])
    : predictions.every((prediction) => prediction.class_activation)
    ? evidenceRange(predictions.map(({ class_activation: { maps } }) => maps[map.label]))
    : null;

/** The chosen class's map of a prediction as it is drawn over its picture, or null. */
export function laidOver({ class_activation: activation }, map, together) {
  const range = rangeOf(together, map);
  return range && drawableMap(map.channel?.map ?? activation.maps[map.label], range);
}

/** An item's image with its activation map, scaled as for all of `together`. */
export function Picture({ item, map, setMap, together }) {
  const [prediction] = item.answer.predictions;
  const activation = prediction.class_activation;
  const picture = usePicture(item);
  const drawn = useMemo(() => laidOver(prediction, map, together), [prediction, map.label, map.channel, ...together]);
  const { shown, style, opacity } = map;
  const over = useMemo(() => (drawn && shown ? { ...drawn, style, opacity: opacity / 100 } : null), [drawn, shown, style, opacity]);
  if (picture === null)
    return html`<p class="note">This file can't be drawn here, so the picture and its map are left out. The service could
      read it; the results are complete.</p>`;
  const words = over ? `, with ${map.channel?.name ?? `the evidence for ${activation.labels[map.label]}`} laid over it` : "";
  const notes = [
    picture?.cropped && "The model saw the bright part only.",
    item.drawable !== item.file && "Drawn by the service, since browsers can't draw this kind of file.",
  ].filter(Boolean);
  return html`<figure>
    <${Viewer} picture=${picture} map=${over} toggle=${drawn && (() => setMap({ ...map, shown: !shown }))} label=${item.name + words} />
    ${notes.length > 0 && html`<figcaption class="muted">${notes.join(" ")}</figcaption>`}
  </figure>`;
}

/** Choose the class of the maps of one or two predictions, and how they are drawn. */
export function MapControls({ together, drawable, map, setMap }) {
  const activation = together[0].class_activation;
  const range = useMemo(() => rangeOf(together, map), [map.label, map.channel, ...together]);
  if (!activation) return html`<p class="muted">This model gives no class activation map.</p>`;
  if (!drawable) return null;
  const set = (changes) => setMap({ ...map, shown: true, ...changes });
  const way = (style, words) =>
    html`<label><input type="radio" name="map-style" checked=${map.style === style} onChange=${() => set({ style })} /><span>${words}</span></label>`;
  return html`<div class="map-controls" role="group" aria-labelledby="map-title">
    <div class="map-title"><h3 id="map-title">Class activation map</h3><${Tip} label="How the map is scaled" text=${TIP[together.length]} /></div>
    <div class="controls">
      <label for="map-class">Evidence for</label>
      <select id="map-class" onChange=${({ target }) => target.value && set({ label: Number(target.value), channel: null })}>
        ${map.channel && html`<option value="" selected>${map.channel.name}</option>`}
        ${activation.labels.map((label, i) => html`<option value=${i} selected=${!map.channel && i === map.label}>${label}</option>`)}
      </select>
      <fieldset class="segmented"><legend class="visually-hidden">Drawn as</legend>${way("lines", "Lines")}${way("colours", "Colours")}</fieldset>
      ${
        map.style === "colours" &&
        html`<span class="slider"><label for="opacity">Opacity</label>
          <input type="range" id="opacity" min="0" max="100" step="5" value=${map.opacity} onInput=${({ target }) => set({ opacity: target.valueAsNumber })} />
          <output for="opacity">${map.opacity} %</output></span>`
      }
    </div>
    ${range.high > range.low ? html`<${Scale} range=${range} style=${map.style} />` : html`<p class="note">Nowhere in the image is there more evidence for this class than elsewhere: there is nothing to draw.</p>`}
  </div>`;
}

function Scale({ range: { low, high }, style }) {
  if (style === "colours") return html`<${Legend} low=${low.toFixed(2)} high=${high.toFixed(2)} colour=${viridis} alpha=${fade} dark />`;
  const at = LEVELS.map((level) => (low + level * (high - low)).toFixed(2));
  return html`<p class="muted">Within a line the evidence is at least ${at[0]} (thin), ${at[1]} or ${at[2]} (thick), of at most ${high.toFixed(2)}.</p>`;
}

/** A strip of the colours between two ends. */
export function Legend({ low, high, colour, alpha, dark = false }) {
  const canvas = useRef(null);
  useLayoutEffect(() => paintLegend(canvas.current, colour, alpha), [colour, alpha]);
  return html`<div class="legend">
    <span>${low}</span><canvas ref=${canvas} class=${dark ? "dark" : ""} aria-hidden="true"></canvas><span>${high}</span>
  </div>`;
}

/** A question mark that explains; it yields to Escape without the pointer moving (WCAG 1.4.13). */
function Tip({ label, text }) {
  const [dismissed, dismiss] = useState(false);
  useLayoutEffect(() => {
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
