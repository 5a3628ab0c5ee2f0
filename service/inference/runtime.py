"""A model package in ONNX Runtime: the session, its provider, and running a batch."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.card import Card
from models.package import INPUT, OUTPUTS, PackageError, digest, read_card
from service.inference.package_checks import check_answers, check_file

logger = logging.getLogger(__name__)
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class ProviderError(RuntimeError):
    """The execution provider in the settings is not available."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model for N images."""

    probabilities: NDArray[np.float32]
    """(N, K)"""
    recalibration_weights: NDArray[np.float32]
    """(N, all gates)"""
    class_activation: NDArray[np.float32]
    """(N, K, h, w)"""

    def row(self, index: int) -> "Outputs":
        """The outputs of one image, without the batch axis."""
        return Outputs(self.probabilities[index], self.recalibration_weights[index], self.class_activation[index])


@dataclass(frozen=True)
class Model:
    """A loaded package."""

    version: str
    digest: str
    card: Card
    provider: str
    session: onnxruntime.InferenceSession = field(repr=False)

    @property
    def name(self) -> str:
        return self.card.name

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Run images (N, H, W, C). Called from a worker thread; it releases the interpreter lock."""
        return Outputs(*self.session.run(list(OUTPUTS), {INPUT: images}))


def load_model(path: Path, *, version: str, provider: Literal["auto", "cpu", "cuda"], threads: int) -> Model:
    """Load a package, check it and run it for the first time.

    Raises:
        PackageError: if the file is not a usable package; :mod:`service.inference.package_checks` has the rules.
        ProviderError: if a forced provider can't run the model.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PackageError(f"{path} can't be read: {error}") from error
    check_file(path, content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take the CPUs from the threads that decode the next images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    wanted = providers(provider)
    if CUDA in wanted:
        onnxruntime.preload_dlls()  # finds the CUDA libraries that pip installed, if the system has none
    try:
        session = onnxruntime.InferenceSession(content, options, providers=wanted)
    except Exception as error:  # the exceptions of ONNX Runtime have no common base
        raise PackageError(f"{path} can't be loaded: {error}") from error
    active = session.get_providers()[0]
    if provider == "cuda" and active != CUDA:
        raise ProviderError(
            f"RETINA_PROVIDER=cuda, but ONNX Runtime could not start CUDA and offers {active}: check the GPU, its "
            "driver and the CUDA libraries, or set RETINA_PROVIDER=auto"
        )
    try:
        card = read_card(session)
    except PackageError as error:
        raise PackageError(f"{path}: {error}") from None
    model = Model(version, digest(content), card, active, session)
    check_answers(path, card, lambda images: session.run(list(OUTPUTS), {INPUT: images}))
    return model


def providers(wanted: Literal["auto", "cpu", "cuda"]) -> list[str]:
    """Providers to ask ONNX Runtime for, the preferred one first."""
    available = onnxruntime.get_available_providers()
    if wanted == "cpu" or (wanted == "auto" and CUDA not in available):
        return [CPU]
    if CUDA not in available:
        raise ProviderError(
            "RETINA_PROVIDER=cuda, but the installed ONNX Runtime has no CUDA: install onnxruntime-gpu in place of "
            "onnxruntime (see Docker in README.md), or set RETINA_PROVIDER=auto"
        )
    return [CUDA, CPU]
