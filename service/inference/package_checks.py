"""Checks of a package before it is served, at start and at every reload.

A package contains no sample with its expected outputs. So only the export verifies that it agrees with PyTorch, and the
card states the result. The checks here are: the file is complete and has the expected digest, it needs only standard
operators, its card and graph agree, and its outputs are those of a classifier.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.card import Card
from models.package import PackageError, digest
from service.inference.onnx_file import OnnxFileError, read_needs

LOWEST_OPSET = 20
DIGEST_SUFFIX = ".sha256"
TOLERANCE = 1e-3
CHECKED = 2
"""Images that a package runs together in its check."""
BATCH_TOLERANCE = 1e-2  # far above the differences of TF32 between batch sizes, far below those between images

Arrays = Sequence[NDArray[np.float32]]


def digest_path(package: Path) -> Path:
    """Where the digest of a package may be: beside it, as ``sha256sum model.onnx > model.onnx.sha256`` writes it."""
    return package.with_name(package.name + DIGEST_SUFFIX)


def check_file(package: Path, content: bytes) -> None:
    """Check a package's bytes before ONNX Runtime gets them.

    Raises:
        PackageError: if they are truncated, differ from the digest beside them, or need an old opset, custom operators
            or data in other files.
    """
    stated = digest_path(package)
    if stated.is_file():
        words = stated.read_text(errors="replace").split()
        expected, found = (words[0] if words else "").lower(), digest(content).removeprefix("sha256:")
        if expected != found:
            raise PackageError(f"{package} has the SHA-256 {found}, but {stated.name} beside it says {expected!r}")
    try:
        needs = read_needs(content)
    except OnnxFileError as error:
        raise PackageError(f"{package} can't be loaded: {error}; copy it again, whole") from None
    if needs.opset is None or needs.opset < LOWEST_OPSET:
        raise PackageError(f"{package} is of opset {needs.opset}: a package needs {LOWEST_OPSET} or newer")
    if needs.custom_operators:
        raise PackageError(f"{package} uses operators that ONNX does not define: {', '.join(needs.custom_operators)}")
    if needs.external_tensors:
        shown = ", ".join(needs.external_tensors[:3])
        raise PackageError(f"{package} keeps values in other files ({shown}): a package is one file")


def check_answers(package: Path, card: Card, run: Callable[[NDArray[np.uint8]], Arrays]) -> None:
    """Run a package for the first time and check its outputs. This also warms it up.

    ``run`` takes images (N, H, W, C) and returns the outputs of the package. The images are noise: first two together,
    then the first alone. Its outputs must be the same.

    Raises:
        PackageError: if it fails, if an output has a wrong shape or a value that is not finite, if probabilities lie
            outside 0 to 1 or do not sum to 1, or if the outputs of an image depend on the others in its batch.
    """
    spec = card.input
    images = np.random.default_rng(0).integers(
        0, 256, (CHECKED, spec.height, spec.width, spec.channels), dtype=np.uint8
    )
    try:
        together, alone = run(images), run(images[:1])
    except Exception as error:  # the exceptions of ONNX Runtime have no common base
        raise PackageError(f"{package} does not run: {error}") from error
    rows: dict[str, tuple[int, ...]] = {
        "probabilities": (len(card.labels),),
        "recalibration_weights": (card.gates,),
        "style_shift": (),
    }
    if card.style is not None:
        rows["style_shift_by_block"] = (len(card.style.blocks),)
    for name, values, first in zip(card.outputs, together, alone, strict=True):
        row = rows.get(name, (len(card.labels), *values.shape[2:]))
        if (values.shape, first.shape) != ((CHECKED, *row), (1, *row)):
            raise PackageError(
                f"{package}: output {name} has the shape {values.shape} for two images, not {(CHECKED, *row)}"
            )
        if not np.isfinite(values).all():
            raise PackageError(f"{package}: output {name} holds values that are not finite")
        if not np.allclose(values[:1], first, rtol=BATCH_TOLERANCE, atol=BATCH_TOLERANCE):
            raise PackageError(f"{package}: output {name} of an image depends on the others in its batch")
    probabilities = together[0]
    if probabilities.min() < 0 or probabilities.max() > 1 + TOLERANCE:
        raise PackageError(f"{package}: probabilities lie outside 0 to 1")
    if card.task != "multi-label" and not np.allclose(probabilities.sum(axis=1), 1, atol=TOLERANCE):
        raise PackageError(f"{package}: the probabilities of an image sum to {probabilities.sum(axis=1)[0]:.4f}, not 1")
