"""Export a run as a model package: one ONNX file, verified against PyTorch, with its card inside."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from models.card import Card, InputSpec, Precision
from models.fold import fold
from models.package import INPUT, STYLE_OUTPUTS, PackageError, package_path, read_card, write_card
from models.verification import Parity, Quantisation
from training.data.pipeline import MEASURED, spread
from training.device import choose_device
from training.errors import TrainingError
from training.evaluation.evaluate import calibrate, read_same_data
from training.evaluation.predict import predict
from training.packaging.calibration_section import calibration_section
from training.packaging.compose_card import compose_card
from training.packaging.graph import PackagedNetwork
from training.packaging.int8.quantise import quantise
from training.run import Run
from training.style.reference import fit_reference

OPSET = 20
REGISTRATION = "torch.onnx._internal.exporter._registration"
INT8_LIMIT = (
    "The convolutions of this package are in 8 bits. Its results, calibration, prediction sets and style thresholds "
    "were measured with the float32 network; quantisation says how the answers differ on the validation split."
)
PARITY_BATCHES = (1, 2, 7, 32)
PARITY_TOLERANCE = 1e-4
STYLE_TOLERANCE = 1e-3
"""Of the style shift, which has no upper bound: relative to its value where that is above 1."""


def export(
    run: Run,
    repository: Path,
    *,
    name: str | None = None,
    version: str = "1",
    precision: Precision = "float32",
    overwrite: bool = False,
) -> Path:
    """Write a run's network into a model repository and return the package's path.

    The file gets its name only after it agrees with PyTorch and the card is complete. An INT8 package is a model of its
    own, whose name ends in ``-int8``, beside the float32 one.

    Raises:
        TrainingError: if the version is there already and ``overwrite`` is not given, the run has no test evaluation
            yet, the card is incomplete, or an output differs from PyTorch's by more than 1e-4, or 8 bits change the
            answers on the validation split too much.
    """
    recipe, facts = run.recipe(), run.facts()
    if "test" not in run.metrics():
        raise TrainingError(f"{run.folder} has no figures on the test split: run `python -m training evaluate` first")
    try:
        name = (name or recipe.name) + ("-int8" if precision == "int8" else "")
        target = package_path(repository, name, version)
    except PackageError as error:
        raise TrainingError(str(error)) from None
    if target.exists() and not overwrite:
        raise TrainingError(
            f"{target} is there already: add --version {next_version(target.parents[1])}, or --overwrite to replace it"
        )
    data = read_same_data(run)
    network = run.network(recipe.checkpoint).to(choose_device(recipe.device))
    validation = predict(network, data.splits["val"], facts)
    train = predict(network, spread(data.splits["train"], MEASURED), facts)  # for the gates' usual values
    shift = fit_reference(network, data, facts)
    network.cpu()
    calibrator = calibrate(recipe, data, validation)
    temperature, prior_shift = calibrator.temperature, calibrator.log_prior_shift.tolist()
    calibration = calibration_section(
        calibrator,
        validation.logits,
        validation.labels,
        [item.group for item in data.splits["val"]],
        fitted=recipe.calibration.temperature,
    )
    packaged, reference = (
        PackagedNetwork(
            each,
            facts.normalisation,
            temperature,
            prior_shift,
            multi_label=data.multi_label,
            style_shift=shift.module,
        )
        for each in (fold(network), network)
    )
    write_package(
        target,
        packaged,
        reference,
        facts.input,
        lambda _, parity: compose_card(run, facts, calibration, train, shift.reference, parity, name, version),
        None if precision == "float32" else lambda draft: quantise(draft, data, facts.input, shift.reference),
    )
    return target


def next_version(model: Path) -> int:
    """One more than the highest version in a model's folder."""
    return 1 + max((int(path.name) for path in model.iterdir() if path.name.isdecimal()), default=0)


def write_package(
    target: Path,
    packaged: PackagedNetwork,
    reference: nn.Module,
    spec: InputSpec,
    card_of: Callable[[Path, Parity], Card],
    quantised: Callable[[Path], Quantisation] | None = None,
) -> None:
    """Write a package whose graph agrees with ``reference``; the file gets its name only when it is complete.

    ``card_of`` gives the card from the draft and its parity, or raises if the draft shall not become a package.
    ``quantised`` then replaces the draft by an INT8 graph and gives what that changed, or raises.

    Raises:
        TrainingError: as :func:`verify_parity`.
        PackageError: if the card contradicts the graph.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".draft.onnx")
    try:
        write_graph(packaged, spec, draft)
        card = card_of(draft, verify_parity(draft, reference, spec))
        if quantised is not None:
            limits = [*card.limits, INT8_LIMIT]
            card = card.model_copy(update={"quantisation": quantised(draft), "limits": limits})
        write_card(draft, card)
        read_card(onnxruntime.InferenceSession(draft, providers=["CPUExecutionProvider"]))
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def write_graph(packaged: PackagedNetwork, spec: InputSpec, path: Path) -> None:
    """Write the ONNX graph with a dynamic batch size."""
    example = torch.zeros((2, spec.height, spec.width, spec.channels), dtype=torch.uint8)
    # Without gradients, since the style shift's tensors were made in inference mode: at them the exporter's first and
    # faster way of capturing the graph would fail.
    with torch.no_grad(), warnings.catch_warnings(), redirect_stdout(io.StringIO()), torchvision_not_missed():
        warnings.simplefilter("ignore")  # warnings of the exporter about its internals
        program = torch.onnx.export(
            packaged.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(packaged.output_names),
            dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
        )
    assert program is not None
    program.save(path, external_data=False)
    forget_origin(path)


@contextmanager
def torchvision_not_missed() -> Iterator[None]:
    """Leave out the exporter's warnings that torchvision's operators are not there: no network of ours has any."""
    logger = logging.getLogger(REGISTRATION)

    def other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("torchvision is not installed")

    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def forget_origin(path: Path) -> None:
    """Remove the stack trace of each node that the exporter adds, since it contains paths of the machine."""
    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def verify_parity(path: Path, reference: nn.Module, spec: InputSpec) -> Parity:
    """Compare an ONNX file with PyTorch on noise and on flat images, at several batch sizes, output by output."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    names = [output.name for output in session.get_outputs()]
    worst = dict.fromkeys(names, 0.0)
    for batch in PARITY_BATCHES:
        shape = (batch, spec.height, spec.width, spec.channels)
        images: NDArray[np.uint8] = random.integers(0, 256, shape, dtype=np.uint8)
        images[batch // 2] = random.integers(0, 256)
        with torch.inference_mode():
            expected = reference.eval()(torch.from_numpy(images))
        for name, ours, theirs in zip(names, session.run(None, {INPUT: images}), expected, strict=True):
            if ours.shape != tuple(theirs.shape):
                raise TrainingError(
                    f"export failed: {name} is {ours.shape} in ONNX and {tuple(theirs.shape)} in PyTorch"
                )
            if ours.size:
                difference = difference_of(name, ours, theirs.numpy())
                worst[name] = float(np.maximum(worst[name], difference))  # unlike max(), it keeps a NaN
    for name, found in worst.items():
        allowed = STYLE_TOLERANCE if name in STYLE_OUTPUTS else PARITY_TOLERANCE
        if not found <= allowed:
            raise TrainingError(
                f"export failed: {name} differs from PyTorch by {found:.2g}, more than {allowed:g}: "
                "no package was written"
            )
    return Parity(batch_sizes=list(PARITY_BATCHES), worst_difference=worst, opset=OPSET)


def difference_of(name: str, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> np.floating:
    """The largest difference of an output; of the style shift, relative to its value where that is above 1."""
    differences = np.abs(ours - theirs)
    if name in STYLE_OUTPUTS:
        differences = differences / np.maximum(np.abs(theirs), 1)
    return differences.max()
