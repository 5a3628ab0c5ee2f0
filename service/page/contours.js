/** From a cell's corners above the level (1 upper left, 2 upper right, 4 lower right, 8 lower left) to its line's edges. */
const LINES = [
  [], ["left", "top"], ["top", "right"], ["left", "right"], ["right", "bottom"], ["left", "top", "right", "bottom"],
  ["top", "bottom"], ["left", "bottom"], ["bottom", "left"], ["bottom", "top"], ["top", "right", "bottom", "left"],
  ["bottom", "right"], ["right", "left"], ["right", "top"], ["top", "left"], [],
]; // prettier-ignore

/**
 * The line along which a grid of values has a level: marching squares (Lorensen and Cline 1987, in two dimensions).
 *
 * @param values side * side numbers, row after row, each at the centre of its cell
 * @returns {Path2D} where the grid runs from 0 to side on both axes
 */
export function contour(values, side, level) {
  const path = new Path2D();
  const share = (from, to) => (level - from) / (to - from);
  for (let row = 0; row < side - 1; row++)
    for (let column = 0; column < side - 1; column++) {
      const at = row * side + column;
      const [a, b, d, c] = [values[at], values[at + 1], values[at + side], values[at + side + 1]];
      const kind = (a > level) + 2 * (b > level) + 4 * (c > level) + 8 * (d > level);
      const [x, y] = [column + 0.5, row + 0.5];
      const place = {
        top: () => [x + share(a, b), y],
        right: () => [x + 1, y + share(b, c)],
        bottom: () => [x + share(d, c), y + 1],
        left: () => [x, y + share(a, d)],
      };
      LINES[kind].forEach((edge, i) => (i % 2 ? path.lineTo(...place[edge]()) : path.moveTo(...place[edge]())));
    }
  return path;
}
