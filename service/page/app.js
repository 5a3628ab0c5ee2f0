import { listModels, root } from "./api.js";
import { Classify } from "./classify.js";
import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { KeyControl, KeyForm, useKey } from "./key.js";
import { Models } from "./models/models.js";
import { Session } from "./session.js";
import { Start } from "./start.js";
import { Status } from "./status/status.js";

const MODELS = `${root}/models`;
const STATUS = `${root}/status`;
const TITLES = { [`${root}/`]: "Classify", [MODELS]: "Models", [STATUS]: "Status" };

/** The page: its views, its models and this tab's images. */
function App() {
  const [path, follow] = useAddress();
  const [models, setModels] = useState(null);
  const [problem, setProblem] = useState(null);
  const [items, setItems] = useState([]);
  const session = useRef(null);
  session.current ??= new Session(setItems);

  const load = () => {
    setProblem(null);
    listModels().then(setModels, setProblem);
  };
  useEffect(load, []);
  useEffect(() => {
    const view = path === MODELS || path === STATUS ? `${TITLES[path]} · ` : "";
    document.title = `${view}Retinal image classifier`;
  }, [path]);

  const kept = items.length > 0;
  useLayoutEffect(() => {
    if (!kept) return;
    const ask = (event) => event.preventDefault(); // the browser then asks whether to leave
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [kept]);

  const key = useKey([problem, ...items.map((item) => item.problem)], () => {
    load();
    session.current.retryRefused();
  });

  const View = { [MODELS]: Models, [STATUS]: Status }[path] ?? Classify;
  return html`
    <a class="skip" href="#main">Skip to the content</a>
    <header>
      <div class="brand"><img src=${`${root}/static/favicon.svg`} alt="" width="32" height="32" /><span>Retinal image classifier</span></div>
      <nav aria-label="Views">
        ${Object.entries(TITLES).map(
          ([to, title]) =>
            html`<a href=${to} aria-current=${to === path ? "page" : undefined} onClick=${follow}>${title}</a>`,
        )}
      </nav>
    </header>
    <main id="main" tabindex="-1">
      ${key.why && html`<${KeyForm} ...${key} alone=${!models && path !== STATUS} />`}
      ${!models && !key.why && path !== STATUS && html`<${Start} problem=${problem} load=${load} />`}
      ${(models || path === STATUS) && html`<${View} models=${models} items=${items} session=${session.current} asked=${Boolean(key.why)} unlock=${key.unlock} />`}
    </main>
    <footer>
      <p><strong>Research use only; not a medical device.</strong> Images go to this service and nowhere else; results stay
        in this tab until it is closed or loaded anew.</p>
      ${key.known && html`<${KeyControl} ...${key} />`}
      <nav aria-label="For engineers"><${Outside} to=${`${root}/docs`}>API documentation<//><a href=${STATUS} onClick=${follow}>Status and metrics</a></nav>
    </footer>
  `;
}

/** A link that leaves the page, in another tab, since the results of this one would be lost. */
function Outside({ to, children }) {
  return html`<a href=${to} target="_blank" rel="noopener">${children}<span class="visually-hidden"> (opens in a new tab)</span></a>`;
}

/** The address's path, and a handler for links to the page's other views that keeps the page, and so its results. */
function useAddress() {
  const [path, setPath] = useState(location.pathname);
  useLayoutEffect(() => {
    const moved = () => setPath(location.pathname);
    addEventListener("popstate", moved);
    return () => removeEventListener("popstate", moved);
  }, []);
  const follow = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", event.currentTarget.href);
    setPath(location.pathname);
    scrollTo(0, 0);
  };
  return [path, follow];
}

render(html`<${App} />`, document.getElementById("app"));
