import { html, useLayoutEffect, useRef, useState } from "./html.js";
import { drawMap, drawPicture } from "./picture.js";

const START = { zoom: 1, x: 0, y: 0, brightness: 1, contrast: 1 };
const MOST = 16;
const STEP = 1.25;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/**
 * A picture as image viewers show it: zoom, pan, brightness and contrast, full screen.
 *
 * @param picture what `decode` gave; undefined while it is not there
 * @param map {lines, colours, opacity} to lay over it, or null
 * @param toggle shows or hides the map
 */
export function Viewer({ picture, map, toggle, label }) {
  const [view, setView] = useState(START);
  const [tool, setTool] = useState("pan");
  const stage = useRef(null);
  const canvas = useRef(null);
  const over = useRef(null);
  useLayoutEffect(() => {
    if (picture) drawPicture(canvas.current, picture);
  }, [picture]);
  useLayoutEffect(() => {
    if (picture) drawMap(over.current, picture, map);
  }, [picture, map]);
  useLayoutEffect(() => {
    // Preact's own handler would be passive, and the page would scroll as well.
    const wheel = (event) => {
      if (!event.ctrlKey && !document.fullscreenElement && document.activeElement !== stage.current) return;
      event.preventDefault();
      const { left, top, width, height } = stage.current.getBoundingClientRect();
      zoomBy(event.deltaY < 0 ? STEP : 1 / STEP, event.clientX - left - width / 2, event.clientY - top - height / 2);
    };
    stage.current.addEventListener("wheel", wheel, { passive: false });
    return () => stage.current?.removeEventListener("wheel", wheel);
  }, []);

  /** Zoom so that the point (x, y), from the middle of the stage, stays where it is. */
  const zoomBy = (factor, x = 0, y = 0) =>
    setView((now) => {
      const zoom = clamp(now.zoom * factor, 1, MOST);
      const ratio = zoom / now.zoom;
      return inside({ ...now, zoom, x: x - (x - now.x) * ratio, y: y - (y - now.y) * ratio }, stage.current);
    });
  const panBy = (x, y) => setView((now) => inside({ ...now, x: now.x + x, y: now.y + y }, stage.current));
  const lightBy = (brightness, contrast) =>
    setView((now) => ({
      ...now,
      brightness: clamp(now.brightness + brightness, 0.2, 4),
      contrast: clamp(now.contrast + contrast, 0.2, 4),
    }));
  const fullScreen = () =>
    document.fullscreenElement ? document.exitFullscreen() : stage.current.parentElement.requestFullscreen();

  const drag = usePointers(stage, { zoomBy, move: (x, y) => (tool === "light" ? lightBy(-y / 200, x / 200) : panBy(x, y)) });
  const press = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = {
      m: toggle,
      f: fullScreen,
      0: () => setView(START),
      "+": () => zoomBy(STEP),
      "=": () => zoomBy(STEP),
      "-": () => zoomBy(1 / STEP),
      ArrowLeft: () => panBy(40, 0),
      ArrowRight: () => panBy(-40, 0),
      ArrowUp: () => panBy(0, 40),
      ArrowDown: () => panBy(0, -40),
    };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };
  const { zoom, x, y, brightness, contrast } = view;
  const move = `translate(${x}px, ${y}px) scale(${zoom})`;
  const lit = brightness !== 1 || contrast !== 1;
  return html`<div class="viewer">
    <div class=${`stage ${tool}`} ref=${stage} tabindex="0" role="img" aria-label=${label} aria-describedby="viewer-help"
      aria-keyshortcuts="M F 0 + -" aria-busy=${String(!picture)} style=${{ aspectRatio: picture ? `${picture.canvas.width} / ${picture.canvas.height}` : "" }} onKeyDown=${press} onDblClick=${() => setView(START)} ...${drag}>
      <canvas ref=${canvas} class="picture" style=${{ transform: move, filter: lit ? `brightness(${brightness}) contrast(${contrast})` : "none" }}></canvas>
      <canvas ref=${over} class="map" aria-hidden="true" style=${{ transform: move }}></canvas>
    </div>
    <div class="viewer-bar" role="toolbar" aria-label="Image viewer">
      <${Tool} text="Move" on=${tool === "pan"} act=${() => setTool("pan")} />
      <${Tool} text="Brightness" on=${tool === "light"} act=${() => setTool("light")} />
      <button type="button" aria-label="Zoom out" disabled=${zoom === 1} onClick=${() => zoomBy(1 / STEP)}>−</button>
      <output class="zoom">${Math.round(100 * zoom)} %</output>
      <button type="button" aria-label="Zoom in" disabled=${zoom === MOST} onClick=${() => zoomBy(STEP)}>+</button>
      <button type="button" disabled=${zoom === 1 && !lit} onClick=${() => setView(START)}>Reset</button>
      ${toggle && html`<${Tool} text="Map" on=${Boolean(map)} act=${toggle} />`}
      <button type="button" onClick=${fullScreen}>Full screen</button>
    </div>
    <p id="viewer-help" class="visually-hidden">Plus and minus zoom, the arrow keys move, 0 resets, M shows or hides the map, F is full screen.</p>
  </div>`;
}

function Tool({ text, on, act }) {
  return html`<button type="button" aria-pressed=${String(on)} onClick=${act}>${text}</button>`;
}

/** The view with its picture not beyond the stage. */
function inside(view, stage) {
  const across = ((view.zoom - 1) * stage.clientWidth) / 2;
  const down = ((view.zoom - 1) * stage.clientHeight) / 2;
  return { ...view, x: clamp(view.x, -across, across), y: clamp(view.y, -down, down) };
}

/** Handlers for one pointer that drags, and two that pinch. */
function usePointers(stage, { move, zoomBy }) {
  const held = useRef(new Map());
  const spread = () => {
    const [a, b] = [...held.current.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  };
  const release = ({ pointerId }) => held.current.delete(pointerId);
  return {
    onPointerDown: (event) => {
      held.current.set(event.pointerId, event);
      stage.current.setPointerCapture(event.pointerId);
    },
    onPointerMove: (event) => {
      const last = held.current.get(event.pointerId);
      if (!last) return;
      const before = held.current.size === 2 ? spread() : 0;
      held.current.set(event.pointerId, event);
      if (before) zoomBy(spread() / before);
      else move(event.clientX - last.clientX, event.clientY - last.clientY);
    },
    onPointerUp: release,
    onPointerCancel: release,
  };
}
