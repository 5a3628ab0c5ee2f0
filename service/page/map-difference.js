import { diverging, paint } from "./colours.js";
import { html, useLayoutEffect, useRef } from "./html.js";
import { Legend } from "./overlay.js";
import { bilinear } from "./picture.js";

/** Side of the drawn difference, in pixels. */
const SIDE = 192;

/**
 * B minus A of two activation maps of one class, position by position, or nothing where they have other grids.
 *
 * @param pair two predictions with the same labels
 * @param label the class's number
 */
export function MapDifference({ pair, label }) {
  const [a, b] = pair.map(({ class_activation: activation }) => activation?.maps[label]);
  const canvas = useRef(null);
  const comparable = a && b && a.length === b.length && a[0].length === b[0].length;
  const difference = comparable ? b.map((row, y) => row.map((value, x) => value - a[y][x])) : [[0]];
  const most = Math.max(...difference.flat().map(Math.abs));
  useLayoutEffect(() => {
    if (canvas.current) paint(canvas.current, bilinear(difference, SIDE).map((value) => (value / most + 1) / 2), SIDE, diverging);
  }, [a, b]);
  if (!comparable) return null;
  const name = pair[0].class_activation.labels[label];
  if (!most) return html`<p class="muted">The two maps for ${name} are the same.</p>`;
  return html`<figure class="map-difference">
    <figcaption>B − A of the maps for ${name}, in the unit of its logit: red is more evidence in B, blue more in A.</figcaption>
    <canvas ref=${canvas} role="img" aria-label=${`B minus A of the maps for ${name}, from −${most.toFixed(2)} to +${most.toFixed(2)}`}></canvas>
    <${Legend} low=${`−${most.toFixed(2)}`} high=${`+${most.toFixed(2)}`} colour=${diverging} />
  </figure>`;
}
