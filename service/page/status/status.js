import { apiKey, root } from "../api.js";
import { save } from "../exports.js";
import { Fault } from "../fault.js";
import { html, useState } from "../html.js";
import { KeyForm } from "../key.js";
import { Compared } from "./compared.js";
import { Process } from "./process.js";
import { useReadings } from "./polling.js";
import { clock } from "./units.js";
import { Version } from "./version.js";

/**
 * The view for whoever runs the service.
 *
 * @param models as `GET /v1/models` lists them, or null if unknown
 * @param asked whether the page asks for a key already
 * @param unlock use a key
 */
export function Status({ models, asked, unlock }) {
  const [paused, pause] = useState(false);
  const [tries, retry] = useState(0);
  const { now, earlier, problem } = useReadings(paused, `${tries} ${Boolean(models)}`);
  const denied = problem?.status === 401 || problem?.status === 403;
  const use = (key) => {
    unlock(key);
    retry(tries + 1);
  };
  const entry = ({ model, digest }) => models?.find((each) => each.name === model && each.digest === digest);
  return html`
    <div class="status-head">
      <h1>Status</h1>
      <p class="muted">${now ? `Read at ${clock(now.time)}.` : "Not read yet."} ${paused ? "Paused." : "Read again every 5 s while this tab is seen."}</p>
      <button type="button" onClick=${() => pause(!paused)}>${paused ? "Go on" : "Pause"}</button>
      ${now && html`<${RawText} reading=${now} />`}
    </div>
    ${denied && html`<${Denied} status=${problem.status} asked=${asked} unlock=${use} />`}
    ${problem && !denied && html`<${Fault} problem=${problem} retry=${() => retry(tries + 1)} />`}
    ${now && html`<${Process} now=${now} earlier=${earlier} />`}
    ${now?.versions.map(
      (each) =>
        html`<${Version} key=${`${each.model} ${each.version} ${each.digest}`} of=${each} entry=${entry(each)} now=${now} earlier=${earlier} />`,
    )}
    <${Compared} versions=${now?.versions ?? listed(models)} />
    <p class="muted">A Grafana dashboard and alerts for these series are in the folder “deploy” of the source.
      docs/operations.md says what each series means.</p>
  `;
}

const listed = (models) =>
  (models ?? []).flatMap(({ name, versions }) => versions.map((version) => ({ model: name, version })));

/** A link can't carry a key, so with one the text is saved by the page. */
function RawText({ reading }) {
  if (!apiKey.get()) return html`<a href=${`${root}/metrics`}>Prometheus text</a>`;
  const text = new Blob([reading.text], { type: "text/plain" });
  return html`<button type="button" onClick=${() => save("metrics.txt", text)}>Save the Prometheus text</button>`;
}

function Denied({ status, asked, unlock }) {
  return html`<p class="note" role="alert">
      ${
        status === 403
          ? "The key of this tab doesn't allow to read the metrics. They need a key with the scope “metrics”."
          : "The metrics of this service need a key with the scope “metrics”."
      }
    </p>
    ${!asked && html`<${KeyForm} why=${status === 401 && apiKey.get() ? "refused" : "asked"} unlock=${unlock} />`}`;
}
