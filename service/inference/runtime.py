"""A model package in ONNX Runtime: loading it, and running a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.card import Card
from models.package import INPUT, PackageError, digest, read_card
from service.inference.execution import Execution, FixedBatches, create_session, fixed_sizes
from service.inference.package_checks import CHECKED, check_answers, check_file
from service.inference.plans import Plan
from service.inference.providers import ON_NVIDIA, ProviderError, nodes_by_provider


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model for N images."""

    probabilities: NDArray[np.float32]
    """(N, K)"""
    recalibration_weights: NDArray[np.float32]
    """(N, all gates)"""
    class_activation: NDArray[np.float32]
    """(N, K, h, w)"""
    style_shift: NDArray[np.float32] | None = None
    """(N,); None of a package without a style reference."""
    style_shift_by_block: NDArray[np.float32] | None = None
    """(N, B)"""

    def row(self, index: int) -> "Outputs":
        """The outputs of one image, without the batch axis."""
        return Outputs(
            self.probabilities[index],
            self.recalibration_weights[index],
            self.class_activation[index],
            None if self.style_shift is None else self.style_shift[index],
            None if self.style_shift_by_block is None else self.style_shift_by_block[index],
        )


@dataclass(frozen=True)
class Model:
    """A loaded package."""

    version: str
    digest: str
    path: Path = field(repr=False)
    card: Card
    provider: str
    """The execution provider that really runs it."""
    nodes: dict[str, int] = field(repr=False)
    """Nodes of the graph by execution provider."""
    session: onnxruntime.InferenceSession = field(repr=False)
    outputs_of: Callable[[NDArray[np.uint8]], list[Any]] = field(repr=False)
    """From images (N, H, W, C) to the package's outputs."""
    plan: Plan
    beside: Callable[[NDArray[np.uint8]], list[Any]] = field(repr=False)
    """The same for a run beside others. With a plan of one stream nobody calls it."""

    @property
    def name(self) -> str:
        return self.card.name

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Run images (N, H, W, C). Called from a worker thread; it releases the interpreter lock."""
        return Outputs(*self.outputs_of(images))

    def run_beside(self, images: NDArray[np.uint8]) -> Outputs:
        """Run images (N, H, W, C) on the few threads of a run beside others, of which several may be called at once."""
        return Outputs(*self.beside(images))


def load_model(path: Path, *, version: str, execution: Execution) -> Model:
    """Load a package, check it and run it for the first time.

    Raises:
        PackageError: if the file is not a usable package; :mod:`service.inference.package_checks` has the rules.
        ProviderError: if none of the wanted providers runs the model.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PackageError(f"{path} can't be read: {error}") from error
    check_file(path, content)
    digested = digest(content)
    tuned = execution.tuned(digested)

    def create(threads: int) -> onnxruntime.InferenceSession:
        try:
            return create_session(content, replace(execution, threads=threads))
        except ProviderError:
            raise
        except Exception as error:  # ONNX Runtime's own exceptions have no common base
            raise PackageError(f"{path} can't be loaded: {error}") from error

    session = create(tuned.plan.threads if tuned else execution.threads)
    nodes = nodes_by_provider(session)
    active = next(iter(nodes))
    plan = execution.plan(tuned, active)
    try:
        card = read_card(session)
    except PackageError as error:
        raise PackageError(f"{path}: {error}") from None
    sizes = fixed_sizes(max(execution.largest_batch, CHECKED)) if active in ON_NVIDIA else []
    run = run_any_size(session, card.outputs)
    if sizes:
        run = FixedBatches({size: create(plan.threads) if size > 1 else session for size in sizes}, card.outputs).run
    check_answers(path, card, run)
    for size in sizes:  # the first run of each size plans its convolutions
        run(np.zeros((size, card.input.height, card.input.width, card.input.channels), np.uint8))
    beside = run
    if plan.streams > 1 and plan.stream_threads != plan.threads:
        beside = run_any_size(create(plan.stream_threads), card.outputs)
    return Model(version, digested, path, card, active, nodes, session, run, plan, beside)


def run_any_size(
    session: onnxruntime.InferenceSession, names: Sequence[str]
) -> Callable[[NDArray[np.uint8]], list[Any]]:
    """From images (N, H, W, C) to the outputs, in one session for every batch size, as suits a CPU."""

    def run(images: NDArray[np.uint8]) -> list[Any]:
        outputs: list[Any] = session.run(list(names), {INPUT: images})
        return outputs

    return run
