import { Problem } from "../api.js";

/** Usual names of the columns, as `training` knows them, in lower case and without blanks, "-" and "_". */
const FILE = ["file", "filename", "filepath", "path", "image", "imagefile", "imagename", "imagepath", "img"];
const LABEL = ["label", "labels", "class", "diagnosis"];

export const isTable = ({ name, type }) => type === "text/csv" || /\.csv$/i.test(name);

/**
 * Read a table of the images' own labels.
 *
 * @param text CSV with commas, semicolons or tabs, its first row the names of the columns
 * @returns {{rows: number, find: (path: string) => string | undefined}} what it says of a path, or of a bare name
 *   if only one of its files has that name
 * @throws {Problem} without a column of files or one of labels
 */
export function readTable(text, name) {
  const [head = [], ...rows] = parse(text.replace(/^\ufeff/, ""));
  const column = (usual) => {
    const plain = head.map((title) => title.toLowerCase().replace(/[\s_-]/g, ""));
    return plain.indexOf(usual.find((word) => plain.includes(word)));
  };
  const [file, label] = [column(FILE), column(LABEL)];
  for (const [found, wanted] of [[file, "file"], [label, "label"]]) // prettier-ignore
    if (found < 0)
      throw new Problem({
        reason: { said: `${name} has no column “${wanted}”.`, advice: "A table of labels has the columns file and label." },
        detail: `Its first row says: ${head.join(", ").slice(0, 200)}.`,
      });
  const byPath = new Map();
  const byName = new Map();
  for (const row of rows) {
    const [path, text] = [(row[file] ?? "").replaceAll("\\", "/").replace(/^\.?\//, ""), (row[label] ?? "").trim()];
    if (!path || !text) continue;
    const last = path.split("/").at(-1);
    byName.set(last, byName.has(last) && byName.get(last) !== text ? null : text);
    byPath.set(path, text);
  }
  const find = (path) => {
    const parts = path.split("/");
    for (let i = 0; i < parts.length; i++) {
      const known = byPath.get(parts.slice(i).join("/"));
      if (known) return known;
    }
    return byName.get(parts.at(-1)) ?? undefined;
  };
  return { rows: byPath.size, find };
}

/** Rows of cells, as RFC 4180 quotes them; the separator is the one that the first row has most of. */
export function parse(text) {
  const first = text.split(/\r?\n/, 1)[0];
  const count = (mark) => first.split(mark).length;
  const separator = [",", ";", "\t"].reduce((best, mark) => (count(mark) > count(best) ? mark : best));
  const rows = [[]];
  const cell = new RegExp(`(?:"((?:[^"]|"")*)"|([^${separator}\\r\\n]*))(${separator}|\\r?\\n|\\r|$)`, "y");
  for (let match; cell.lastIndex < text.length && (match = cell.exec(text)); ) {
    rows.at(-1).push((match[1]?.replaceAll('""', '"') ?? match[2]).trim());
    if (match[3] && match[3] !== separator) rows.push([]);
  }
  return rows.filter((row) => row.some(Boolean));
}

/**
 * An image's own label: from the newest table that names it, or from the nearest of its folders that is a label.
 *
 * @returns {{given: ?string, label: ?string}} the text as it was given, and the model's label that it is, if any
 */
export function ownLabel({ file, folders, model }, tables) {
  const match = (text) => model.labels.find((label) => label.toLowerCase() === text.toLowerCase()) ?? null;
  for (const { find } of tables) {
    const given = find([...folders, file.name].join("/"));
    if (given) return { given, label: match(given) };
  }
  const nearest = [...folders].reverse();
  const given = nearest.find(match) ?? nearest[0] ?? null;
  return { given, label: given && match(given) };
}
