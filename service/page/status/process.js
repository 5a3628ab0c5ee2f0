import { html } from "../html.js";
import { bytes, count, moment, span, uptime } from "./units.js";

const OUTCOMES = {
  ok: "answered",
  client_error: "fault of the request",
  rejected: "rejected",
  disconnected: "client went away",
  error: "fault of the service",
};

/** The service: whether it is ready, what waits, what it refused, and what its processes use. */
export function Process({ now, earlier }) {
  return html`<section class="panel" aria-labelledby="process-title">
    <h2 id="process-title">The service</h2>
    <div class="status-columns">
      <${Facts} now=${now} earlier=${earlier} />
      <div class="status-tables">
        <${Counts} caption="Requests by outcome" series="retina_requests_total" label="outcome" words=${OUTCOMES} now=${now} earlier=${earlier} />
        <${Counts} caption="Requests refused or abandoned, by reason" series="retina_rejected_total" label="reason" now=${now} earlier=${earlier} />
      </div>
    </div>
  </section>`;
}

function Facts({ now, earlier }) {
  const started = now.least("process_start_time_seconds");
  const [build] = now.samples("retina_build_info");
  const used = earlier && now.sum("process_cpu_seconds_total") - earlier.sum("process_cpu_seconds_total");
  const memory = now.sum("process_resident_memory_bytes");
  const facts = {
    Ready: now.sum("retina_ready") ? "yes" : "no, it shuts down",
    "In flight": of(now.sum("retina_in_flight_requests"), now.sum("retina_in_flight_requests_limit"), "requests"),
    ...Object.fromEntries(
      now.samples("retina_queue_length").map(({ labels, value }) => [
        `Queue of ${labels.model} ${labels.version}`,
        of(value, now.sum("retina_queue_limit"), "images"),
      ]),
    ),
    ...(started !== null && { Uptime: `${uptime(now.time / 1000 - started)}, since ${moment(1000 * started)}` }),
    ...(memory !== null && { Memory: `${bytes(memory)} resident` }),
    ...(Number.isFinite(used) && {
      CPUs: `${((1000 * used) / (now.time - earlier.time)).toFixed(2)} busy in the ${span(now, earlier)}`,
    }),
    "Decoding threads": now.sum("retina_decode_threads") ?? "unknown",
    Processes: processes(now),
    ...(build && { Software: `service ${build.labels.version}, ONNX Runtime ${build.labels.onnxruntime}` }),
  };
  return html`<dl class="facts-list">
    ${Object.entries(facts).map(([term, text]) => html`<div key=${term}><dt>${term}</dt><dd>${text}</dd></div>`)}
  </dl>`;
}

/** How many processes the figures are of. The supervisor's restarts are counted where there are workers. */
function processes(now) {
  const workers = now.sum("retina_workers");
  if (workers === null) return "one; the figures are of the one that answered";
  const restarts = now.sum("retina_worker_restarts_total");
  return `${count(workers)} ${workers === 1 ? "worker" : "workers"}; the figures are of all of them${restarts ? `; ${count(restarts)} restarted` : ""}`;
}

const of = (value, limit, unit) => `${count(value ?? 0)} of at most ${count(limit ?? 0)} ${unit}`;

/** A counter by one of its labels, since the start and of late. */
function Counts({ caption, series, label, words = {}, now, earlier }) {
  const values = [...new Set(now.samples(series).map(({ labels }) => labels[label]))];
  const lately = (value) => {
    const before = earlier && (earlier.sum(series, { [label]: value }) ?? 0);
    return earlier ? count(now.sum(series, { [label]: value }) - before) : "–";
  };
  if (!values.length) return html`<p class="muted">${caption}: none yet.</p>`;
  return html`<table>
    <caption>${caption}</caption>
    <thead><tr><td></td><th scope="col">since the start</th><th scope="col">${earlier ? `in the ${span(now, earlier)}` : "of late"}</th></tr></thead>
    <tbody>
      ${values.map(
        (value) =>
          html`<tr key=${value}>
            <th scope="row">${words[value] ?? value.replaceAll("-", " ")}</th>
            <td>${count(now.sum(series, { [label]: value }))}</td>
            <td>${lately(value)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}
