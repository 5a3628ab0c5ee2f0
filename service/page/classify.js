import { fetchDemo } from "./api.js";
import { CardPanel } from "./card.js";
import { Comparison } from "./comparison.js";
import { useForeignDemo } from "./demos.js";
import { Fault } from "./fault.js";
import { certainty, finding } from "./format.js";
import { Gallery } from "./gallery.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { ModelChoice } from "./model-choice.js";
import { Result } from "./result.js";

/** What the file dialog offers; files of any other name can still be dropped. */
const ACCEPT = "image/*,.tif,.tiff,.dcm,application/dicom";

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

  const take = (files, choice = chosen, isDemo = false) => {
    if (!files.length || !choice) return;
    setProblem(null);
    compare(null);
    select(session.add(files, choice.model, choice.version, isDemo));
  };
  const tryDemo = (choice, source = choice.model) => {
    setChosen(choice);
    fetchDemo(source).then((file) => take([file], choice, source === choice.model), setProblem);
  };
  const foreign = useForeignDemo(models, chosen);
  const remove = (id) => {
    if (id === selected) select(items.find((item) => item.id !== id)?.id ?? null);
    if (id === selected || id === other) compare(null);
    session.remove(id);
  };
  useDrops(take, setOver);

  const item = items.find(({ id }) => id === selected);
  const second = items.find(({ id }) => id === other);
  return html`
    <h1 class="visually-hidden">Classify retinal images</h1>
    <div class=${`classify ${items.length ? "answered" : ""}`}>
      <div class="side">
        <${ModelChoice} models=${models} chosen=${chosen} choose=${setChosen} tryDemo=${tryDemo} foreign=${foreign} />
        <section aria-label="Images to classify">
          <input type="file" id="file" class="visually-hidden" multiple accept=${ACCEPT} disabled=${!chosen}
            aria-label="Choose images" aria-describedby="drop-hint" onChange=${({ target }) => {
              take([...target.files]);
              target.value = ""; // so that choosing the same file again counts as a change
            }} />
          ${items.length > 0 && html`<${DropZone} over=${over} />`}
        </section>
        <${Gallery} items=${items} selected=${selected} other=${other} select=${select} compare=${compare} remove=${remove} />
      </div>
      <div class="work">
        <p class="visually-hidden" role="status">${item ? inWords(item) : ""}</p>
        ${problem && html`<${Fault} problem=${problem} />`}
        ${!item && html`<${Welcome} chosen=${chosen} tryDemo=${tryDemo} foreign=${foreign} over=${over} />`}
        ${item && html`<${Shown} item=${item} second=${second} session=${session} close=${() => compare(null)} />`}
        ${chosen && html`<${CardPanel} model=${(item ?? chosen).model} version=${(item ?? chosen).version} />`}
      </div>
    </div>
  `;
}

function Shown({ item, second, session, close }) {
  if (item.state === "failed")
    return html`<section class="panel failed" aria-label=${item.file.name}>
      <h2>${item.file.name}</h2>
      <${Fault} problem=${item.problem} retry=${() => session.again(item.id)} />
    </section>`;
  if (!item.answer)
    return html`<section class="panel waiting" aria-busy="true">
      <h2>${item.file.name}</h2>
      <p class="muted">${item.state === "running" ? "Being classified…" : "Waiting for its turn…"}</p>
      <div class="progress" aria-hidden="true"></div>
    </section>`;
  if (second?.answer) return html`<${Comparison} items=${[item, second]} close=${close} />`;
  return html`<${Result} item=${item} again=${(changes) => session.again(item.id, changes)} key=${item.id} />`;
}

function DropZone({ over }) {
  return html`<label for="file" class=${`drop ${over ? "over" : ""}`}>
    <svg aria-hidden="true" viewBox="0 0 24 24"><path d="M12 16V4m0 0L7 9m5-5 5 5M4 16v4h16v-4" /></svg>
    <span><b>Choose images</b>, drop them anywhere, or paste one</span>
    <span id="drop-hint" class="muted">Fundus photographs or OCT B-scans, as the model asks: JPEG, PNG, TIFF, BMP, WebP, DICOM</span>
  </label>`;
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

const inWords = ({ file, state, answer, problem }) =>
  ({
    waiting: `${file.name} is waiting`,
    running: `Classifying ${file.name}`,
    failed: `${file.name}: ${problem?.message}`,
    done: answer && `${file.name}: ${[finding(answer.predictions[0]), certainty(answer.predictions[0])].filter(Boolean).join(", ")}`,
  })[state];

/** Take what is dropped on the window or pasted: a file dropped beside a zone would otherwise replace the page. */
function useDrops(take, setOver) {
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
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
      latest.current([...event.dataTransfer.files]);
    });
    on("paste", ({ clipboardData }) => latest.current([...clipboardData.files]));
    return () => abort.abort();
  }, []);
}
