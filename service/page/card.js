import { byId, element } from "./dom.js";

const number = (value) => value.toFixed(3);

/** Fill the model card's panel; `card` is null while it is unknown, `fault` then says why. */
export function showCard(model, card, fault = "") {
  const panel = byId("card");
  panel.hidden = false;
  byId("card-link").hidden = false;
  byId("card-link").href = model.card;
  byId("card-content").replaceChildren(
    facts(model),
    ...(card ? claims(card) : [element("p", {}, fault || "Loading…")]),
  );
}

function facts(model) {
  const { height, width, channels, crop } = model.input;
  const seen = crop === "centre-square" ? "the centred square of the image" : "the whole image";
  const rows = {
    Task: `${model.task}, ${model.labels.length} labels`,
    Input: `${width} × ${height}, ${channels === 1 ? "grey" : "colour"}, from ${seen}`,
    Version: model.versions.length > 1 ? `${model.version} (of ${model.versions.join(", ")})` : model.version,
    "Runs on": model.provider,
  };
  return element(
    "dl",
    {},
    ...Object.entries(rows).flatMap(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]),
  );
}

function claims(card) {
  const { results = [], interval_method: method } = card.measured;
  const use = element(
    "section",
    {},
    element("h3", {}, "Intended use"),
    element("p", {}, card.intended_use),
    element("h3", {}, "Limits"),
    element("ul", {}, ...card.limits.map((limit) => element("li", {}, limit))),
  );
  const measured = element(
    "section",
    {},
    element("h3", { id: "results-title" }, "Measured results"),
    resultTable(results),
  );
  if (method) measured.append(element("p", { className: "muted" }, `Intervals: ${method}`));
  return [use, measured];
}

function resultTable(results) {
  const row = (tag, cells) => element("tr", {}, ...cells.map((cell) => element(tag, {}, cell)));
  const table = element(
    "table",
    { aria: { labelledby: "results-title" } },
    element("thead", {}, row("th", ["Metric", "Value", "95 % interval", "Data", "Split", "Images"])),
    element(
      "tbody",
      {},
      ...results.map(({ metric, value, interval, data, split, images }) =>
        row("td", [metric, number(value), interval ? interval.map(number).join("–") : "none", data, split, images]),
      ),
    ),
  );
  return element(
    "div",
    { className: "scroll", tabIndex: 0, role: "group", aria: { labelledby: "results-title" } },
    table,
  );
}
