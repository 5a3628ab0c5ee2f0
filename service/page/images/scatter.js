import { useCardState } from "../card.js";
import { percent } from "../format.js";
import { html } from "../html.js";
import { axisOf } from "../style-shift.js";

const WIDTH = 640;
const HEIGHT = 180;
/** Of the validation images' histogram below. */
const BELOW = 36;
const FEWEST = 3;

/** The images of each model and version by style shift and probability, over the style shift of its validation images. */
export function Scatter({ rows, open }) {
  const groups = Map.groupBy(
    rows.filter(({ score, probability }) => score !== null && probability !== null),
    ({ item }) => item.answer.model.digest,
  );
  return [...groups].map(([digest, group]) => group.length >= FEWEST && html`<${Plot} rows=${group} open=${open} key=${digest} />`);
}

function Plot({ rows, open }) {
  const { model, version } = rows[0];
  const { card } = useCardState(model, version);
  if (!card?.style) return null;
  const { place, shares } = axisOf(card.style, rows.map(({ score }) => score)); // prettier-ignore
  const x = (score) => WIDTH * place(score);
  const most = Math.max(...shares);
  const counts = ["usual", "unusual", "unlike"].map((verdict) => `${rows.filter((row) => row.verdict === verdict).length} ${verdict}`);
  const { usual_up_to: usual, unlike_beyond: unlike, validation_images: images } = card.style;
  return html`<figure class="scatter">
    <h3>Style shift and probability: ${model}, version ${version}</h3>
    <svg viewBox=${`-46 -8 ${WIDTH + 56} ${HEIGHT + BELOW + 30}`} role="img" aria-label=${`${rows.length} images by style shift and probability: ${counts.join(", ")}. The table has their figures.`}>
      ${[0, 0.5, 1].map((part) => html`<line class="grid" x1="0" x2=${WIDTH} y1=${HEIGHT * (1 - part)} y2=${HEIGHT * (1 - part)} /><text x="-6" y=${HEIGHT * (1 - part) + 4} text-anchor="end">${100 * part} %</text>`)}
      ${[[usual, "unusual"], [unlike, "unlike"]].map(([limit, name]) => html`<line class="limit" x1=${x(limit)} x2=${x(limit)} y1="0" y2=${HEIGHT + BELOW} /><text x=${x(limit) + 4} y=${HEIGHT + BELOW + 16}>${name}</text>`)}
      ${shares.map((share, i) => html`<rect class="bin" x=${(WIDTH * i) / shares.length + 0.5} y=${HEIGHT} width=${WIDTH / shares.length - 1} height=${(BELOW * share) / most} />`)}
      ${rows.map(({ id, name, verdict, score, probability, finding, right }) => html`<circle key=${id} class=${`point ${verdict} ${right === false ? "wrong" : ""}`} cx=${x(score)} cy=${HEIGHT * (1 - probability)} r="5" onClick=${() => open(id)}><title>${name}: ${finding}, ${percent(probability)}, ${verdict}</title></circle>`)}
    </svg>
    <figcaption class="muted">Up: probability of the finding. To the right: further from the training images. Grey, downwards: ${images} validation images.${" "}
      ${rows.some(({ right }) => right !== null) ? "Hollow: the finding is not the own label. " : ""}Choose a point to open its image.</figcaption>
  </figure>`;
}
