import { save } from "../exports.js";
import { finding } from "../format.js";
import { ownLabel } from "./labels.js";
import { npz } from "./npz.js";

/**
 * Save the gates of all images, one file for each model and version, since each has other gates. In it: `gates`
 * float32 (N, C), `blocks` and `channels` (int32) that name the C columns; for each image `files`, `findings` and
 * `own_labels` ("" if there is none); `model`, `version` and `digest`, one string each.
 */
export function downloadGates(items, tables) {
  for (const [, group] of Map.groupBy(items, ({ answer }) => answer.model.digest)) {
    const { name, version } = group[0].answer.model;
    save(`gates-${name}-${version}.npz`, new Blob([gatesFile(group, tables)], { type: "application/octet-stream" }));
  }
}

function gatesFile(items, tables) {
  const weights = items.map(({ answer }) => answer.predictions[0].recalibration_weights ?? {});
  const columns = Object.entries(weights[0]).flatMap(([block, gates]) => gates.map((_, channel) => ({ block, channel })));
  const { model } = items[0].answer;
  const gates = Float32Array.from(weights.flatMap((blocks) => Object.values(blocks).flat()));
  return npz({
    gates: { values: gates, shape: [items.length, columns.length] },
    blocks: { values: columns.map(({ block }) => block) },
    channels: { values: Int32Array.from(columns, ({ channel }) => channel) },
    files: { values: items.map(({ name }) => name) },
    findings: { values: items.map(({ answer }) => finding(answer.predictions[0])) },
    own_labels: { values: items.map((item) => ownLabel(item, tables).given ?? "") },
    model: { values: [model.name] },
    version: { values: [model.version] },
    digest: { values: [model.digest] },
  });
}
