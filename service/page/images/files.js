/** Of a folder only what may be an image, or a table of labels, is taken; of DICOM files many have no suffix. */
const TAKEN = /\.(jpe?g|png|tiff?|bmp|webp|dcm|dicom|csv)$|^[^.]+$/i;

const byPath = (a, b) => a.path.localeCompare(b.path, undefined, { numeric: true });

/** Files of a file dialog or of the clipboard, as `Session.add` takes them; those of a folder sorted by their paths. */
export function chosenFiles(list) {
  const files = [...list].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  return files.some(({ file }) => file.webkitRelativePath) ? named(files) : files;
}

/** Files that were dropped, those in folders included, as `Session.add` takes them. */
export function droppedFiles({ items, files }) {
  // Entries must be asked for before anything is awaited: the browser empties the list after the event.
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some(({ isDirectory }) => isDirectory)) return Promise.resolve(chosenFiles(files));
  return Promise.all(entries.map(walk)).then((found) => named(found.flat()));
}

/** Sort files by their paths, and name them by these; a top folder that holds all the others tells no two apart. */
function named(files) {
  const taken = files.filter(isTaken).sort(byPath);
  const tops = taken.map(({ path }) => path.split("/"));
  const shared = tops.every((parts) => parts.length > 2 && parts[0] === tops[0][0]);
  return taken.map((entry, i) => ({ ...entry, name: shared ? tops[i].slice(1).join("/") : entry.path }));
}

const isTaken = ({ file }) => TAKEN.test(file.name);

async function walk(entry) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    if (!some.length) return (await Promise.all(found.map(walk))).flat();
    found.push(...some);
  }
}
