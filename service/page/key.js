import { apiKey } from "./api.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";

const TITLES = {
  asked: "This service asks for an API key",
  refused: "The API key was not accepted",
  changing: "Change the API key",
  forgotten: "The API key was forgotten",
};
const WORDS = {
  refused: "Check it for typing errors, or ask for a new one. ",
  changing: "The new key takes the place of the one in use. ",
  forgotten: "This tab no longer has it, so the service will refuse what this page asks. Enter a key to go on. ",
};

/**
 * The key that this tab sends, and why the page asks for one.
 *
 * @param problems what failed, nothing among it where nothing did
 * @param accept is called once there is another key, to send again what was refused
 * @returns {known, held, why, unlock, change, forget, cancel}; `why` is a key of TITLES, or null while nothing is asked
 */
export function useKey(problems, accept) {
  const [held, setHeld] = useState(() => Boolean(apiKey.get()));
  const [wanted, setWanted] = useState(null); // "changing" or "forgotten"
  const [known, setKnown] = useState(held);
  const refused = problems.some((problem) => problem?.status === 401);
  useEffect(() => {
    if (refused) setKnown(true);
  }, [refused]);
  const hold = (key, next) => {
    apiKey.set(key);
    setHeld(Boolean(key));
    setWanted(next);
  };
  const unlock = (key) => {
    hold(key, null);
    accept();
  };
  return {
    known,
    held,
    why: wanted ?? (refused ? (held ? "refused" : "asked") : null),
    unlock,
    change: () => setWanted("changing"),
    forget: () => hold("", "forgotten"),
    cancel: wanted === "changing" ? () => setWanted(null) : null,
  };
}

/**
 * Ask for the key of a service that wants one.
 *
 * @param why a key of TITLES
 * @param alone whether there is no view below it, so that this is the page's heading
 * @param cancel {?Function} leaves the key as it is
 */
export function KeyForm({ why, alone, unlock, cancel }) {
  const [key, setKey] = useState("");
  const input = useRef(null);
  useLayoutEffect(() => why !== "asked" && input.current.focus(), [why]);
  const submit = (event) => {
    event.preventDefault();
    setKey("");
    if (key.trim()) unlock(key.trim());
  };
  return html`<form class="panel key" onSubmit=${submit}>
    <${alone ? "h1" : "p"} id="key-title" class="key-title">${TITLES[why]}<//>
    <p id="key-hint" class="muted">${why === "refused" ? html`<strong role="alert"><span class="visually-hidden">The key was not accepted. </span>${WORDS.refused}</strong>` : WORDS[why]}Whoever runs the service gives it out. It is kept in this tab until you close it or forget it here.</p>
    <div class="key-row">
      <label for="key">API key</label>
      <input id="key" ref=${input} type="password" autocomplete="off" aria-describedby="key-hint" aria-invalid=${why === "refused" ? "true" : undefined}
        value=${key} onInput=${({ target }) => setKey(target.value)} />
      <button type="submit" class="primary">Use this key</button>
      ${cancel && html`<button type="button" onClick=${cancel}>Cancel</button>`}
    </div>
  </form>`;
}

/** For a service that has asked for a key: change it or forget it, at any time. */
export function KeyControl({ held, change, forget }) {
  return html`<div class="key-control" role="group" aria-label="Key of this tab">
    <span>API key: ${held ? "in use" : "none"}</span>
    <button type="button" onClick=${change}>${held ? "Change" : "Enter"}</button>
    ${held && html`<button type="button" onClick=${forget}>Forget</button>`}
  </div>`;
}
