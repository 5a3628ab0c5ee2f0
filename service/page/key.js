import { html, useState } from "./html.js";

/** Ask for the key of a service that wants one. */
export function KeyForm({ refused, unlock }) {
  const [key, setKey] = useState("");
  const submit = (event) => {
    event.preventDefault();
    if (key.trim()) unlock(key.trim());
  };
  return html`<form class="panel key" onSubmit=${submit}>
    <h2>This service asks for an API key</h2>
    <p id="key-hint" class="muted">
      ${refused && html`<strong role="alert">The key was not accepted. </strong>`}Whoever runs the service gives it out. It
      is kept in this tab until you close it.
    </p>
    <div class="key-row">
      <label for="key">API key</label>
      <input id="key" type="password" autocomplete="off" aria-describedby="key-hint" value=${key}
        onInput=${({ target }) => setKey(target.value)} />
      <button type="submit" class="primary">Use this key</button>
    </div>
  </form>`;
}
