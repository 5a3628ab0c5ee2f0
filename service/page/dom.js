/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * A new element. Text goes in as text, never as markup: labels and descriptions come from model cards that anybody
 * may have written.
 */
export function element(tag, properties = {}, ...children) {
  const { aria = {}, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(aria)) node.setAttribute(`aria-${name}`, value);
  node.append(...children);
  return node;
}

/** A probability (0 to 1) as a percentage that never claims certainty. */
export function percent(probability) {
  if (probability > 0 && probability < 0.001) return "< 0.1 %";
  if (probability < 1 && probability > 0.999) return "> 99.9 %";
  return `${(100 * probability).toFixed(1)} %`;
}

/** A number with its sign, a true minus, and two decimals. */
export function signed(value) {
  const size = Math.abs(value).toFixed(2);
  if (Number(size) === 0) return size;
  return (value < 0 ? "−" : "+") + size;
}
