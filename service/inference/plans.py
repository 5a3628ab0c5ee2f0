"""How the runs of a model share the CPUs: one on all of them, or streams beside each other.

One run on all CPUs is the shortest way for a lone image. Several runs of a thread each answer more images a second,
because a run loses time wherever its threads wait for each other. ``python -m service tune`` measures both.
"""

import logging
import platform
from pathlib import Path
from typing import Annotated

import onnxruntime
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.wording import described

logger = logging.getLogger(__name__)
FILE_NAME = "tuning.json"
STREAM_BATCH = 4
"""Images in a run of a stream, unless a measured curve says otherwise: more gain little and wait for each other."""
Positive = Annotated[int, Field(ge=1)]


class TuningError(ValueError):
    """A tuning file that can't be used. The text says what to do."""


class Plan(BaseModel):
    """How a model runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: Positive
    """CPU threads of a run that has the CPUs to itself."""
    streams: Positive = 1
    """Most runs beside each other. With 1 every run has the CPUs to itself."""
    stream_threads: Positive = 1
    """CPU threads of a run beside others."""
    batch: Positive = STREAM_BATCH
    """Most images in a run."""
    streams_from: Positive = 1
    """Images in work and waiting from which runs go beside each other. Below it a run has the CPUs to itself."""


class Measurement(BaseModel):
    """One point of the curve."""

    streams: Positive
    threads: Positive
    batch: Positive
    images_per_second: float
    run_ms: float
    """The median time of a run."""


class Tuned(BaseModel):
    """What was measured for a package."""

    name: str
    version: str
    provider: str
    plan: Plan
    curve: list[Measurement]


class Tuning(BaseModel):
    """The tuning file: the machine, and each package by its digest."""

    processor: str
    threads: Positive
    """CPUs that the measurement could use."""
    onnxruntime: str
    models: dict[str, Tuned] = {}

    def fits(self, threads: int) -> str | None:
        """Return how this machine differs from the measured one, or None if it does not."""
        here = {"processor": processor(), "threads": threads, "onnxruntime": onnxruntime.__version__}
        differences = [
            f"{name} {getattr(self, name)}, here {value}"
            for name, value in here.items()
            if getattr(self, name) != value
        ]
        return "; ".join(differences) or None


def default_plan(threads: int, *, streams: int, largest_batch: int, on_cpu: bool) -> Plan:
    """The plan of a package that nobody measured here. Off the CPU there is one run at a time, of large batches.

    Args:
        threads: CPUs to use.
        streams: Most runs beside each other; 0 for as many as ``threads``.
        largest_batch: Most images in a run.
        on_cpu: Whether the package runs on the CPU.
    """
    if not on_cpu:
        return Plan(threads=threads, batch=largest_batch)
    streams = streams or threads
    return Plan(threads=threads, streams=streams, batch=min(STREAM_BATCH, largest_batch), streams_from=streams)


def in_words(plan: Plan) -> str:
    """A plan for a log or a terminal."""
    alone = f"one run at a time on {threads_in_words(plan.threads)}"
    if plan.streams == 1:
        return f"{alone}, of up to {plan.batch} images"
    beside = f"up to {plan.streams} runs at once, each on {threads_in_words(plan.stream_threads)}"
    return f"{alone}; from {plan.streams_from} images in work on, {beside} and of up to {plan.batch} images"


def threads_in_words(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def read_tuning(path: Path, threads: int) -> Tuning | None:
    """Read a tuning file; None if there is none, or if it was measured on another machine, which is logged.

    Raises:
        TuningError: if it is not a tuning file.
    """
    try:
        tuning = Tuning.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        reason = "; ".join(described(error.errors(), got=repr)) if isinstance(error, ValidationError) else str(error)
        raise TuningError(
            f"{path} is not a tuning file ({reason}): delete it, or run `python -m service tune`"
        ) from None
    if (difference := tuning.fits(threads)) is not None:
        logger.warning("%s is not used, because it was measured elsewhere (%s); run `tune` here", path, difference)
        return None
    return tuning


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
