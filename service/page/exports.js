import { certainty, finding, warning } from "./format.js";
import { rowOf } from "./images/rows.js";
import { laidOver } from "./overlay.js";
import { decode, drawPicture, layOver } from "./picture.js";

const NOTICE = "Research use only; not a medical device.";

/** The answer as the service gave it. */
export const downloadJson = ({ file, answer }) =>
  save(`${stem(file)}.json`, new Blob([JSON.stringify(answer, null, 2)], { type: "application/json" }));

/** One row an image, one column a label of any of the models; `tables` are those of the images' own labels. */
export function downloadCsv(items, tables = []) {
  const labels = [...new Set(items.flatMap(({ answer }) => answer.predictions[0].probabilities.map(({ label }) => label)))];
  const head = ["file", "frame", "laterality", "model", "version", "digest", "finding", "probability", "prediction_set",
    "style_verdict", "style_shift_score", "style_shift_percentile", "scope", "request", "time", "own_label", "right",
    ...labels.map((label) => `p(${label})`), "notice"]; // prettier-ignore
  const rows = items.map((item) => {
    const { name, answer, time } = item;
    const { given, own, right } = rowOf(item, tables);
    const [prediction] = answer.predictions;
    const { image, probability, probabilities, prediction_set: set, scope, style_shift: shift } = prediction;
    const of = Object.fromEntries(probabilities.map((entry) => [entry.label, entry.probability]));
    return [name, image.frame, image.laterality, answer.model.name, answer.model.version, answer.model.digest,
      finding(prediction), probability, set?.labels.join("; "), shift?.verdict, shift?.score, shift?.percentile, scope?.verdict, answer.id,
      time.toISOString(), own ?? given, right, ...labels.map((label) => of[label]), NOTICE]; // prettier-ignore
  });
  const text = [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
  const name = items.length === 1 ? stem(items[0].file) : "results";
  save(`${name}.csv`, new Blob(["\ufeff", text, "\r\n"], { type: "text/csv" }));
}

/** A cell as RFC 4180 has it; what a spreadsheet would read as a formula becomes text. */
function cell(value) {
  let text = String(value ?? "");
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The picture with its map as it is shown, and below it what it is. */
export async function downloadPng(item, map) {
  const [prediction] = item.answer.predictions;
  const activation = prediction.class_activation;
  const canvas = document.createElement("canvas");
  const picture = await decode(item.drawable, prediction.image);
  drawPicture(canvas, picture);
  const drawn = map.shown && laidOver(prediction, map, [prediction]);
  if (drawn) layOver(canvas.getContext("2d"), picture, { ...drawn, style: map.style, opacity: map.opacity / 100 });
  const { name, version } = item.answer.model;
  const lines = [
    `${[finding(prediction), certainty(prediction)].filter(Boolean).join(", ")} (${name}, version ${version})`,
    warning(prediction),
    drawn ? `Evidence for ${activation.labels[map.label]}` : "",
    NOTICE,
  ].filter(Boolean);
  const blob = await new Promise((resolve) => captioned(canvas, lines).toBlob(resolve, "image/png"));
  save(`${stem(item.file)}.png`, blob);
}

function captioned(picture, lines) {
  const canvas = document.createElement("canvas");
  const step = 30;
  canvas.width = Math.max(picture.width, 640);
  canvas.height = picture.height + step * (lines.length + 0.7);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, (canvas.width - picture.width) / 2, 0);
  context.fillStyle = "#111";
  lines.forEach((line, i) => {
    context.font = `${i ? "" : "bold "}20px system-ui, sans-serif`;
    context.fillText(line, 12, picture.height + step * (i + 1), canvas.width - 24);
  });
  return canvas;
}

const stem = (file) => file.name.replace(/\.[^.]+$/, "");

export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
