"""How a package runs: with how many threads, in which sessions, and at which batch sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.cpu import usable_cpus
from models.package import INPUT
from service.inference.plans import FILE_NAME as TUNING_FILE
from service.inference.plans import Plan, Tuned, Tuning, default_plan, read_tuning
from service.inference.providers import CPU, Options, open_session, with_defaults
from service.settings import Settings


@dataclass(frozen=True)
class Execution:
    """What the settings say of running a package."""

    provider: str
    """``auto``, or names of execution providers in fall-back order, separated by commas."""
    threads: int
    """CPU threads of a run."""
    largest_batch: int = 1
    """Most images that run at once."""
    tf32: bool = False
    """Whether a GPU may round the factors of convolutions to TF32."""
    options: Options = field(default_factory=dict)
    """More options of the execution providers."""
    streams: int = 1
    """Most runs of a package beside each other on the CPU, if no tuning file says; 0: as many as threads."""
    tuning: Tuning | None = None
    """What was measured on this machine."""

    def tuned(self, digest: str) -> Tuned | None:
        """What was measured for a package."""
        return self.tuning.models.get(digest) if self.tuning else None

    def plan(self, tuned: Tuned | None, active: str) -> Plan:
        """How a package runs on the provider that took it."""
        if tuned is not None and tuned.provider == active:
            return tuned.plan
        return default_plan(self.threads, streams=self.streams, largest_batch=self.largest_batch, on_cpu=active == CPU)


def execution_of(settings: Settings) -> Execution:
    """What these settings and the tuning file say; threads left open are the CPUs that this process may use.

    Raises:
        TuningError: if the tuning file can't be used.
    """
    threads = settings.threads or usable_cpus()
    return Execution(
        settings.provider,
        threads,
        settings.max_batch_size,
        tf32=settings.tf32,
        options=settings.provider_options,
        streams=settings.streams,
        tuning=None if settings.streams else read_tuning(settings.model_repository / TUNING_FILE, threads),
    )


def create_session(content: bytes, execution: Execution) -> onnxruntime.InferenceSession:
    """Load a package's bytes into a session; ``provider_of`` says where it really runs.

    Raises:
        Exception: ONNX Runtime's own, which have no common base, if it can't load them.
        ProviderError: if none of the wanted providers is installed or takes the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = execution.threads
    options.inter_op_num_threads = 1
    # Spinning threads would take the CPUs from the threads that decode the next images, and from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    own = with_defaults(execution.options, threads=execution.threads, tf32=execution.tf32)
    return open_session(content, options, execution.provider, own)


def fixed_sizes(largest: int) -> list[int]:
    """The batch sizes that a GPU runs: 1, 4, 16 and so on below the largest, and the largest.

    A GPU is not full with a batch of this service's size, so filling up the next size costs it little.
    """
    sizes = []
    size = 1
    while size < largest:
        sizes.append(size)
        size *= 4
    return [*sizes, largest]


class FixedBatches:
    """Runs a package at a few batch sizes, in a session for each.

    ONNX Runtime plans every convolution on a GPU anew whenever a session sees another batch size than in its last run:
    on an H100, 380 ms for an SRM-ResNet-18 whose run takes 2 ms (EXPERIMENTS.md, "Serving on a GPU"). A session that
    always sees the same size keeps its plan.
    """

    def __init__(self, sessions: Mapping[int, onnxruntime.InferenceSession], names: Sequence[str]) -> None:
        self.sessions = dict(sorted(sessions.items()))
        self.names = list(names)

    def run(self, images: NDArray[np.uint8]) -> list[Any]:
        """Run images (N, H, W, C), black ones added up to the next size, and return the package's outputs for N."""
        count = len(images)
        size = next(size for size in self.sessions if size >= count)
        if size > count:
            images = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), np.uint8)])
        return [values[:count] for values in self.sessions[size].run(self.names, {INPUT: images})]
