import { apiKey, contentType, predictPath, root } from "./api.js";

/** An item's request as text to run elsewhere, by the name that a person chooses it by. No text contains a key. */
export const COMMANDS = {
  curl: curlCommand,
  Python: pythonCommand,
  tritonclient: (item) => tritonCommand(item, "http"),
  "tritonclient, gRPC": (item) => tritonCommand(item, "grpc"),
};

/** @returns the names of the commands that can ask for this item: the Open Inference Protocol takes no number of a frame */
export const offered = ({ frame, model: { grpc } }) =>
  Object.keys(COMMANDS).filter((name) => !(frame && name.includes("triton")) && (grpc || !name.includes("gRPC")));

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
const authorization = (name) => `"${name}": f"Bearer {os.environ['RETINA_API_KEY']}"`;
const withKey = (lines) => (apiKey.get() ? ["import os", ...lines] : lines);

function pythonCommand(item) {
  const { file, isDemo, model } = item;
  const fields = [`"Content-Type": ${literal(contentType(file))}`, ...(apiKey.get() ? [authorization("Authorization")] : [])];
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

/** By NVIDIA's client of the Open Inference Protocol; needs `pip install tritonclient[http]`, or `[grpc]`. */
function tritonCommand({ file, isDemo, model, version }, way) {
  const { place, secure, header } =
    way === "grpc"
      ? { place: `${location.hostname}:${model.grpc.port}`, secure: model.grpc.tls, header: "authorization" }
      : { place: location.host + root, secure: location.protocol === "https:", header: "Authorization" };
  return `${[
    ...withKey([]),
    isDemo ? "from urllib.request import urlopen" : "from pathlib import Path",
    "",
    "import numpy as np",
    `import tritonclient.${way} as triton`,
    "",
    isDemo ? `image = urlopen(${literal(location.origin + model.demo)}).read()` : `image = Path(${literal(file.name)}).read_bytes()`,
    `client = triton.InferenceServerClient(${literal(place)}, ssl=${secure ? "True" : "False"})`,
    'tensor = triton.InferInput("image_bytes", [1, 1], "BYTES")',
    "tensor.set_data_from_numpy(np.array([[image]], dtype=np.object_))",
    `result = client.infer(${literal(model.name)}, [tensor], model_version=${literal(version)}${apiKey.get() ? `, headers={${authorization(header)}}` : ""})`,
    `labels = [${model.labels.map(literal).join(", ")}]`,
    'print(dict(zip(labels, result.as_numpy("probabilities")[0].tolist())))',
  ].join("\n")}\n`;
}
