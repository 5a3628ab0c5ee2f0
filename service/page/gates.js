import { OpenChannel } from "./channel.js";
import { diverging, paint, viridis } from "./colours.js";
import { signed } from "./format.js";
import { html, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { Legend } from "./overlay.js";
import { CLIP, compareGates, mean, outstanding, SHOWN } from "./reference.js";

const MANY_BLOCKS = 20;
/** About the strip's width on a wide screen: beyond it a channel is narrower than a pixel. */
const MANY_CHANNELS = 640;

/**
 * The gates of one image, or of several below each other, as a strip of colours for each block.
 *
 * @param series [{name, weights, card}], weights from block to gates as the service answers them
 * @param card of the series that have none of their own; it knows the gates of the training images; null while unknown
 * @param looking of a single image {item, others, open, show}, as `OpenChannel` takes them
 */
export function Gates({ series, card, looking }) {
  const [scale, setScale] = useState("relative");
  const [cursor, setCursor] = useState(null); // {row, channel}
  const [opened, setOpened] = useState(null); // {block, channel}
  const strip = useRef(null);
  const all = useMemo(() => compareGates(series, card), [...series.flatMap((each) => [each.weights, each.card]), card]);
  if (!all.length)
    return html`<section class="gates"><h3>Gates</h3>
      <p class="muted">This model has no recalibration, so it has no gates.</p></section>`;
  const comparable = all.every(({ relative }) => relative);
  const shown = comparable ? scale : "weight";
  const rows = shown === "relative" ? all : all.filter((row) => !row.difference);
  const go = (row, channel) => {
    const index = Math.min(rows.length - 1, Math.max(0, row));
    setCursor({ row: index, channel: Math.min(rows[index].values.length - 1, Math.max(0, channel)) });
  };
  const focus = (row, channel) => {
    strip.current.querySelectorAll(".row")[Math.min(rows.length - 1, Math.max(0, row))].focus();
    go(row, channel); // after the focus, which goes to the row's own channel
  };
  const pointed = cursor && rows[cursor.row];
  const enter = looking && ((row, channel) => setOpened({ block: rows[row].block, channel }));
  return html`<section class="gates" aria-labelledby="gates-title">
    <h3 id="gates-title">Gates</h3>
    <p>A gate is the number, 0 to 1, by which the network multiplied one of its channels for this image.</p>
    ${comparable && series.length === 1 && html`<${Outstanding} rows=${rows} focus=${focus} />`}
    <p class="muted">
      One row is a block, from the input (top) to the output; one column is a channel.${" "}
      ${
        shown === "relative"
          ? "Colours compare each gate with the training images, in standard deviations (SD): red is above their mean, blue below."
          : "At 0 the channel is shut, at 1 unchanged."
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
    <div class="strip-heads muted" aria-hidden="true"><span>block</span><span>channels</span><span>${shown === "relative" ? "mean, SD" : "mean"}</span></div>
    <div class=${`strip ${rows.length > MANY_BLOCKS ? "dense" : ""} ${series.length > 1 ? "paired" : ""}`} ref=${strip}>
      ${rows.map(
        (row, index) =>
          html`<${Row} row=${row} scale=${shown} several=${series.length > 1} key=${index}
            channel=${cursor?.row === index ? cursor.channel : null}
            stop=${index === (cursor?.row ?? 0)} go=${(channel) => go(index, channel)}
            leave=${(step, channel) => focus(index + step, channel)} enter=${enter && ((channel) => enter(index, channel))} />`,
      )}
    </div>
    <p class="reading">
      ${pointed ? reading(pointed, cursor.channel) : `Point at a channel, or move with the arrow keys, to read its gate${looking ? "; click it, or press Enter, to open it" : ""}.`}
      ${pointed && looking && html` <button type="button" onClick=${() => enter(cursor.row, cursor.channel)}>Open the channel</button>`}
    </p>
    ${opened && html`<${OpenChannel} ...${looking} opened=${opened} row=${all.find(({ block }) => block === opened.block)} close=${() => setOpened(null)} />`}
  </section>`;
}

function Scale({ scale, setScale }) {
  const option = (value, words) =>
    html`<label><input type="radio" name="gates-scale" checked=${scale === value} onChange=${() => setScale(value)} /><span>${words}</span></label>`;
  return html`<fieldset class="segmented">
    <legend class="visually-hidden">What the colours show</legend>
    ${option("relative", "against training")}${option("weight", "gate")}
  </fieldset>`;
}

/** One block of one image. The whole strip is one stop of the Tab key; arrows move within it. */
function Row({ row, scale, several, channel, stop, go, leave, enter }) {
  const { block, name, values, relative } = row;
  const canvas = useRef(null);
  useLayoutEffect(() => {
    if (scale === "relative") paint(canvas.current, relative.map((value) => (value / CLIP + 1) / 2), values.length, diverging);
    else paint(canvas.current, values, values.length, viridis);
  }, [row, scale]);
  const last = values.length - 1;
  const at = ({ clientX, currentTarget }) => {
    const { left, width } = currentTarget.getBoundingClientRect();
    return Math.min(last, Math.max(0, Math.floor(((clientX - left) / width) * values.length)));
  };
  const point = (event) => go(at(event));
  const press = (event) => {
    const page = Math.max(1, Math.round(last / 10));
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -page, PageDown: page, Home: -last, End: last }[event.key];
    if (step) go((channel ?? 0) + step);
    else if (event.key === "Enter" && enter) enter(channel ?? 0);
    else if (event.key === "ArrowUp") leave(-1, channel ?? 0);
    else if (event.key === "ArrowDown") leave(1, channel ?? 0);
    else return;
    event.preventDefault();
  };
  const share = 100 / values.length;
  return html`
    <span class=${`block ${several && row.letter === "A" ? "first" : ""}`}>${several && html`<span class=${`series ${row.difference ? "wide" : ""}`}>${row.letter}</span>`}${block}</span>
    <div class=${`row ${several && row.letter === "A" ? "first" : ""}`} role="slider" tabindex=${stop ? 0 : -1} aria-label=${`Channel of ${block}${several ? ` of ${name}` : ""}`}
      aria-valuemin="0" aria-valuemax=${last} aria-valuenow=${channel ?? 0} aria-valuetext=${reading(row, channel ?? 0)}
      onPointerMove=${point} onPointerDown=${point} onClick=${enter && ((event) => enter(at(event)))} onFocus=${() => go(channel ?? 0)} onKeyDown=${press}>
      <canvas ref=${canvas} class=${values.length > MANY_CHANNELS ? "fine" : ""}></canvas>
      ${channel !== null && html`<span class="cursor" style=${{ left: `${share * channel}%`, width: `${share}%` }}></span>`}
    </div>
    <span class=${`average ${several && row.letter === "A" ? "first" : ""}`} title="mean over the channels">
      ${scale === "relative" ? signed(mean(relative)) : mean(values).toFixed(2)}
    </span>
  `;
}

/** The gates that differ more from training than chance explains, each a way to its place; or that there are none. */
function Outstanding({ rows, focus }) {
  const { bound, count, largest, found } = outstanding(rows);
  if (!found.length)
    return html`<p class="outstanding">Nothing unusual: of ${count} gates the largest difference from training is
      ${" "}${signed(largest, 1)} SD, and chance alone gives up to ±${bound.toFixed(1)}.</p>`;
  return html`<div class="outstanding">
    <p>${found.length === 1 ? "One gate differs" : `${found.length} gates differ`} by more than ±${bound.toFixed(1)} SD from training, which chance alone hardly gives among ${count}:</p>
    <ul>
      ${found.slice(0, SHOWN).map(
        ({ index, block, channel, value }) =>
          html`<li><button type="button" onClick=${() => focus(index, channel)}>${block}, channel ${channel} <b>${signed(value, 1)} SD</b></button></li>`,
      )}
    </ul>
  </div>`;
}

function reading({ block, values, mean: usual, std, relative, difference }, channel) {
  if (difference) return `${block}, channel ${channel} of 0–${values.length - 1}: B − A ${signed(values[channel], 3)}, ${signed(relative[channel])} SD`;
  const reference = relative
    ? `; in training ${usual[channel].toFixed(3)} ± ${std[channel].toFixed(3)}, so ${signed(relative[channel])} SD`
    : "";
  return `${block}, channel ${channel} of 0–${values.length - 1}: gate ${values[channel].toFixed(3)}${reference}`;
}
