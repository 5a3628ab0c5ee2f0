"""``python -m service tune``: measure, show the curve, write the tuning file."""

from pathlib import Path

import onnxruntime
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from service.inference.errors import UnknownModelError
from service.inference.execution import execution_of
from service.inference.plans import FILE_NAME, Tuned, Tuning, TuningError, in_words, processor, read_tuning
from service.settings import Settings
from service.tuning import newest, tune


def tune_models(settings: Settings, *, only: str | None, seconds: float, output: Path | None) -> None:
    """Measure the newest version of one model or of each, and write the file. What it says of others stays.

    Raises:
        UnknownModelError: if the repository has no such model.
        TuningError: if the file can't be written.
    """
    found = newest(settings.model_repository)
    if not found or (only is not None and only not in found):
        raise UnknownModelError(
            f"There is no model {only or ''!r} in {settings.model_repository}; there are: {', '.join(found) or 'none'}"
        )
    execution = execution_of(settings.model_copy(update={"streams": 1}))
    path = output or settings.model_repository / FILE_NAME
    before = read_tuning(path, execution.threads)
    models = dict(before.models) if before else {}
    console, stderr = Console(), Console(stderr=True)
    for name, package in found.items():
        if only in (None, name):
            with Progress(console=stderr, disable=not stderr.is_terminal, transient=True) as progress:
                progress.add_task(f"measure {name}", total=None)
                digest, tuned = tune(package, execution, seconds)
            models[digest] = tuned
            console.print(table(tuned))
            console.print(f"Plan of {name}: {in_words(tuned.plan)}.", soft_wrap=True)
    tuning = Tuning(
        processor=processor(), threads=execution.threads, onnxruntime=onnxruntime.__version__, models=models
    )
    try:
        path.write_text(tuning.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise TuningError(f"{path} can't be written ({error.strerror}): name another file with --output") from None
    console.print(f"Wrote {path}. The service reads it at its start.", soft_wrap=True)


def table(tuned: Tuned) -> Table:
    """The curve."""
    shown = Table(title=f"{tuned.name}, version {tuned.version}, on {tuned.provider}")
    for heading in ("runs at once", "threads of a run", "images in a run", "images/s", "ms a run"):
        shown.add_column(heading, justify="right")
    for point in tuned.curve:
        shown.add_row(
            str(point.streams),
            str(point.threads),
            str(point.batch),
            f"{point.images_per_second:.1f}",
            f"{point.run_ms:.1f}",
        )
    return shown
