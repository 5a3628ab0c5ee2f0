import { curlCommand, downloadCsv, downloadJson, downloadPng } from "./exports.js";
import { html, useState } from "./html.js";

/** What a person may save or copy of a result. */
export function Exports({ item, map }) {
  const [said, say] = useState("");
  const [command, show] = useState("");
  const copy = async () => {
    const text = curlCommand(item);
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
      setTimeout(() => say(""), 3000);
    } catch {
      show(text); // over plain HTTP a page may not write to the clipboard
    }
  };
  return html`<div class="exports" role="group" aria-label="Take away">
    <button type="button" onClick=${copy}>Copy as curl</button>
    <button type="button" onClick=${() => downloadJson(item)}>JSON</button>
    <button type="button" onClick=${() => downloadCsv([item])}>CSV</button>
    <button type="button" disabled=${!item.drawable} onClick=${() => downloadPng(item, map)}>PNG</button>
    <span role="status" class="muted">${said}</span>
    ${command && html`<textarea readonly rows="3" aria-label="The request as a curl command" onFocus=${({ target }) => target.select()}>${command}</textarea>`}
  </div>`;
}
