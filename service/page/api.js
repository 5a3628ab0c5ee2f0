import { reason } from "./reasons.js";

const CODE = "urn:retina-srm:problem:";

/** Why there is no answer. `message` and `advice` are for the person; the rest is what the service said (RFC 9457). */
export class Problem extends Error {
  constructor({ code = "", status = 0, title = "", detail = "", id = "", retryAfter = null, reason: own = reason(code, status) }) {
    super(own.said);
    Object.assign(this, { advice: own.advice, code, status, title, detail, id, retryAfter });
  }

  /** Whether nobody answered, or a proxy whose service didn't. */
  get unreachable() {
    return this.code === "unreachable" || this.status === 502;
  }
}

const KEY = "retina-api-key";

/** The key that a guarded service asks for lives as long as the tab. */
export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY)),
};

/** The prefix under which a proxy offers the service, or nothing: this file is at `static/api.js` under it. */
export const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

/** Long enough for a busy service; without an end a lost connection would look like loading. */
const LIST_TIMEOUT_MS = 20_000;

/** The models, each with {port, tls} of gRPC, or null. */
export const listModels = async () => {
  const { models, grpc } = await json(`${root}/v1/models`, { signal: AbortSignal.timeout(LIST_TIMEOUT_MS) });
  return models.map((model) => ({ ...model, grpc }));
};

/** The Prometheus text of the service's metrics. It may need a key with the scope `metrics`. */
export const readMetrics = async () => (await answer(`${root}/metrics`)).text();

/** Whether the service answers at all. */
export const alive = () => fetch(`${root}/v2/health/live`, { cache: "no-store" }).then(({ ok }) => ok, () => false);

export const cardPath = (name, version) => `${modelPath(name, version)}/card`;

const cards = new Map();

/** A version's card; it never changes, so it is asked for once. */
export function readCard(name, version) {
  const path = cardPath(name, version);
  if (!cards.has(path)) {
    const card = json(path);
    card.catch(() => cards.delete(path));
    cards.set(path, card);
  }
  return cards.get(path);
}

/** The address, from the root of the host, that classifies an image with everything this page shows. */
export const predictPath = ({ model, version, frame }) =>
  `${modelPath(model.name, version)}/predict?weights=full&activation_map=true${atFrame({ frame })}`;

const atFrame = ({ frame }) => (frame ? `&frame=${frame}` : "");

export const contentType = (file) =>
  file.type || (/\.dcm$/i.test(file.name) ? "application/dicom" : "application/octet-stream");

export const predict = (item) => json(predictPath(item), upload(item, "application/json"));

/** The prediction for an item, perhaps of another frame or by another model, without gates and map. */
export async function predictBriefly({ file, model, version, frame }) {
  const path = `${modelPath(model.name, version)}/predict?weights=none${atFrame({ frame })}`;
  return (await json(path, upload({ file }, "application/json"))).predictions[0];
}

/** What one channel does in an item's image. */
export const lookAt = (item, block, channel) => {
  const { name, version } = item.answer.model;
  const path = `${modelPath(name, version)}/channels/${encodeURIComponent(block)}/${channel}`;
  return json(`${path}${item.frame ? `?frame=${item.frame}` : ""}`, upload(item, "application/json"));
};

/** The image as the service reads it, a PNG: for files that a browser can't draw. */
export async function preview(item) {
  const path = `${root}/v1/models/${encodeURIComponent(item.model.name)}/preview${item.frame ? `?frame=${item.frame}` : ""}`;
  return (await answer(path, upload(item, "image/png"))).blob();
}

/** A model's demo image as a file. */
export async function fetchDemo(model) {
  const blob = await (await answer(model.demo)).blob();
  return new File([blob], model.demo.split("/").pop(), { type: blob.type });
}

const modelPath = (name, version) =>
  `${root}/v1/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`;

const upload = ({ file }, accept) => ({
  method: "POST",
  body: file,
  headers: { "Content-Type": contentType(file), Accept: accept },
});

async function json(path, options) {
  const response = await answer(path, options);
  return response.json().catch(() => {
    throw new Problem({ code: "unreadable", detail: `What came from ${path} is incomplete or not JSON.` });
  });
}

async function answer(path, options = {}) {
  const key = apiKey.get();
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  const response = await fetch(path, { ...options, headers }).catch(() => {
    throw new Problem({ code: "unreachable", detail: `No answer came from ${path}.` });
  });
  if (response.ok) return response;
  // A reverse proxy may answer with its own page.
  const { type, title, detail, id } = (await response.json().catch(() => null)) ?? {};
  throw new Problem({
    code: String(type).startsWith(CODE) ? type.slice(CODE.length) : "",
    status: response.status,
    title: title ?? response.statusText,
    detail: detail ?? "The answer gave no reason.",
    id,
    retryAfter: Number(response.headers.get("Retry-After")) || null,
  });
}
