/** Lightness grows evenly from low to high, for colour-blind readers too: viridis (van der Walt and Smith, CC0). */
export const viridis = ramp("440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725");

/** Blue below the middle, red above it: RdBu, reversed (ColorBrewer 2, Brewer and Harrower). */
export const diverging = ramp("2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b");

/** A function from 0..1 to [red, green, blue] in 0..255, linear between evenly spaced stops (hexadecimal). */
function ramp(stops) {
  const colours = stops.split(" ").map((stop) => [0, 2, 4].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  return (value) => {
    const place = Math.min(1, Math.max(0, value)) * (colours.length - 1);
    const below = Math.min(Math.floor(place), colours.length - 2);
    return colours[below].map((channel, i) => channel + (place - below) * (colours[below + 1][i] - channel));
  };
}

/**
 * Paint one pixel per value.
 *
 * @param canvas gets the size width x (values.length / width)
 * @param values numbers in 0..1, row after row
 * @param alpha from a value to its opacity, 0..1
 */
export function paint(canvas, values, width, colour, alpha = () => 1) {
  canvas.width = width;
  canvas.height = values.length / width;
  const image = new ImageData(width, canvas.height);
  values.forEach((value, i) => image.data.set([...colour(value), 255 * alpha(value)], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Paint a legend from low (left) to high (right). */
export function paintLegend(canvas, colour, alpha) {
  const values = Array.from({ length: 256 }, (_, i) => i / 255);
  paint(canvas, values, values.length, colour, alpha);
}
