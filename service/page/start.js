import { Details, Fault } from "./fault.js";
import { html, useEffect, useRef, useState } from "./html.js";

/** Seconds to wait before each try by itself; the last one again and again. */
const WAITS = [1, 2, 4, 8, 15, 30];
/** What a proxy says of a service that is down or starting, and what the service says when it has too much to do. */
const PASSING = [429, 502, 503, 504];

const passes = ({ code, status }) => code === "unreachable" || PASSING.includes(status);

/** The page before it knows the models: loading, or why it can't. `load` is called again by itself where waiting helps. */
export function Start({ problem, load }) {
  const [tries, setTries] = useState(0);
  const last = useRef(null);
  last.current = problem ?? last.current;
  useEffect(() => {
    if (problem) setTries((before) => before + 1);
  }, [problem]);
  if (last.current && passes(last.current)) return html`<${Outage} problem=${last.current} tries=${tries} trying=${!problem} load=${load} />`;
  if (problem)
    return html`<h1>${problem.advice ? problem.message : "This page failed"}</h1>
      <${Fault} problem=${problem} retry=${load} quiet />`;
  return html`<h1 class="visually-hidden">Retinal image classifier</h1>
    <p class="muted" role="status">Loading the models…</p>`;
}

/** The service is away for now. */
function Outage({ problem, tries, trying, load }) {
  const seconds = useCountdown(trying ? null : WAITS[Math.min(Math.max(tries, 1), WAITS.length) - 1], load, tries);
  return html`<section class="panel outage" aria-labelledby="outage-title">
    <h1 id="outage-title">${problem.message}</h1>
    <p role="alert">
      ${
        problem.status
          ? "It may be starting, or have too much to do. "
          : "It may be starting or switched off, or your connection is down. "
      }This page tries again by itself and opens as soon as the service answers.
    </p>
    <p class="muted">${seconds === null ? "Trying now…" : `Next try in ${seconds} s.`}</p>
    <p><button type="button" class="primary" onClick=${load}>Try now</button></p>
    <${Details} problem=${problem} />
  </section>`;
}

/** Call `act` after so many seconds (not while null), and when the browser is online again. @returns what is left, in s */
function useCountdown(wait, act, round) {
  const [left, setLeft] = useState(wait);
  useEffect(() => {
    setLeft(wait);
    if (wait === null) return undefined;
    const due = performance.now() + 1000 * wait;
    const clock = setInterval(() => {
      const rest = Math.ceil((due - performance.now()) / 1000);
      setLeft(Math.max(rest, 0));
      if (rest > 0) return;
      clearInterval(clock);
      act();
    }, 250);
    addEventListener("online", act);
    return () => {
      clearInterval(clock);
      removeEventListener("online", act);
    };
  }, [wait, round]);
  return wait === null ? null : left;
}
