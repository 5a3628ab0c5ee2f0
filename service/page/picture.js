import { paint, viridis } from "./colours.js";
import { contour } from "./contours.js";

/** Side of a thumbnail, in pixels: sharp at twice the size it has on the page. */
const THUMBNAIL = 128;
/** Longer side of the drawn picture, in canvas pixels: sharp at twice the size it has on the page. */
const LONGER_SIDE = 1024;
/** The same of a picture into which one can zoom, at most. */
export const DETAILED = 3072;
/** Side of the smoothed map, in pixels; the browser scales it on to the picture. */
const MAP_SIDE = 192;
/** Parts of the range of evidence at which a map's lines are drawn, and their widths in canvas pixels. */
export const LEVELS = [0.25, 0.5, 0.75];
const WIDTHS = [2, 4, 7];

/** Where there is little evidence the image must stay readable, so the overlay fades with the evidence. */
export const fade = (value) => Math.min(1, 1.6 * value);

/**
 * Decode an image file as the service does: upright, transparency over black.
 *
 * @param image what the service's answer says of the image: its size, and the crop that the model saw
 * @param most the longer side of the picture at most, where the file has so many pixels
 * @returns {Promise<?{canvas: HTMLCanvasElement, seen: DOMRect, cropped: boolean}>} the picture and the part
 *   of it that the model sees; null if the browser can't decode the file
 */
export async function decode(file, image, most = LONGER_SIDE) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  const natural = Math.max(bitmap.width, bitmap.height);
  const scale = Math.max(LONGER_SIDE, Math.min(natural, most)) / natural;
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
 * One class's map, to lay over the picture.
 *
 * @param map rows of numbers, h x w
 * @param range {low, high}, of this map or of several that are to be compared
 * @returns {?{colours: HTMLCanvasElement, lines: Path2D[]}} null where there is no contrast
 */
export function drawableMap(map, { low, high }) {
  if (!(high > low)) return null;
  const positive = map.map((row) => row.map((value) => Math.max(0, value)));
  const values = bilinear(positive, MAP_SIDE).map((value) => (value - low) / (high - low));
  const colours = document.createElement("canvas");
  paint(colours, values, MAP_SIDE, viridis, fade);
  return { colours, lines: LEVELS.map((level) => contour(values, MAP_SIDE, level)) };
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

/** Draw the picture, its unseen margin darkened. */
export function drawPicture(canvas, { canvas: source, seen, cropped }) {
  canvas.width = source.width;
  canvas.height = source.height;
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0);
  if (!cropped) return;
  context.fillStyle = "rgb(0 0 0 / 60%)";
  const margin = new Path2D();
  margin.rect(0, 0, canvas.width, canvas.height);
  margin.rect(seen.x, seen.y, seen.width, seen.height);
  context.fill(margin, "evenodd");
}

/** Draw a map over the part of the picture that the model saw, on a canvas of its own. */
export function drawMap(canvas, picture, map) {
  canvas.width = picture.canvas.width;
  canvas.height = picture.canvas.height;
  if (map) layOver(canvas.getContext("2d"), picture, map);
}

/** @param map {colours, lines, style, opacity}: `style` is "lines" or "colours", `opacity` 0 to 1, of colours alone */
export function layOver(context, { canvas, seen }, { colours, lines, style, opacity }) {
  context.save();
  if (style === "colours") {
    context.globalAlpha = opacity;
    context.imageSmoothingQuality = "high";
    context.drawImage(colours, seen.x, seen.y, seen.width, seen.height);
  } else {
    const scale = new DOMMatrix([seen.width / MAP_SIDE, 0, 0, seen.height / MAP_SIDE, seen.x, seen.y]);
    const unit = Math.max(canvas.width, canvas.height) / LONGER_SIDE;
    context.lineCap = "round";
    lines.forEach((line, i) => {
      const path = new Path2D();
      path.addPath(line, scale);
      // White within black is seen on any picture.
      for (const [colour, more] of [["#000", 3], ["#fff", 0]]) { // prettier-ignore
        context.strokeStyle = colour;
        context.lineWidth = unit * (WIDTHS[i] + more);
        context.stroke(path);
      }
    });
  }
  context.restore();
}
