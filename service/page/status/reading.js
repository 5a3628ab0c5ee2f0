import { parseMetrics } from "./prometheus.js";

/** One reading of the metrics, and when it was made, in milliseconds. */
export class Reading {
  #byName;

  constructor(text, time) {
    this.text = text;
    this.time = time;
    this.#byName = Map.groupBy(parseMetrics(text), ({ name }) => name);
  }

  /** The samples of a series that have these labels. */
  samples(name, wanted = {}) {
    const has = ({ labels }) => Object.entries(wanted).every(([label, value]) => labels[label] === value);
    return (this.#byName.get(name) ?? []).filter(has);
  }

  /** The sum of the samples that have these labels, or null if there are none. */
  sum(name, wanted) {
    const found = this.samples(name, wanted);
    return found.length ? found.reduce((total, { value }) => total + value, 0) : null;
  }

  /** The least of the samples of a series, or null if there are none. */
  least(name) {
    const found = this.samples(name).map(({ value }) => value);
    return found.length ? Math.min(...found) : null;
  }

  /** A histogram, {bounds, counts (cumulative), count}, or null. */
  histogram(name, wanted) {
    const buckets = this.samples(`${name}_bucket`, wanted)
      .map(({ labels, value }) => ({ bound: labels.le === "+Inf" ? Infinity : Number(labels.le), value }))
      .sort((a, b) => a.bound - b.bound);
    if (buckets.at(-1)?.bound !== Infinity) return null;
    return {
      bounds: buckets.map(({ bound }) => bound),
      counts: buckets.map(({ value }) => value),
      count: buckets.at(-1).value,
    };
  }

  /** The served versions: {model, version, digest, provider}. */
  get versions() {
    return this.samples("retina_model_info").map(({ labels }) => labels);
  }

  /** When each process started and its models were loaded: where one differs, counters began anew. */
  get origin() {
    const loaded = this.samples("retina_model_loaded_timestamp_seconds").map(({ labels, value }) => [labels.model, labels.version, value]);
    const started = this.samples("process_start_time_seconds").map(({ labels, value }) => [labels.worker, value]);
    return JSON.stringify([started, loaded]);
  }
}
