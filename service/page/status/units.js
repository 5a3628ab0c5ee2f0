export { count, plural } from "../models/words.js";

/** A duration of a stage, in seconds, with three digits at most. */
export function seconds(value) {
  if (value >= 0.9995) return `${digits(value)} s`;
  return `${digits(1000 * value)} ms`;
}

const digits = (value) => (value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2));

/** A long time, in seconds, in its two largest units. */
export function uptime(value) {
  const parts = [
    [Math.floor(value / 86_400), "d"],
    [Math.floor(value / 3_600) % 24, "h"],
    [Math.floor(value / 60) % 60, "min"],
    [Math.floor(value) % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts.slice(first < 0 ? 3 : first).slice(0, 2).map(([count, unit]) => `${count} ${unit}`).join(" "); // prettier-ignore
}

export const bytes = (value) => `${(value / 2 ** 20).toFixed(0)} MiB`;

/** A part of a whole; nothing is claimed of an empty one. */
export const share = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "–");

export const clock = (milliseconds) => new Date(milliseconds).toLocaleTimeString("en-GB");

/** When something happened, with the date. */
export const moment = (milliseconds) => new Date(milliseconds).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** The time between two readings in words: "minute", or fewer seconds as long as the page is young. */
export function span(now, earlier) {
  const passed = Math.round((now.time - earlier.time) / 1000);
  return passed >= 57 ? "last minute" : `last ${passed} s`;
}
