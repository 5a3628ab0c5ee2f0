import { html } from "./html.js";

/** The models to choose from, each with its versions and its demo image. */
export function ModelChoice({ models, chosen, choose, tryDemo, foreign }) {
  return html`<fieldset class="panel models">
    <legend>Model</legend>
    ${!models.length && html`<p class="muted">No model is loaded.</p>`}
    <ul>
      ${models.map((model) => html`<${Choice} ...${{ model, chosen, choose, tryDemo, foreign }} key=${model.name} />`)}
    </ul>
  </fieldset>`;
}

function Choice({ model, chosen, choose, tryDemo, foreign }) {
  const checked = chosen.model.name === model.name;
  const version = checked ? chosen.version : model.version;
  return html`<li class=${checked ? "chosen" : ""}>
    <label>
      <input type="radio" name="model" value=${model.name} checked=${checked}
        onChange=${() => choose({ model, version: model.version })} />
      <span><b>${model.name}</b><span class="muted">${model.description}</span></span>
    </label>
    ${
      checked &&
      html`<div class="model-actions">
        ${
          model.versions.length > 1 &&
          html`<label>Version${" "}
            <select value=${version} onChange=${({ target }) => choose({ model, version: target.value })}>
              ${model.versions.map((each) => html`<option selected=${each === version}>${each}</option>`)}
            </select></label
          >`
        }
        ${
          model.demo &&
          html`<button type="button" aria-label=${`Try the demo image of ${model.name}`} onClick=${() => tryDemo({ model, version })}>
            Try the demo image
          </button>`
        }
        ${
          foreign &&
          html`<button type="button" title=${`${foreign.modality}, the demo image of ${foreign.model.name}`}
            onClick=${() => tryDemo({ model, version }, foreign.model)}>Try an image that this model is not made for</button>`
        }
      </div>`
    }
  </li>`;
}
