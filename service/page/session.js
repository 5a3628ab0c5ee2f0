import { predict, preview, Problem } from "./api.js";
import { decode, thumbnail } from "./picture.js";

/** Requests in flight at once: enough to keep the service busy, few enough to leave room for others. */
const AT_ONCE = 2;
/** How often a file is sent again to a service that says it is too busy or that this was too much. */
const RETRIES = 5;

/**
 * The images of this tab and what came back for them. They are kept in memory and nowhere else: images of patients
 * shall not outlive the tab.
 *
 * An item is {id, file, isDemo, model, version, frame, state, time} and, once its state is no longer "waiting" or
 * "running", either of "done" with {answer, milliseconds, drawable, thumbnail} or "failed" with {problem}. `drawable`
 * is the file, or a PNG of it from the service, or null.
 */
export class Session {
  items = [];
  #running = 0;
  #next = 1;

  /** @param changed is called with the items whenever one of them changed */
  constructor(changed) {
    this.changed = changed;
  }

  /** Take files in, the newest on top, and classify them in their order. @returns the first one's id */
  add(files, model, version, isDemo = false) {
    const taken = [...files].map((file) => ({
      id: this.#next++,
      file,
      isDemo,
      model,
      version,
      frame: null,
      state: "waiting",
      time: new Date(),
    }));
    this.items = [...taken, ...this.items];
    this.#go();
    return taken[0].id;
  }

  /** Classify an item again, perhaps another frame of it or with another model. */
  again(id, changes = {}) {
    this.#update(id, { ...changes, state: "waiting", problem: null });
    this.#go();
  }

  /** Send again everything that was refused for want of a key. */
  retryRefused() {
    for (const { id, problem } of this.items) if (problem?.status === 401) this.again(id);
  }

  remove(id) {
    this.items = this.items.filter((item) => item.id !== id);
    this.changed(this.items);
  }

  #update(id, changes) {
    this.items = this.items.map((item) => (item.id === id ? { ...item, ...changes } : item));
    this.changed(this.items);
  }

  #go() {
    this.changed(this.items);
    for (const item of this.items.filter(({ state }) => state === "waiting")) {
      if (this.#running >= AT_ONCE) return;
      this.#running += 1;
      this.#update(item.id, { state: "running" });
      this.#classify(item).then((changes) => {
        this.#running -= 1;
        this.#update(item.id, changes);
        this.#go();
      });
    }
  }

  async #classify(item) {
    try {
      const sent = performance.now();
      const answer = await patiently(() => predict(item));
      const milliseconds = performance.now() - sent;
      return { state: "done", answer, milliseconds, ...(await draw(item, answer.predictions[0].image)) };
    } catch (error) {
      if (!(error instanceof Problem)) console.error(error);
      return { state: "failed", problem: error };
    }
  }
}

async function draw(item, image) {
  let picture = await decode(item.file, image);
  if (picture) return { drawable: item.file, thumbnail: thumbnail(picture) };
  const drawable = await patiently(() => preview(item));
  picture = await decode(drawable, image);
  return { drawable: picture && drawable, thumbnail: picture && thumbnail(picture) };
}

async function patiently(request) {
  for (let tries = 0; ; tries++) {
    try {
      return await request();
    } catch (error) {
      if (![429, 503].includes(error.status) || tries === RETRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.retryAfter ?? 1)));
    }
  }
}
