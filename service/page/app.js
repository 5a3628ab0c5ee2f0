import { listModels, root } from "./api.js";
import { Classify } from "./classify.js";
import { html, render, useEffect, useRef, useState } from "./html.js";
import { KeyControl, KeyForm, useKey } from "./key.js";
import { Models } from "./models/models.js";
import { Session } from "./session.js";
import { Start } from "./start.js";

const MODELS = `${root}/models`;
const TITLES = { [`${root}/`]: "Classify", [MODELS]: "Models" };

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
    document.title = path === MODELS ? "Models · Retinal image classifier" : "Retinal image classifier";
  }, [path]);

  const key = useKey([problem, ...items.map((item) => item.problem)], () => {
    load();
    session.current.retryRefused();
  });

  const View = path === MODELS ? Models : Classify;
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
      ${key.why && html`<${KeyForm} ...${key} alone=${!models} />`}
      ${!models && !key.why && html`<${Start} problem=${problem} load=${load} />`}
      ${models && html`<${View} models=${models} items=${items} session=${session.current} />`}
    </main>
    <footer>
      <p><strong>Research use only; not a medical device.</strong> Images go to this service and nowhere else; results stay
        in this tab until it is closed.</p>
      ${key.known && html`<${KeyControl} ...${key} />`}
      <nav aria-label="For engineers"><a href=${`${root}/docs`}>API documentation</a><a href=${`${root}/metrics`}>Metrics</a></nav>
    </footer>
  `;
}

/** The address's path, and a handler for links to the page's other views that keeps the page, and so its results. */
function useAddress() {
  const [path, setPath] = useState(location.pathname);
  useEffect(() => {
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
