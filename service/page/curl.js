import { contentType, predictPath } from "./api.js";
import { byId } from "./dom.js";

/** Show the last request as a command for a POSIX shell, and let it be copied. */
export function showCurl(model, file, isDemo) {
  byId("curl-command").textContent = command(model, file, isDemo);
  byId("curl-copy").onclick = copy;
  byId("curl").hidden = false;
}

function command(model, file, isDemo) {
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const source = isDemo ? `curl -sS ${quote(location.origin + model.demo)} | ` : "";
  const body = isDemo ? "@-" : `@${quote(file.name)}`;
  const header = quote(`Content-Type: ${contentType(file)}`);
  return `${source}curl -sS -H ${header} --data-binary ${body} ${quote(location.origin + predictPath(model))}`;
}

async function copy() {
  const code = byId("curl-command");
  const button = byId("curl-copy");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    // Over plain HTTP a page may not write to the clipboard.
    getSelection().selectAllChildren(code);
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => (button.textContent = "Copy as curl"), 3000);
}
