import { html } from "../html.js";
import { between, quantile } from "./histogram.js";
import { count, seconds, span } from "./units.js";

const STAGES = {
  retina_decode_duration_seconds: "Decoding, of an image",
  retina_queue_duration_seconds: "Queue, of an image",
  retina_inference_duration_seconds: "Inference, of a batch",
  retina_encode_duration_seconds: "Writing an answer",
  retina_request_duration_seconds: "Whole request, every version",
};

/** Where the time goes, since the start and of late. */
export function Latency({ labels: { model, version }, now, earlier }) {
  const rows = Object.entries(STAGES).map(([series, title]) => {
    const labels = series.includes("request") ? { model } : { model, version };
    const all = now.histogram(series, labels);
    const before = earlier?.histogram(series, labels);
    // A series of requests begins with the first of them.
    const late = all && earlier ? between(all, before) : null;
    return { title, all, late };
  });
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${`Latency of ${model}, version ${version}`}>
    <table class="latency">
      <caption>Latency by stage. Median and 95th percentile are interpolated within the buckets of a histogram, so they are estimates.</caption>
      <thead>
        <tr><td></td><th scope="colgroup" colspan="3">since the start</th><th scope="colgroup" colspan="3">${earlier ? `in the ${span(now, earlier)}` : "of late"}</th></tr>
        <tr><th scope="col">Stage</th>${[0, 1].map(() => html`<th scope="col">count</th><th scope="col">median</th><th scope="col">95th percentile</th>`)}</tr>
      </thead>
      <tbody>${rows.map(({ title, all, late }) => html`<tr key=${title}><th scope="row">${title}</th>${cells(all)}${cells(late)}</tr>`)}</tbody>
    </table>
  </div>`;
}

const cells = (histogram) => [
  html`<td>${histogram ? count(histogram.count) : "–"}</td>`,
  ...[0.5, 0.95].map((share) => html`<td>${inWords(histogram && quantile(histogram, share))}</td>`),
];

const inWords = (found) => (found ? `${found.beyond ? "> " : ""}${seconds(found.value)}` : "–");
