"""Prediction sets by split conformal prediction: labels enough to hold the right one in, say, 90 % of new images.

The score of an image is 1 - p(its true class), that of LAC (Sadinle, Lei, Wasserman: "Least Ambiguous Set-Valued
Classifiers with Bounded Error Levels", JASA 2019): it gives smaller sets than APS and RAPS at the same coverage
(EXPERIMENTS.md). The threshold is the finite-sample quantile of the validation images' scores, weighted in two ways:

- each patient weighs one, shared by the patient's images (Lee, Barber, Willett: "Distribution-Free Inference with
  Hierarchical Data", JRSS B 2025), since exchangeable are the patients and not their images;
- each class weighs as it will be met, where the target prior is not the training one (Podkopaev, Ramdas:
  "Distribution-Free Uncertainty Quantification for Classification under Label Shift", UAI 2021).

With one image a patient and no shift it is the plain quantile, the ceil((n + 1) * coverage)-th smallest score. The
temperature is fitted on the same images, so the guarantee is not exact: in simulation coverage fell .2 points short at
120 images, and halving the split to avoid that makes the coverage vary 1.4 times as much from run to run.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.datasets import DataSet
from training.evaluation.bootstrap import Weights, interval
from training.evaluation.calibration import Calibrator
from training.evaluation.metrics import Labels, Probabilities
from training.evaluation.predict import NetworkOutputs
from training.recipe import Recipe


class PredictionSets(NamedTuple):
    """Which labels go into an image's set: all that reach their threshold, and always the most probable one."""

    coverage: float
    thresholds: NDArray[np.float64]
    """(K,), a probability for each label; 0 where there were too few images to leave the label out at all."""
    calibrated_on: str
    guarantee: str

    def __call__(self, probabilities: Probabilities) -> NDArray[np.bool_]:
        """Return (N, K), whether the label is in the image's set."""
        top = np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]
        return (probabilities >= self.thresholds) | top


def fit_prediction_sets(
    recipe: Recipe, data: DataSet, calibrator: Calibrator, validation: NetworkOutputs
) -> PredictionSets | None:
    """Fit the recipe's prediction sets on the validation split; None where it asks for none.

    Multi-label tasks have none: each label has a probability of its own, and no label excludes another.
    """
    coverage = recipe.calibration.coverage
    if coverage is None or recipe.task not in ("multi-class", "ordinal"):
        return None
    items = data.splits["val"]
    groups = [item.group for item in items]
    patients = len(set(groups))
    shifted = recipe.calibration.target_prior != "train"
    thresholds = lac_thresholds(
        calibrator(validation.logits),
        validation.labels,
        groups,
        coverage=coverage,
        class_weight=calibrator.target_prior / data.prior("val") if shifted else np.ones(len(data.labels)),
    )
    by_patient = patients < len(items)
    of_whom = " of new patients" if by_patient else ""
    population = ", with the classes as frequent as the target prior says" if shifted else ""
    return PredictionSets(
        coverage=coverage,
        thresholds=thresholds,
        calibrated_on=f"validation split, {len(items)} images" + (f" of {patients} patients" if by_patient else ""),
        guarantee=f"The set holds the right label for {100 * coverage:g} % or more of new images{of_whom} that come "
        f"from where the validation images came from{population}: on average, not for each class or group. Nearly so, "
        "since the temperature was fitted on the same images.",
    )


def lac_thresholds(
    probabilities: Probabilities,
    labels: Labels,
    groups: Sequence[str],
    *,
    coverage: float,
    class_weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The smallest probability (K,) with which each label is still in the set.

    Args:
        probabilities: of the validation images, (N, K).
        labels: (N,)
        groups: the patient of each image.
        coverage: the part of new images whose set shall hold the true label.
        class_weight: how much more frequent each class will be than here, (K,).
    """
    _, group_of, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    weight = class_weight[labels] / sizes[group_of]
    given = probabilities[np.arange(len(labels)), labels]
    order = np.argsort(-given, kind="stable")  # the smallest score, 1 - given, first
    reached = np.cumsum(weight[order])
    # A new image of class k weighs class_weight[k] and its score may be anything: as if it were infinite.
    wanted = coverage * (reached[-1] + class_weight)
    place = np.searchsorted(reached, wanted - 1e-9 * wanted)
    # Not 1 - score: rounded, it can exceed the probability, and then its own image would be outside its set.
    return np.append(given[order], 0.0)[place]


def measure_sets(
    sets: PredictionSets,
    probabilities: Probabilities,
    labels: Labels,
    names: Sequence[str],
    prior: NDArray[np.float64],
    weights: Weights | None,
) -> dict[str, Any]:
    """Coverage and size of the sets on a split, with intervals from the resamples' weights; see docs/evaluation.md."""
    members = sets(probabilities)
    size, hit = members.sum(axis=1), members[np.arange(len(labels)), labels]

    def mean(values: NDArray[Any], of: NDArray[np.bool_] | None = None) -> dict[str, Any]:
        """The mean over the images, or those of a class."""
        here = np.ones(len(labels), dtype=bool) if of is None else of
        drawn = None if weights is None else weights @ (values * here) / (weights @ here)
        return {"value": float(values[here].mean()), "interval": None if drawn is None else interval(drawn)}

    by_class = {name: mean(hit, labels == k) | {"images": int((labels == k).sum())} for k, name in enumerate(names)}
    sizes, counts = np.unique(size, return_counts=True)
    return {
        "method": "lac",
        "coverage_wanted": sets.coverage,
        "thresholds": dict(zip(names, sets.thresholds.tolist(), strict=True)),
        "calibrated_on": sets.calibrated_on,
        "guarantee": sets.guarantee,
        "coverage": mean(hit),
        "coverage_at_target_prior": float(prior @ [row["value"] for row in by_class.values()]),
        "class_coverage": by_class,
        "mean_set_size": mean(size),
        "set_sizes": {str(labels_in): int(images) for labels_in, images in zip(sizes, counts, strict=True)},
    }
