import { html, useState } from "../html.js";

/** Send the chosen images, or all that are shown, to another model or version; each becomes a new entry. */
export function SendAgain({ models, start, ids, chosen, send }) {
  const options = models.flatMap((model) => [...model.versions].reverse().map((version) => ({ model, version })));
  const [at, setAt] = useState(() => options.findIndex(({ model, version }) => model.name === start.model.name && version === start.version));
  const { model, version } = options[at] ?? {};
  if (!model || !ids.length) return null;
  const images = ids.length === 1 ? "1 image" : `${ids.length} images`;
  return html`<div class="send-again" role="group" aria-label="Send again">
    <label>Send ${chosen ? "the chosen" : "all shown"} images again to${" "}
      <select onChange=${({ target }) => setAt(Number(target.value))}>
        ${options.map((each, i) => html`<option value=${i} selected=${i === at}>${each.model.name}, version ${each.version}</option>`)}
      </select>
    </label>
    <button type="button" onClick=${() => send(ids, model, version)}>Send ${images} again</button>
  </div>`;
}
