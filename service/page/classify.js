import { fetchDemo } from "./api.js";
import { CardPanel } from "./card.js";
import { Comparison } from "./comparison.js";
import { useForeignDemo } from "./demos.js";
import { Fault } from "./fault.js";
import { certainty, finding, warning } from "./format.js";
import { html, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { Batch } from "./images/batch.js";
import { chosenFiles, droppedFiles } from "./images/files.js";
import { Gallery } from "./images/gallery.js";
import { isTable, readTable } from "./images/labels.js";
import { rowsOf, shownRows, START } from "./images/rows.js";
import { Steps } from "./images/steps.js";
import { Table } from "./images/table.js";
import { ModelChoice } from "./model-choice.js";
import { Result } from "./result.js";

/** What the file dialog offers; files of any other name can still be dropped. */
const ACCEPT = "image/*,.tif,.tiff,.dcm,application/dicom,.csv,text/csv";

/** The view that takes images and shows what came back. */
export function Classify({ models, items, session }) {
  const [chosen, setChosen] = useState(() => {
    const wanted = new URLSearchParams(location.search).get("model");
    const model = models.find(({ name }) => name === wanted) ?? models[0];
    return model && { model, version: model.version };
  });
  const [selected, select] = useState(items[0]?.id ?? null);
  const [other, compare] = useState(null);
  const [problem, setProblem] = useState(null);
  const [over, setOver] = useState(false);
  const [tabled, setTabled] = useState(false);
  const [arrived, setArrived] = useState(false);
  const [view, setView] = useState(START);
  const [picked, pick] = useState(new Set());
  const rows = useMemo(() => rowsOf(items, session.tables), [items]);
  const shown = useMemo(() => shownRows(rows, view), [rows, view]);

  const open = (id, fromTable = false) => {
    select(id);
    compare(null);
    setTabled(false);
    setArrived(fromTable);
  };
  const take = async (files, choice = chosen, isDemo = false) => {
    if (!files.length || !choice) return;
    setProblem(null);
    const images = files.filter(({ file }) => !isTable(file));
    try {
      for (const { file } of files.filter(({ file }) => isTable(file))) session.label(file.name, readTable(await file.text(), file.name));
    } catch (error) {
      setProblem(error);
    }
    if (!images.length) return;
    const first = session.add(images, choice.model, choice.version, isDemo);
    if (!tabled) open(first);
  };
  const tryDemo = (choice, source = choice.model) => {
    setChosen(choice);
    fetchDemo(source).then((file) => take([{ file }], choice, source === choice.model), setProblem);
  };
  const foreign = useForeignDemo(models, chosen);
  const removeFrom = (list) => (id) => {
    const index = list.findIndex((each) => each.id === id);
    const next = list[index + 1] ?? list[index - 1] ?? items.find((each) => each.id !== id);
    if (id === selected) select(next?.id ?? null);
    if (id === selected || id === other) compare(null);
    pick(new Set([...picked].filter((each) => each !== id)));
    if (items.length === 1) removeAll();
    else session.remove(id);
  };
  const removeAll = () => {
    select(null);
    compare(null);
    pick(new Set());
    setTabled(false);
    setView(START);
    session.clear();
    document.getElementById("file").focus();
  };
  const send = (ids, model, version) => {
    pick(new Set());
    session.copy(ids, model, version);
  };
  useDrops(take, setOver);

  const item = items.find(({ id }) => id === selected);
  /** Choose a model; the open image goes to it as well, beside its other answers. */
  const classify = (model, version = model.version) => {
    setChosen({ model, version });
    if (!item) return;
    const there = items.find((each) => each.file === item.file && each.frame === item.frame && each.model.name === model.name && each.version === version);
    compare(null);
    select(there?.id ?? session.copy([item.id], model, version));
  };
  const second = items.find(({ id }) => id === other);
  return html`
    <h1 class="visually-hidden">Classify retinal images</h1>
    <div class=${`classify ${items.length ? "answered" : ""}`}>
      <div class="side">
        <${ModelChoice} models=${models} chosen=${chosen} choose=${({ model, version }) => classify(model, version)} tryDemo=${tryDemo} foreign=${foreign} />
        <section aria-label="Images to classify">
          <input type="file" id="file" class="visually-hidden" multiple accept=${ACCEPT} disabled=${!chosen}
            aria-label="Choose images" aria-describedby="drop-hint" onChange=${taking(take)} />
          <input type="file" id="folder" class="visually-hidden" webkitdirectory disabled=${!chosen} onChange=${taking(take)} />
          ${items.length > 0 && html`<${DropZone} over=${over} />`}
          ${session.tables.map(({ name, rows: count }) => html`<p class="muted" role="status">${count} labels were read from ${name}.</p>`)}
        </section>
        <${Batch} items=${items} rows=${rows} session=${session} removeAll=${removeAll}>
          ${!tabled && html`<${Gallery} items=${items} selected=${selected} other=${other} select=${open} compare=${compare} remove=${removeFrom(items)} />`}
        <//>
      </div>
      <div class="work">
        <p class="visually-hidden" role="status">${item ? inWords(item) : ""}</p>
        ${problem && html`<${Fault} problem=${problem} />`}
        ${!item && html`<${Welcome} chosen=${chosen} tryDemo=${tryDemo} foreign=${foreign} over=${over} />`}
        ${
          tabled && items.length
            ? html`<${Table} ...${{ rows, shown, view, setView, picked, pick, models, chosen, selected, send }}
                open=${(id) => open(id, true)} remove=${removeFrom(shown)} />`
            : item && html`
                ${
                  (items.length > 1 || arrived) &&
                  html`<${Steps} items=${items} shown=${shown} item=${item} other=${other} select=${open} compare=${compare}
                    openTable=${() => setTabled(true)} arrive=${arrived} />`
                }
                <${Shown} item=${item} second=${second} session=${session} models=${models} classify=${classify} close=${() => compare(null)} items=${items} open=${open} />`
        }
        ${chosen && !tabled && html`<${CardPanel} model=${(item ?? chosen).model} version=${(item ?? chosen).version} />`}
      </div>
    </div>
  `;
}

function Shown({ item, second, session, models, classify, close, items, open }) {
  if (item.state === "failed" && !item.answer)
    return html`<section class="panel failed" aria-label=${item.file.name}>
      <h2>${item.file.name}</h2>
      <${Fault} problem=${item.problem} retry=${() => session.again(item.id)} />
    </section>`;
  if (!item.answer)
    return html`<section class="panel waiting" aria-busy="true">
      <h2>${item.file.name}</h2>
      <p class="muted">${item.state === "running" ? "Being classified…" : session.paused ? "Waiting for the service…" : "Waiting for its turn…"}</p>
      <div class="progress" aria-hidden="true"></div>
    </section>`;
  if (second?.answer) return html`<${Comparison} items=${[item, second]} close=${close} />`;
  return html`
    ${item.problem && html`<${Fault} problem=${item.problem} />`}
    <${Result} item=${item} models=${models} classify=${classify} again=${(changes) => session.again(item.id, changes)} others=${items} open=${open} key=${item.id} />
  `;
}

/** What a files' input calls when files were chosen. */
const taking = (take) => ({ target }) => {
  take(chosenFiles(target.files));
  target.value = ""; // so that choosing the same file again counts as a change
};

function DropZone({ over }) {
  return html`
    <label for="file" class=${`drop ${over ? "over" : ""}`}>
      <svg aria-hidden="true" viewBox="0 0 24 24"><path d="M12 16V4m0 0L7 9m5-5 5 5M4 16v4h16v-4" /></svg>
      <span><b>Choose images</b>, drop them anywhere, or paste one</span>
      <span id="drop-hint" class="muted">Fundus photographs or OCT B-scans, as the model asks: JPEG, PNG, TIFF, BMP, WebP, DICOM</span>
    </label>
    <p class="drop-more muted">Or <label for="folder">choose a folder</label>. Folders named by labels, or a CSV file (file, label), give the images' own labels.</p>
  `;
}

function Welcome({ chosen, tryDemo, foreign, over }) {
  if (!chosen)
    return html`<section class="panel welcome">
      <h2>No model is loaded</h2>
      <p>Put a model package into the model repository and start the service again.</p>
    </section>`;
  return html`<section class="panel welcome">
    <h2>See what the network saw</h2>
    <${DropZone} over=${over} />
    <p>For each image it shows</p>
    <ul>
      <li><b>which class, and how sure:</b> calibrated probabilities, and the labels that can't be ruled out;</li>
      <li><b>where:</b> a map of the evidence for each class, laid over the image;</li>
      <li><b>what stood out:</b> the gates of every block against the images it was trained on.</li>
    </ul>
    ${
      chosen.model.demo &&
      html`<p>Nothing at hand? <button type="button" class="primary" onClick=${() => tryDemo(chosen)}>Try ${chosen.model.name}'s demo image</button></p>`
    }
    ${
      foreign &&
      html`<p>Or see what it says of a kind of image that it doesn't know, here one of ${foreign.model.name}'s (${foreign.modality}):
        <button type="button" onClick=${() => tryDemo(chosen, foreign.model)}>Try an image that ${chosen.model.name} is not made for</button></p>`
    }
  </section>`;
}

const inWords = ({ name, state, answer, problem }) =>
  ({
    waiting: `${name} is waiting`,
    running: `Classifying ${name}`,
    failed: `${name}: ${problem?.message}`,
    done: answer && `${name}: ${[finding, certainty, warning].map((say) => say(answer.predictions[0])).filter(Boolean).join(", ")}`,
  })[state];

/** Take what is dropped on the window or pasted: a file dropped beside a zone would otherwise replace the page. */
function useDrops(take, setOver) {
  const latest = useRef(take);
  latest.current = take;
  useLayoutEffect(() => {
    const abort = new AbortController();
    const on = (name, act) => addEventListener(name, act, { signal: abort.signal });
    on("dragover", (event) => {
      event.preventDefault();
      setOver(true);
    });
    on("dragleave", ({ relatedTarget }) => relatedTarget || setOver(false));
    on("drop", (event) => {
      event.preventDefault();
      setOver(false);
      droppedFiles(event.dataTransfer).then((files) => latest.current(files));
    });
    on("paste", ({ clipboardData }) => latest.current(chosenFiles(clipboardData.files)));
    return () => abort.abort();
  }, []);
}
