/** A probability (0 to 1) as a percentage that never claims certainty. */
export function percent(probability) {
  if (probability > 0 && probability < 0.001) return "< 0.1 %";
  if (probability < 1 && probability > 0.999) return "> 99.9 %";
  return `${(100 * probability).toFixed(1)} %`;
}

/** A number with its sign, a true minus, and so many decimals. */
export function signed(value, decimals = 2) {
  const size = Math.abs(value).toFixed(decimals);
  if (Number(size) === 0) return size;
  return (value < 0 ? "−" : "+") + size;
}

/** The finding in words: the most probable label, or every likely one of a multi-label model. */
export function finding({ label, present, abstained }) {
  if (abstained) return "Not classified";
  if (!present) return label;
  return present.length ? present.join(", ") : "No label is more likely than not";
}

/** The probability of the finding, where there is one for it. */
export const certainty = ({ present, probability }) => (present || probability === null ? "" : percent(probability));

/** What speaks against relying on an answer: "out of scope", "unlike" or "unusual", or null. */
export function doubt({ scope, style_shift: shift }) {
  if (scope?.verdict === "out of scope") return scope.verdict;
  return shift && shift.verdict !== "usual" ? shift.verdict : null;
}

const WARNINGS = {
  "out of scope": "The model is not made for this kind of image.",
  unlike: "The image is unlike those the model was trained on: don't rely on the finding.",
  unusual: "The image looks unusual to the model: check the finding before you use it.",
};

/** The same as a sentence, or nothing. */
export const warning = (prediction) => WARNINGS[doubt(prediction)] ?? "";

/** Names in a sentence: "a, b or c". */
export const listed = (names, word) =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} ${word} ${names.at(-1)}`;

/** Grades have an order of their own; other labels are easier to read by rank. */
export const ranked = (probabilities, task) =>
  task === "ordinal" ? probabilities : [...probabilities].sort((a, b) => b.probability - a.probability);
