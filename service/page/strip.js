import { diverging, paint, paintLegend, viridis } from "./colours.js";
import { byId, element, signed } from "./dom.js";

/** Standard deviations at which the relative colours end. */
const CLIP = 3;
/** A gate that hardly moved in training would turn rounding into many standard deviations. */
const LEAST_STD = 1e-3;
const MANY_BLOCKS = 20;
/** About the strip's width on a wide screen: beyond it a channel is narrower than a pixel. */
const MANY_CHANNELS = 640;

/** Show the gates of one image, one row per block; `card` (null if unknown) knows the gates of the training images. */
export function showStrip(weights, card) {
  const rows = Object.entries(weights).map(([name, values]) => makeRow(name, values, card));
  byId("no-gates").hidden = rows.length > 0;
  byId("gates-content").hidden = rows.length === 0;
  if (!rows.length) return;

  const comparable = rows.every((row) => row.relative);
  byId("gates-scale").hidden = !comparable;
  const strip = byId("strip");
  strip.classList.toggle("dense", rows.length > MANY_BLOCKS);
  strip.replaceChildren(...rows.flatMap((row) => [row.label, row.slider, row.average]));

  const scale = () => (comparable && document.querySelector("input[name=gates-scale]:checked").value) || "weight";
  const recolour = () => {
    rows.forEach((row) => colourRow(row, scale()));
    const relative = scale() === "relative";
    paintLegend(byId("gates-legend"), relative ? diverging : viridis);
    byId("gates-low").textContent = relative ? `−${CLIP} SD` : "0";
    byId("gates-high").textContent = relative ? `+${CLIP} SD` : "1";
  };
  byId("gates-scale").onchange = recolour;
  recolour();
  byId("gate-reading").textContent = "Point at a channel, or move with the arrow keys, to read its weight.";
  rows.forEach((row, index) => listen(row, index, rows));
  rows[0].slider.tabIndex = 0;
}

function makeRow(name, values, card) {
  const block = card?.blocks.find((candidate) => candidate.name === name);
  const reference = block && card.gate_reference;
  const part = (array) => array.slice(block.offset, block.offset + block.channels);
  const mean = reference ? part(reference.mean) : null;
  const std = reference ? part(reference.std).map((value) => Math.max(value, LEAST_STD)) : null;
  const canvas = element("canvas", { className: values.length > MANY_CHANNELS ? "fine" : "" });
  const cursor = element("span", { className: "cursor" });
  const slider = element(
    "div",
    {
      className: "row",
      tabIndex: -1,
      role: "slider",
      aria: { label: `Channel of ${name}`, valuemin: 0, valuemax: values.length - 1 },
    },
    canvas,
    cursor,
  );
  const row = { name, values, mean, std, canvas, cursor, slider, channel: 0 };
  row.relative = mean && values.map((value, i) => (value - mean[i]) / std[i]);
  row.label = element("span", { className: "block" }, name);
  row.average = element("span", { className: "average" });
  describe(row);
  return row;
}

function colourRow({ canvas, average, values, relative }, scale) {
  const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  if (scale === "relative") {
    const clipped = relative.map((value) => (value / CLIP + 1) / 2);
    paint(canvas, clipped, clipped.length, diverging);
    average.textContent = signed(mean(relative));
    average.title = "mean over the channels, in standard deviations";
  } else {
    paint(canvas, values, values.length, viridis);
    average.textContent = mean(values).toFixed(2);
    average.title = "mean over the channels";
  }
}

/** Put the row's cursor over its channel and return the channel in words. */
function describe(row) {
  const { channel, values, mean, std } = row;
  row.cursor.style.left = `${(100 * channel) / values.length}%`;
  row.cursor.style.width = `${100 / values.length}%`;
  const reference = mean
    ? `; in training ${mean[channel].toFixed(3)} ± ${std[channel].toFixed(3)}, so ${signed(row.relative[channel])} SD`
    : "";
  const text = `channel ${channel} of 0–${values.length - 1}: weight ${values[channel].toFixed(3)}${reference}`;
  row.slider.setAttribute("aria-valuenow", channel);
  row.slider.setAttribute("aria-valuetext", text);
  return `${row.name}, ${text}`;
}

/** The whole strip is one stop of the Tab key; arrows move within it. */
function listen(row, index, rows) {
  const { slider } = row;
  const last = row.values.length - 1;
  const show = (channel) => {
    row.channel = Math.min(last, Math.max(0, channel));
    rows.forEach((other) => other.slider.classList.toggle("current", other === row));
    byId("gate-reading").textContent = describe(row);
  };
  const point = ({ clientX }) => {
    const { left, width } = slider.getBoundingClientRect();
    show(Math.floor(((clientX - left) / width) * row.values.length));
  };
  const enter = (target) => {
    if (!target) return;
    rows.forEach((other) => (other.slider.tabIndex = other === target ? 0 : -1));
    target.slider.focus();
  };
  slider.onpointermove = point;
  slider.onpointerdown = point;
  slider.onfocus = () => show(row.channel);
  slider.onkeydown = (event) => {
    const page = Math.max(1, Math.round(last / 10));
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -page, PageDown: page, Home: -last, End: last }[event.key];
    if (step) show(row.channel + step);
    else if (event.key === "ArrowUp") enter(rows[index - 1]);
    else if (event.key === "ArrowDown") enter(rows[index + 1]);
    else return;
    event.preventDefault();
  };
}
