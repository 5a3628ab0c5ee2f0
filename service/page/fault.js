import { Problem } from "./api.js";
import { html } from "./html.js";

/** Say why something failed, and how to go on. */
export function Fault({ problem, retry }) {
  const known = problem instanceof Problem;
  return html`<div class="problem" role="alert">
    <strong>${known ? problem.message : "This page failed"}</strong>
    <p>${known ? problem.detail : String(problem)}</p>
    ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
  </div>`;
}
