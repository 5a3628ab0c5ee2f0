import { readCard } from "./api.js";
import { useEffect, useState } from "./html.js";

/**
 * For a model, another one whose demo image it is not made for, as both cards say it: their kinds of image differ.
 *
 * @returns {?{model, modality}} the other model and its kind of image; null where there is none, or while it is not known
 */
export function useForeignDemo(models, chosen) {
  const [found, setFound] = useState(null);
  const name = chosen?.model.name;
  useEffect(() => {
    let current = true;
    setFound(null);
    if (name)
      Promise.all(models.map((model) => modality(model))).then((kinds) => {
        const own = kinds[models.findIndex((model) => model.name === name)];
        const at = kinds.findIndex((kind, i) => own && kind && kind !== own && models[i].demo);
        if (current && at >= 0) setFound({ model: models[at], modality: kinds[at] });
      });
    return () => (current = false);
  }, [models, name]);
  return found;
}

const modality = ({ name, version }) =>
  readCard(name, version).then(
    (card) => card.scope?.modality ?? null,
    () => null,
  );
