import { diverging, paint, viridis } from "./colours.js";
import { signed } from "./format.js";
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { Legend } from "./overlay.js";
import { CLIP, compareGates, extremes, mean } from "./reference.js";

const MANY_BLOCKS = 20;
/** About the strip's width on a wide screen: beyond it a channel is narrower than a pixel. */
const MANY_CHANNELS = 640;

/**
 * The gates of one image, or of several below each other, as a strip of colours for each block.
 *
 * @param series [{name, weights, card}], weights from block to gates as the service answers them
 * @param card of the series that have none of their own; it knows the gates of the training images; null while unknown
 */
export function Gates({ series, card }) {
  const [scale, setScale] = useState("relative");
  const [cursor, setCursor] = useState(null); // {row, channel}
  const strip = useRef(null);
  const rows = useMemo(() => compareGates(series, card), [...series.flatMap((each) => [each.weights, each.card]), card]);
  if (!rows.length)
    return html`<section class="gates"><h3>Recalibration weights</h3>
      <p class="muted">This model has no recalibration, so there are no weights to show.</p></section>`;
  const comparable = rows.every(({ relative }) => relative);
  const shown = comparable ? scale : "weight";
  const go = (row, channel) => {
    const index = Math.min(rows.length - 1, Math.max(0, row));
    setCursor({ row: index, channel: Math.min(rows[index].values.length - 1, Math.max(0, channel)) });
  };
  const focus = (row, channel) => {
    strip.current.querySelectorAll(".row")[Math.min(rows.length - 1, Math.max(0, row))].focus();
    go(row, channel); // after the focus, which goes to the row's own channel
  };
  return html`<section class="gates" aria-labelledby="gates-title">
    <h3 id="gates-title">Recalibration weights</h3>
    <p class="muted">
      The gates by which the network turned its channels up or down for this image: one row per block, from the input
      (top) to the output; one column per channel.${" "}
      ${
        shown === "relative"
          ? "Colours compare each gate with the training images, in standard deviations: red is unusually emphasised, blue unusually suppressed."
          : "A weight of 0 shuts the channel, 1 lets it through unchanged."
      }
    </p>
    <div class="strip-bar">
      ${comparable && html`<${Scale} scale=${scale} setScale=${setScale} />`}
      ${
        shown === "relative"
          ? html`<${Legend} low=${`−${CLIP} SD`} high=${`+${CLIP} SD`} colour=${diverging} />`
          : html`<${Legend} low="0" high="1" colour=${viridis} />`
      }
    </div>
    <div class=${`strip ${rows.length > MANY_BLOCKS ? "dense" : ""} ${series.length > 1 ? "paired" : ""}`} ref=${strip}>
      ${rows.map(
        (row, index) =>
          html`<${Row} row=${row} scale=${shown} several=${series.length > 1} key=${index}
            channel=${cursor?.row === index ? cursor.channel : null}
            stop=${index === (cursor?.row ?? 0)} go=${(channel) => go(index, channel)}
            leave=${(step, channel) => focus(index + step, channel)} />`,
      )}
    </div>
    <p class="reading">
      ${cursor ? reading(rows[cursor.row], cursor.channel) : "Point at a channel, or move with the arrow keys, to read its weight."}
    </p>
    ${comparable && series.length === 1 && html`<${Extremes} rows=${rows} focus=${focus} />`}
  </section>`;
}

function Scale({ scale, setScale }) {
  const option = (value, words) =>
    html`<label><input type="radio" name="gates-scale" checked=${scale === value} onChange=${() => setScale(value)} /><span>${words}</span></label>`;
  return html`<fieldset class="segmented">
    <legend class="visually-hidden">What the colours show</legend>
    ${option("relative", "relative to training")}${option("weight", "weight")}
  </fieldset>`;
}

/** One block of one image. The whole strip is one stop of the Tab key; arrows move within it. */
function Row({ row, scale, several, channel, stop, go, leave }) {
  const { block, name, values, relative } = row;
  const canvas = useRef(null);
  useEffect(() => {
    if (scale === "relative") paint(canvas.current, relative.map((value) => (value / CLIP + 1) / 2), values.length, diverging);
    else paint(canvas.current, values, values.length, viridis);
  }, [row, scale]);
  const last = values.length - 1;
  const point = ({ clientX, currentTarget }) => {
    const { left, width } = currentTarget.getBoundingClientRect();
    go(Math.floor(((clientX - left) / width) * values.length));
  };
  const press = (event) => {
    const page = Math.max(1, Math.round(last / 10));
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -page, PageDown: page, Home: -last, End: last }[event.key];
    if (step) go((channel ?? 0) + step);
    else if (event.key === "ArrowUp") leave(-1, channel ?? 0);
    else if (event.key === "ArrowDown") leave(1, channel ?? 0);
    else return;
    event.preventDefault();
  };
  const share = 100 / values.length;
  return html`
    <span class="block">${several && html`<span class="series">${row.letter}</span>`}${block}</span>
    <div class="row" role="slider" tabindex=${stop ? 0 : -1} aria-label=${`Channel of ${block}${several ? ` of ${name}` : ""}`}
      aria-valuemin="0" aria-valuemax=${last} aria-valuenow=${channel ?? 0} aria-valuetext=${reading(row, channel ?? 0)}
      onPointerMove=${point} onPointerDown=${point} onFocus=${() => go(channel ?? 0)} onKeyDown=${press}>
      <canvas ref=${canvas} class=${values.length > MANY_CHANNELS ? "fine" : ""}></canvas>
      ${channel !== null && html`<span class="cursor" style=${{ left: `${share * channel}%`, width: `${share}%` }}></span>`}
    </div>
    <span class="average" title="mean over the channels">
      ${scale === "relative" ? signed(mean(relative)) : mean(values).toFixed(2)}
    </span>
  `;
}

/** The channels that stand out most, each a way to its place in the strip. */
function Extremes({ rows, focus }) {
  const { high, low } = extremes(rows);
  const list = (title, found) =>
    html`<div>
      <h4>${title}</h4>
      <ul>
        ${found.map(
          ({ index, block, channel, value }) =>
            html`<li><button type="button" onClick=${() => focus(index, channel)}>${block}, channel ${channel} <b>${signed(value, 1)} SD</b></button></li>`,
        )}
      </ul>
    </div>`;
  return html`<div class="extremes">
    ${list("Most emphasised against training", high)} ${list("Most suppressed against training", low)}
  </div>`;
}

function reading({ block, values, mean: usual, std, relative }, channel) {
  const reference = relative
    ? `; in training ${usual[channel].toFixed(3)} ± ${std[channel].toFixed(3)}, so ${signed(relative[channel])} SD`
    : "";
  return `${block}, channel ${channel} of 0–${values.length - 1}: weight ${values[channel].toFixed(3)}${reference}`;
}
