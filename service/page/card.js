import { readCard } from "./api.js";
import { Intervals } from "./charts.js";
import { save } from "./exports.js";
import { html, useEffect, useState } from "./html.js";

/** A version's card as it is read: {card} or {fault}, or nothing yet. */
export function useCardState(name, version) {
  const [state, setState] = useState({});
  useEffect(() => {
    let current = true;
    setState({});
    readCard(name, version).then(
      (card) => current && setState({ card }),
      (error) => current && setState({ fault: error.message }),
    );
    return () => (current = false);
  }, [name, version]);
  return state;
}

/** The model card beside a result, folded. */
export function CardPanel({ model, version }) {
  const { card, fault } = useCardState(model.name, version);
  return html`<details class="panel card">
    <summary>Model card: ${model.name}, version ${version}</summary>
    ${fault && html`<p>The card can't be shown: ${fault}.</p>`}
    ${!fault && !card && html`<p class="muted">Loading…</p>`}
    ${card && html`<${CardText} card=${card} provider=${model.provider} /><${Intervals} results=${card.measured.results} method=${card.measured.interval_method} worth=${card.measured.effective_images} />`}
  </details>`;
}

/** What a card says, its figures apart. */
export function CardText({ card, provider }) {
  const { height, width, channels, crop } = card.input;
  const seen = crop === "centre-square" ? "the centred square of the image" : "the whole image";
  const { depth, recalibration } = card.architecture;
  const total = (split) => Object.values(split).reduce((sum, count) => sum + count, 0);
  const counts = Object.entries(card.training_data.counts).map(([split, of]) => `${total(of)} ${split}`);
  const rows = {
    Task: `${card.task}: ${card.labels.join(", ")}`,
    Input: `${width} × ${height}, ${channels === 1 ? "grey" : "colour"}, from ${seen}`,
    Network: `ResNet-${depth}, ${recalibration === "none" ? "no recalibration" : recalibration.toUpperCase()}`,
    "Trained on": `${card.training_data.name} (${card.training_data.licence}); images: ${counts.join(", ")}`,
    ...(card.initial_weights && {
      "Began from": `${card.initial_weights.source} (${card.initial_weights.file}; ${card.initial_weights.licence})`,
    }),
    ...(card.scope && { "Made for": card.scope.modality }),
    ...(card.quantisation && { Precision: "INT8 convolutions; the figures are those of the float32 network" }),
    Calibration: `${card.calibration.method}, ${card.calibration.fitted_on}`,
    Chosen: card.measured.selection,
    ...(provider && { "Runs on": provider }),
    Made: card.created.slice(0, 10),
  };
  return html`<div class="card-text">
    <dl>${Object.entries(rows).map(([term, text]) => html`<div><dt>${term}</dt><dd>${text}</dd></div>`)}</dl>
    <div>
      <h3>Intended use</h3>
      <p>${card.intended_use}</p>
      <h3>Limits</h3>
      <ul>${card.limits.map((limit) => html`<li>${limit}</li>`)}</ul>
      <p><button type="button" onClick=${() => saveCard(card)}>Download the card (JSON)</button></p>
    </div>
  </div>`;
}

const saveCard = (card) =>
  save(`${card.name}-${card.version}-card.json`, new Blob([JSON.stringify(card, null, 2)], { type: "application/json" }));
