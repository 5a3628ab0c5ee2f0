"""Predictions without a server: files in, JSON or CSV out. The answers are the same."""

import asyncio
import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from service import NOTICE
from service.file_names import readable
from service.http.answers import Weights, identity, prediction
from service.inference.errors import UnknownModelError, UnusableImageError
from service.inference.execution import Execution
from service.inference.predictor import Predictor
from service.inference.repository import Repository
from service.inference.runtime import Model
from service.observing.metrics import Metrics
from service.settings import Settings
from service.storage.mirror import mirror_of


class Failure(NamedTuple):
    """A file without a prediction, and why."""

    file: str
    reason: str


def choose(settings: Settings, execution: Execution, name: str | None, version: str | None) -> Model:
    """Load the model that somebody asks for: by default the only one, in its highest version. Copy it from its store.

    Raises:
        UnknownModelError: if there is none of this name or version, or several and no name.
        PackageError: if it is not usable, or can't be copied.
    """
    mirror_of(settings)
    loaded = Repository.load(settings.model_repository, execution, only=name)
    if name is None and len(loaded.models) > 1:
        raise UnknownModelError(f"Say which model: --model {' or --model '.join(loaded.models)}")
    return loaded.get(name or next(iter(loaded.models)), version)


def predict_files(
    model: Model,
    files: Iterable[Path],
    settings: Settings,
    *,
    frame: int | None = None,
    weights: Weights,
    activation_map: bool,
) -> Iterator[dict[str, Any] | Failure]:
    """Yield a prediction, or the reason why there is none, for each file in order."""
    alone = settings.model_copy(update={"batch_delay_ms": 0.0})  # files come one by one: no batch to wait for
    with asyncio.Runner() as runner, closing(Predictor(alone, Metrics())) as predictor:
        predictor.add(model)
        for file in files:
            try:
                [(image, outputs)] = runner.run(predictor.predict(model, [file.read_bytes()], frame))
            except UnusableImageError as error:
                yield Failure(readable(file), str(error))
                continue
            except OSError as error:
                reason = f"The file can't be read ({error.strerror}): check its name and its rights."
                yield Failure(readable(file), reason)
                continue
            yield prediction(
                model.card,
                image,
                outputs,
                file=readable(file),
                weights=weights,
                activation_map=activation_map,
                abstain=settings.style_shift == "abstain",
            )


def write(model: Model, predictions: list[dict[str, Any]], output: Literal["csv", "json"]) -> str:
    """Write predictions as the JSON of the API, or as CSV with one column per class."""
    if output == "json":
        content = {"model": identity(model), "notice": NOTICE, "predictions": predictions}
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_INDENT_2).decode()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    several = model.card.task == "multi-label"
    shifts = model.card.style is not None
    scoped = model.card.scope is not None
    columns = [*(["style_verdict", "style_shift"] if shifts else []), *(["scope"] if scoped else [])]
    writer.writerow(["file", *columns, "label", "probability", *(["present"] if several else []), *model.card.labels])
    for row in predictions:
        facts = [row["style_shift"]["verdict"], f"{row['style_shift']['score']:.3f}"] if shifts else []
        facts += [row["scope"]["verdict"] if row["scope"] else ""] if scoped else []
        if row["label"] is None:
            writer.writerow([row["file"], *facts, *[""] * (2 + several + len(model.card.labels))])
            continue
        values = [f"{entry['probability']:.6f}" for entry in row["probabilities"]]
        found = [";".join(row["present"])] if several else []
        writer.writerow([row["file"], *facts, row["label"], f"{row['probability']:.6f}", *found, *values])
    return text.getvalue().rstrip("\n")
