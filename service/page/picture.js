import { paint, viridis } from "./colours.js";

/** Side of a thumbnail, in pixels: sharp at twice the size it has on the page. */
const THUMBNAIL = 128;
/** Longer side of the drawn picture, in canvas pixels: sharp at twice the size it has on the page. */
const LONGER_SIDE = 1024;
/** Side of the smoothed map, in pixels; the browser scales it on to the picture. */
const MAP_SIDE = 192;

/** Where there is little evidence the image must stay readable, so the overlay fades with the evidence. */
export const fade = (value) => Math.min(1, 1.6 * value);

/**
 * Decode an image file as the service does: upright, transparency over black.
 *
 * @param image what the service's answer says of the image: its size, and the crop that the model saw
 * @returns {Promise<?{canvas: HTMLCanvasElement, seen: DOMRect, cropped: boolean}>} the picture and the part
 *   of it that the model sees; null if the browser can't decode the file
 */
export async function decode(file, image) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  const scale = LONGER_SIDE / Math.max(bitmap.width, bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(scale * bitmap.width));
  canvas.height = Math.max(1, Math.round(scale * bitmap.height));
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  // A 28-pixel image is shown as the pixels it is: smoothing would suggest detail that the model never had.
  context.imageSmoothingEnabled = scale < 8;
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const { left, top, width, height } = image.crop;
  const across = canvas.width / image.width;
  const down = canvas.height / image.height;
  const seen = new DOMRect(left * across, top * down, width * across, height * down);
  return { canvas, cropped: width < image.width || height < image.height, seen };
}

/** A small picture of the part that the model sees, as a data address: it must outlive the picture. */
export function thumbnail({ canvas, seen }) {
  const small = document.createElement("canvas");
  const scale = THUMBNAIL / Math.max(seen.width, seen.height);
  small.width = Math.max(1, Math.round(scale * seen.width));
  small.height = Math.max(1, Math.round(scale * seen.height));
  const context = small.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, seen.x, seen.y, seen.width, seen.height, 0, 0, small.width, small.height);
  return small.toDataURL("image/jpeg", 0.85);
}

/** The least and the greatest positive evidence in maps (each rows of numbers, h x w): the ends of their colours. */
export function evidenceRange(maps) {
  const positive = maps.flat(2).map((value) => Math.max(0, value));
  return { low: Math.min(...positive), high: Math.max(...positive) };
}

/**
 * Scale one class's map to 0..1 and colour it.
 *
 * @param map rows of numbers, h x w
 * @param range {low, high}, of this map or of several that are to be compared
 * @returns {?HTMLCanvasElement} null where there is no contrast
 */
export function colourMap(map, { low, high }) {
  const positive = map.map((row) => row.map((value) => Math.max(0, value)));
  if (!(high > low)) return null;
  const canvas = document.createElement("canvas");
  const values = bilinear(positive, MAP_SIDE).map((value) => (value - low) / (high - low));
  paint(canvas, values, MAP_SIDE, viridis, fade);
  return canvas;
}

/**
 * Resample rows of numbers (h x w) to side x side, row after row. Pixels are squares with their value at the
 * centre, so the map lies over the image where the network's cells do.
 */
export function bilinear(rows, side) {
  const place = (i, length) => {
    const at = Math.min(length - 1, Math.max(0, ((i + 0.5) * length) / side - 0.5));
    const before = Math.floor(at);
    return { before, after: Math.min(length - 1, before + 1), share: at - before };
  };
  const columns = Array.from({ length: side }, (_, i) => place(i, rows[0].length));
  const mix = (a, b, share) => a + share * (b - a);
  return Array.from({ length: side }, (_, i) => {
    const y = place(i, rows.length);
    return columns.map((x) =>
      mix(
        mix(rows[y.before][x.before], rows[y.before][x.after], x.share),
        mix(rows[y.after][x.before], rows[y.after][x.after], x.share),
        y.share,
      ),
    );
  }).flat();
}

/** Draw the picture, its unseen margin darkened, and over the seen part the coloured map (if any). */
export function drawOverlay(canvas, picture, map, opacity) {
  const { seen } = picture;
  canvas.width = picture.canvas.width;
  canvas.height = picture.canvas.height;
  const context = canvas.getContext("2d");
  context.drawImage(picture.canvas, 0, 0);
  context.fillStyle = "rgb(0 0 0 / 60%)";
  if (picture.cropped) {
    const margin = new Path2D();
    margin.rect(0, 0, canvas.width, canvas.height);
    margin.rect(seen.x, seen.y, seen.width, seen.height);
    context.fill(margin, "evenodd");
  }
  if (!map) return;
  context.globalAlpha = opacity;
  context.imageSmoothingQuality = "high";
  context.drawImage(map, seen.x, seen.y, seen.width, seen.height);
}
