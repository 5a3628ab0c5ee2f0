import { alive, predict, preview, Problem } from "./api.js";
import { decode, thumbnail } from "./picture.js";

/** Requests in flight at once: enough to keep the service busy, few enough to leave room for others. */
const AT_ONCE = 2;
/** How often a file is sent again to a service that says it is too busy or that this was too much. */
const RETRIES = 5;
/** The longest wait, in seconds, between two looks whether the service can be reached again. */
const LONGEST_WAIT = 30;

const isOpen = ({ state }) => state === "waiting" || state === "running";

/**
 * The images of this tab and what came back for them. They are kept in memory and nowhere else: images of patients
 * shall not outlive the tab.
 *
 * An item is {id, file, name, folders, isDemo, model, version, frame, state, time} and, once its state is no longer
 * "waiting" or "running", either of "done" with {answer, milliseconds, drawable, thumbnail} or "failed" with {problem}.
 * `name` is the path where the file came from a folder, whose `folders` it is in; `drawable` is the file, or a PNG of it from the service, or null.
 */
export class Session {
  items = [];
  /** While the service can't be reached: {wait}, the seconds until the next look. */
  paused = null;
  /** Tables of the images' own labels, {name, rows, find} (`images/labels.js`), the newest first. */
  tables = [];
  #running = 0;
  #next = 1;
  #batch = new Set();
  #timer = 0;

  /** @param changed is called with the items whenever one of them, or the pause, changed */
  constructor(changed) {
    this.changed = changed;
  }

  /**
   * Take files in, the newest on top, and classify them in their order.
   *
   * @param files [{file, path, name}]: the path from the folder that was chosen or dropped, if one was, and what of it is shown
   * @returns the first one's id
   */
  add(files, model, version, isDemo = false) {
    return this.#take(
      files.map(({ file, path = file.name, name = path }) => ({
        file,
        name,
        folders: path.split("/").slice(0, -1),
        isDemo,
        model,
        version,
        frame: null,
      })),
    );
  }

  /** Classify items again with another model or version, as new items. @returns the first new one's id */
  copy(ids, model, version) {
    const wanted = new Set(ids);
    return this.#take(
      this.items
        .filter(({ id }) => wanted.has(id))
        .map(({ file, name, folders, isDemo, frame, model: before }) => ({
          file,
          name,
          folders,
          isDemo: isDemo && before.name === model.name,
          model,
          version,
          frame,
        })),
    );
  }

  /** Classify an item again, perhaps another frame of it or with another model. */
  again(id, changes = {}) {
    this.#schedule([id]);
    this.#update(id, { ...changes, state: "waiting", problem: null });
    this.#go();
  }

  /** Send again everything that failed. */
  retryFailed(which = () => true) {
    for (const item of this.items) if (item.state === "failed" && which(item)) this.again(item.id);
  }

  /** Send again everything that was refused for want of a key. */
  retryRefused() {
    this.retryFailed(({ problem }) => problem.status === 401);
  }

  /** Take items out; what still waits among them is not sent. */
  remove(...ids) {
    const unwanted = new Set(ids);
    this.items = this.items.filter(({ id }) => !unwanted.has(id));
    if (this.paused && !this.items.some(isOpen)) this.#resume();
    this.#say();
  }

  /** How far the images are that were sent since nothing was left to send: {done, failed, total, open}. */
  get progress() {
    const batch = this.items.filter(({ id }) => this.#batch.has(id));
    const open = batch.filter(isOpen).length;
    const failed = batch.filter(({ state }) => state === "failed").length;
    return { total: batch.length, open, failed, done: batch.length - open };
  }

  /** Look at once whether the service can be reached, and go on if so. */
  async goOn() {
    clearTimeout(this.#timer);
    if (await alive()) {
      this.#resume();
      this.#go();
    } else if (this.paused) this.#pause(2 * this.paused.wait);
  }

  /** Take a table of the images' own labels in; the newest counts first. */
  label(name, table) {
    this.tables = [{ name, ...table }, ...this.tables];
    this.#say();
  }

  /** Take everything out. */
  clear() {
    this.tables = [];
    this.remove(...this.items.map(({ id }) => id));
  }

  #take(taken) {
    const items = taken.map((item) => ({ ...item, id: this.#next++, state: "waiting", time: new Date() }));
    this.#schedule(items.map(({ id }) => id));
    this.items = [...items, ...this.items];
    this.#go();
    return items[0].id;
  }

  #schedule(ids) {
    if (!this.items.some(isOpen)) this.#batch.clear();
    for (const id of ids) this.#batch.add(id);
  }

  #pause(wait = 1) {
    clearTimeout(this.#timer);
    this.paused = { wait: Math.min(wait, LONGEST_WAIT) };
    this.#timer = setTimeout(() => this.goOn(), 1000 * this.paused.wait);
    this.#say();
  }

  #resume() {
    clearTimeout(this.#timer);
    this.paused = null;
  }

  #update(id, changes) {
    this.items = this.items.map((item) => (item.id === id ? { ...item, ...changes } : item));
    this.#say();
  }

  #say() {
    this.changed([...this.items]);
  }

  #go() {
    this.#say();
    if (this.paused) return;
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
      // A file that can't be read any more fails in the same way as a service that is gone, so ask the service.
      if (error.unreachable && !(await alive())) {
        if (!this.paused) this.#pause();
        return { state: "waiting" };
      }
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

/** Ask again where the service says that it is too busy. */
export async function patiently(request) {
  for (let tries = 0; ; tries++) {
    try {
      return await request();
    } catch (error) {
      if (![429, 503].includes(error.status) || tries === RETRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.retryAfter ?? 1)));
    }
  }
}
