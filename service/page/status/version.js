import { useCardState } from "../card.js";
import { html } from "../html.js";
import { Latency } from "./latency.js";
import { StyleHistogram } from "./style-histogram.js";
import { moment, plural } from "./units.js";

/**
 * One served version.
 *
 * @param of {model, version, digest, provider}
 * @param entry what `GET /v1/models` says of it, if it is its model's default version
 */
export function Version({ of, entry, now, earlier }) {
  const { model, version, digest, provider } = of;
  const { card, fault } = useCardState(model, version);
  const labels = { model, version };
  const id = `status-${model}-${version}`;
  const plan = (setting) => now.sum("retina_model_plan", { ...labels, setting });
  const loaded = now.sum("retina_model_loaded_timestamp_seconds", labels);
  const batches = now.histogram("retina_batch_size_images", labels)?.count;
  const facts = {
    Digest: html`<code>${digest}</code>`,
    "Runs on": [provider, entry && nodes(entry.nodes)].filter(Boolean).join("; "),
    ...(loaded !== null && { Loaded: moment(1000 * loaded) }),
    ...(plan("threads") !== null && { Plan: inWords(plan) }),
    Answered: `${plural(now.sum("retina_images_total", labels) ?? 0, "image")} since the start${batches ? `, ${(now.sum("retina_batch_size_images_sum", labels) / batches).toFixed(2)} in a batch on average` : ""}`,
  };
  return html`<section class="panel status-version" aria-labelledby=${id}>
    <h2 id=${id}>${model}, version ${version}${entry && html` <span class="muted">(default)</span>`}</h2>
    <dl class="facts-list">${Object.entries(facts).map(([term, text]) => html`<div key=${term}><dt>${term}</dt><dd>${text}</dd></div>`)}</dl>
    <${Latency} labels=${labels} now=${now} earlier=${earlier} />
    ${fault && html`<p class="muted">The validation images' style shift is not known, since the card can't be read: ${fault.message}</p>`}
    ${card && !card.style && html`<p class="muted">The card has no style reference, so there is no style shift.</p>`}
    ${card?.style && html`<${StyleHistogram} style=${card.style} labels=${labels} now=${now} earlier=${earlier} />`}
  </section>`;
}

const nodes = (byProvider) =>
  Object.entries(byProvider)
    .map(([provider, number]) => `${number} nodes of its graph on ${provider}`)
    .join(", ");

function inWords(plan) {
  const streams = plan("streams");
  const beside = streams > 1 ? `under load ${streams} runs beside each other, threads of each: ${plan("stream_threads")}` : "one run at a time";
  return `CPU threads of a lone run: ${plan("threads")}; ${beside}; at most ${plan("batch")} images in a run`;
}
