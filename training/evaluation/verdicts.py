"""What the style shift says of the images of a split, and whether its verdicts tell of mistakes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.card import StyleReference
from training.evaluation.bootstrap import Weights, with_intervals

VERDICTS = ("usual", "unusual", "unlike")
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)


def measure_verdicts(
    reference: StyleReference, shift: NDArray[np.float64], right: NDArray[np.bool_] | None, weights: Weights | None
) -> dict[str, Any]:
    """The share of each verdict and the accuracy where the style is usual and where it is not, with intervals.

    Args:
        reference: with the thresholds of the verdicts.
        shift: (N,), of the split's images.
        right: (N,), whether the most probable label is the true one; None of a multi-label task.
        weights: of resamples of the images, see :mod:`training.evaluation.bootstrap`.
    """
    verdicts = np.array([reference.verdict(float(value)) for value in shift])
    groups = {verdict: verdicts == verdict for verdict in VERDICTS}
    usual = {"usual": groups["usual"], "not_usual": ~groups["usual"]}
    shares = {name: share(has, np.ones(len(shift), bool), weights) for name, has in (groups | usual).items()}
    return {
        "usual_up_to": reference.usual_up_to,
        "unlike_beyond": reference.unlike_beyond,
        "false_alarm_rate": shares.pop("not_usual"),
        "share": shares,
        "quantiles": {f"{at:.2f}": float(np.quantile(shift, at)) for at in QUANTILES},
        "accuracy": None
        if right is None
        else {
            name: {"images": int(among.sum())} | share(right, among, weights)
            for name, among in usual.items()
            if among.any()
        },
    }


def share(has: NDArray[np.bool_], among: NDArray[np.bool_], weights: Weights | None) -> dict[str, Any]:
    """The part of the images ``among`` which a set counts that are in another, with its interval."""
    drawn = {}
    if weights is not None:
        with np.errstate(invalid="ignore"):  # a resample may have none of them
            drawn["share"] = (weights @ (has & among)) / (weights @ among)
    return with_intervals({"share": float(has[among].mean())}, drawn)["share"]
