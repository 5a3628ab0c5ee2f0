/** Of a folder only what may be an image, or a table of labels, is taken; of DICOM files many have no suffix. */
const TAKEN = /\.(jpe?g|png|tiff?|bmp|webp|dcm|dicom|csv)$|^[^.]+$/i;

const byPath = (a, b) => a.path.localeCompare(b.path, undefined, { numeric: true });

/** Files of a file dialog, as {file, path}; those of a folder sorted by their paths. */
export function chosenFiles(list) {
  const files = [...list].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  return files.some(({ file }) => file.webkitRelativePath) ? files.filter(isTaken).sort(byPath) : files;
}

/** Files that were dropped, those in folders included, as {file, path}. */
export function droppedFiles({ items, files }) {
  // Entries must be asked for before anything is awaited: the browser empties the list after the event.
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some(({ isDirectory }) => isDirectory)) return Promise.resolve(chosenFiles(files));
  return Promise.all(entries.map(walk)).then((found) => found.flat().filter(isTaken).sort(byPath));
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
