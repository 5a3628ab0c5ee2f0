import { apiKey, readMetrics } from "../api.js";
import { useEffect, useState } from "../html.js";
import { Reading } from "./reading.js";

const EVERY = 5_000;
const SPAN = 60_000;
/** Two readings that follow at once say nothing of what happened between them. */
const LEAST = 1_000;
/** Timers are not exact, so a reading of this much more than a minute ago still counts. */
const SLACK = EVERY / 2;

/**
 * Read the metrics again and again, unless paused or not visible.
 *
 * @param again anything; when it changes, the metrics are read at once
 * @returns {now, earlier, problem}: the last reading, one of up to a minute before, and why the last attempt failed.
 *   `earlier` is null until there are two readings, a second apart, of the same process and models
 */
export function useReadings(paused, again) {
  const [state, setState] = useState({ readings: [], problem: null });
  useEffect(() => {
    if (paused) return undefined;
    let timer;
    let current = true;
    let attempt = 0;
    const read = async () => {
      clearTimeout(timer);
      const mine = ++attempt;
      let denied = false;
      try {
        const reading = new Reading(await readMetrics(), Date.now());
        if (current) setState(({ readings }) => ({ readings: kept(readings, reading), problem: null }));
      } catch (problem) {
        denied = problem.status === 401 || problem.status === 403;
        if (current) setState(({ readings }) => ({ readings: denied ? [] : readings, problem }));
      }
      // A refused key is not sent again and again: the service would count it.
      if (current && mine === attempt && !denied && !document.hidden) timer = setTimeout(read, EVERY);
    };
    const seen = () => (document.hidden ? clearTimeout(timer) : read());
    document.addEventListener("visibilitychange", seen);
    read();
    return () => {
      current = false;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [paused, again, apiKey.get()]);
  const now = state.readings.at(-1) ?? null;
  const earlier = state.readings.find(({ time }) => now.time - time >= LEAST) ?? null;
  return { now, earlier, problem: state.problem };
}

const kept = (readings, latest) => [
  ...readings.filter(({ time, origin }) => latest.time - time <= SPAN + SLACK && origin === latest.origin),
  latest,
];
