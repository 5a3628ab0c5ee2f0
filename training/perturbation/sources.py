"""What is measured on changed images: the network of a run, or a package."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import torch

from models.card import InputSpec
from models.package import INPUT, read_card
from models.style_shift import styles_of
from training.datasets import DataSet
from training.errors import TrainingError
from training.evaluation.evaluate import RESAMPLES, log_opening, make_ready
from training.files import sha256
from training.perturbation.figures import Perturbations
from training.perturbation.measure import Answers, Model, Pixels, measure
from training.run import Run

Split = Literal["val", "test"]
Advance = Callable[[int], None]


def perturb_run(run: Run, split: Split, advance: Advance = lambda _: None) -> Perturbations:
    """Measure a run's network, as its evaluation does; an opening of the test split is logged before it happens."""
    recipe, facts = run.recipe(), run.facts()
    data, network, reference, _, calibrator = make_ready(run)
    device = next(network.parameters()).device

    @torch.inference_mode()
    def answers(pixels: Pixels) -> Answers:
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device).float()
        explanation = network.explain(facts.normalisation(images / 255))
        styles = [style.cpu() for style in styles_of(images, explanation)]
        logits = explanation.logits.double().cpu().numpy()
        return Answers(calibrator(logits), reference.module(styles)[0].double().numpy())

    if split == "test":
        log_opening(run, data)
    digest = sha256(run.checkpoint(recipe.checkpoint))
    return found(answers, data, split, facts.input, reference.reference.usual_up_to, digest, advance)


def perturb_package(package: Path, data: DataSet, split: Split, advance: Advance = lambda _: None) -> Perturbations:
    """Measure a package, by its own calibration and style reference.

    Raises:
        TrainingError: if it has no style reference, or other labels than the data.
    """
    session = onnxruntime.InferenceSession(package, providers=["CPUExecutionProvider"])
    card = read_card(session)
    if card.style is None:
        raise TrainingError(f"{package} has no style reference: add one with `python -m training.style.add`")
    if card.labels != data.labels or (card.task == "multi-label") != data.multi_label:
        raise TrainingError(
            f"{package} knows {', '.join(card.labels)}, and {data.name} has {', '.join(data.labels)}: name the recipe "
            "that reads the package's own data with --recipe"
        )

    def answers(pixels: Pixels) -> Answers:
        probabilities, shift = session.run(["probabilities", "style_shift"], {INPUT: pixels})
        return Answers(probabilities.astype(np.float64), shift.astype(np.float64))

    return found(answers, data, split, card.input, card.style.usual_up_to, sha256(package), advance)


def found(
    model: Model, data: DataSet, split: Split, spec: InputSpec, usual_up_to: float, digest: str, advance: Advance
) -> Perturbations:
    measured = measure(model, data.splits[split], spec, usual_up_to, resamples=RESAMPLES, advance=advance)
    origin = {"data": data.name, "md5": data.md5, "split": split, "weights": digest}
    return Perturbations.model_validate(origin | measured)
