import { COMMANDS, offered } from "./commands.js";
import { downloadCsv, downloadJson, downloadPng } from "./exports.js";
import { html, useState } from "./html.js";

/** What a person may save or copy of a result. */
export function Exports({ item, map }) {
  const [said, say] = useState("");
  const [command, show] = useState("");
  const [chosen, choose] = useState("curl");
  const names = offered(item);
  const name = names.includes(chosen) ? chosen : names[0];
  const copy = async () => {
    const text = COMMANDS[name](item);
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
      setTimeout(() => say(""), 3000);
    } catch {
      show(text); // over plain HTTP a page may not write to the clipboard
    }
  };
  const pick = (other) => {
    choose(other);
    show("");
  };
  return html`<div class="exports" role="group" aria-label="Take away">
    <fieldset class="segmented">
      <legend class="visually-hidden">The request as</legend>
      ${names.map(
        (each) =>
          html`<label key=${each}><input type="radio" name="command" checked=${each === name} onChange=${() => pick(each)} /><span>${each}</span></label>`,
      )}
    </fieldset>
    <button type="button" onClick=${copy}>Copy as ${name}</button>
    <button type="button" onClick=${() => downloadJson(item)}>JSON</button>
    <button type="button" onClick=${() => downloadCsv([item])}>CSV</button>
    <button type="button" disabled=${!item.drawable} onClick=${() => downloadPng(item, map)}>PNG</button>
    <button type="button" onClick=${() => print()}>Print</button>
    <span role="status" class="muted">${said}</span>
    ${command && html`<textarea readonly rows="3" aria-label=${`The request as ${name}`} onFocus=${({ target }) => target.select()}>${command}</textarea>`}
  </div>`;
}
