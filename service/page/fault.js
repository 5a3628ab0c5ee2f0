import { Problem } from "./api.js";
import { html } from "./html.js";

/** Say why something failed and how to go on; what the service itself said is folded. `quiet` leaves out the sentence that a heading has said. */
export function Fault({ problem, retry, quiet }) {
  const known = problem instanceof Problem;
  return html`<div class="problem" role="alert">
    ${!quiet && html`<strong>${known ? problem.message : "This page failed."}</strong>`}
    <p>${known ? problem.advice : "Reload the page. If it fails again, tell whoever runs the service."}</p>
    <${Details} problem=${problem} />
    ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
  </div>`;
}

/** The service's own words and what its log knows them by. */
export function Details({ problem }) {
  const { title, detail, status, code, id } = problem;
  const facts = [status && `status ${status}`, code && `code ${code}`, id && `request ${id}`].filter(Boolean);
  return html`<details>
    <summary>Details</summary>
    ${problem instanceof Problem ? html`<p>${title && `${title}: `}${detail}</p>` : html`<p>${String(problem)}</p>`}
    ${facts.length > 0 && html`<p class="muted">${facts.join(" · ")}</p>`}
  </details>`;
}
