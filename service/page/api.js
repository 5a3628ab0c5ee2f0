/** Why there is no answer: in the service's words (RFC 9457 problem details) where it gave any. */
export class Problem extends Error {
  constructor(title, detail = "") {
    super(title);
    this.detail = detail;
  }
}

export const listModels = async () => (await request("/v1/models")).models;

export const readCard = (model) => request(model.card);

/** The address, from the root, that classifies an image with everything this page shows. */
export const predictPath = (model) =>
  `/v1/models/${encodeURIComponent(model.name)}/predict?weights=full&activation_map=true`;

export const contentType = (file) => file.type || "application/octet-stream";

export const predict = (model, file, signal) =>
  request(predictPath(model), {
    method: "POST",
    body: file,
    headers: { "Content-Type": contentType(file), Accept: "application/json" },
    signal,
  });

/** A model's demo image as a file. */
export async function fetchDemo(model, signal) {
  const response = await answer(model.demo, { signal });
  const blob = await response.blob();
  return new File([blob], model.demo.split("/").pop(), { type: blob.type });
}

async function request(path, options) {
  const response = await answer(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The answer can't be read", `What came from ${path} is incomplete or not JSON.`);
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(
      "The service can't be reached",
      "No answer came. Check that the service is running and that the file can still be read, then try again.",
    );
  }
  if (response.ok) return response;
  // A proxy in between may answer with a page of its own.
  const problem = await response.json().catch(() => ({}));
  throw new Problem(
    problem.title ?? `The service answered ${response.status} ${response.statusText}`.trim(),
    problem.detail ?? "It gave no reason. Its log may say more.",
  );
}
