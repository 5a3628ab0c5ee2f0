import { apiKey, contentType, predictPath, root } from "./api.js";

/** An item's request as text to run elsewhere, by the name that a person chooses it by. No text contains a key. */
export const COMMANDS = { curl: curlCommand, Python: pythonCommand, tritonclient: tritonCommand };

/** @returns the names of the commands that can ask for this item: the Open Inference Protocol takes no number of a frame */
export const offered = ({ frame }) => Object.keys(COMMANDS).filter((name) => name !== "tritonclient" || !frame);

/** For a POSIX shell. Shells keep a history of commands, so the key is a variable. */
function curlCommand(item) {
  const { file, isDemo, model } = item;
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const source = isDemo ? `curl -sS ${quote(location.origin + model.demo)} | ` : "";
  const body = isDemo ? "@-" : `@${quote(file.name)}`;
  const key = apiKey.get() ? ' -H "Authorization: Bearer $RETINA_API_KEY"' : "";
  const header = quote(`Content-Type: ${contentType(file)}`);
  return `${source}curl -sS${key} -H ${header} --data-binary ${body} ${quote(location.origin + predictPath(item))}`;
}

/** A text literal of JSON is one of Python too. */
const literal = JSON.stringify;
const AUTHORIZATION = `"Authorization": f"Bearer {os.environ['RETINA_API_KEY']}"`;
const withKey = (lines) => (apiKey.get() ? ["import os", ...lines] : lines);

function pythonCommand(item) {
  const { file, isDemo, model } = item;
  const fields = [`"Content-Type": ${literal(contentType(file))}`, ...(apiKey.get() ? [AUTHORIZATION] : [])];
  return `${[
    ...withKey(isDemo ? [] : ["from pathlib import Path"]),
    ...(isDemo && !apiKey.get() ? [] : [""]),
    "import httpx",
    "",
    isDemo
      ? `image = httpx.get(${literal(location.origin + model.demo)}).raise_for_status().content`
      : `image = Path(${literal(file.name)}).read_bytes()`,
    "answer = httpx.post(",
    `    ${literal(location.origin + predictPath(item))},`,
    "    content=image,",
    `    headers={${fields.join(", ")}},`,
    "    timeout=60,",
    ")",
    "answer.raise_for_status()",
    "print(answer.text)",
  ].join("\n")}\n`;
}

/** By NVIDIA's client of the Open Inference Protocol; needs `pip install tritonclient[http]`. */
function tritonCommand({ file, isDemo, model, version }) {
  const secure = location.protocol === "https:";
  return `${[
    ...withKey([]),
    isDemo ? "from urllib.request import urlopen" : "from pathlib import Path",
    "",
    "import numpy as np",
    "import tritonclient.http as triton",
    "",
    isDemo ? `image = urlopen(${literal(location.origin + model.demo)}).read()` : `image = Path(${literal(file.name)}).read_bytes()`,
    `client = triton.InferenceServerClient(${literal(location.host + root)}, ssl=${secure ? "True" : "False"})`,
    'tensor = triton.InferInput("image_bytes", [1, 1], "BYTES")',
    "tensor.set_data_from_numpy(np.array([[image]], dtype=np.object_))",
    `result = client.infer(${literal(model.name)}, [tensor], model_version=${literal(version)}${apiKey.get() ? `, headers={${AUTHORIZATION}}` : ""})`,
    `labels = [${model.labels.map(literal).join(", ")}]`,
    'print(dict(zip(labels, result.as_numpy("probabilities")[0].tolist())))',
  ].join("\n")}\n`;
}
