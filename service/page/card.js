import { readCard } from "./api.js";
import { Fault } from "./fault.js";
import { html, useEffect, useState } from "./html.js";
import { Intervals } from "./models/charts.js";
import { Purpose, Right, Sensitivities } from "./models/meaning.js";
import { Technical } from "./models/technical.js";

/** A version's card as it is read: {card} or {fault}, or nothing yet; `again` reads it once more. */
export function useCardState(name, version) {
  const [state, setState] = useState({});
  const [round, setRound] = useState(0);
  useEffect(() => {
    let current = true;
    setState({});
    readCard(name, version).then(
      (card) => current && setState({ card }),
      (fault) => current && setState({ fault }),
    );
    return () => (current = false);
  }, [name, version, round]);
  return { ...state, again: () => setRound((before) => before + 1) };
}

/** The model card beside a result, folded. */
export function CardPanel({ model, version }) {
  const { card, fault, again } = useCardState(model.name, version);
  return html`<details class="panel card">
    <summary>Model card: ${model.name}, version ${version}</summary>
    ${fault && html`<${Fault} problem=${fault} retry=${again} />`}
    ${!fault && !card && html`<p class="muted">Loading…</p>`}
    ${
      card &&
      html`<${Purpose} card=${card} />
        <${Right} card=${card} />
        <${Sensitivities} card=${card} />
        <${Intervals} results=${card.measured.results} method=${card.measured.interval_method} worth=${card.measured.effective_images} />
        <${Technical} card=${card} served=${version === model.version ? model : null} />`
    }
  </details>`;
}
