"""The card's section on calibration, measured on the validation split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.card import Calibration
from training.evaluation.bootstrap import figures, interval, resample
from training.evaluation.calibration import Calibrator
from training.evaluation.evaluate import RESAMPLES
from training.evaluation.label_shift import effective_images, importance
from training.evaluation.metrics import expected_calibration_error as error_of_class
from training.evaluation.multilabel import expected_calibration_error as error_of_labels


def calibration_section(
    calibrator: Calibrator,
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    *,
    fitted: bool,
) -> Calibration:
    """Measure a calibration at the class frequencies that its probabilities assume.

    Args:
        calibrator: as the package has it.
        logits: of the validation images, (N, K).
        labels: (N,); (N, K) where multi-label.
        groups: the patient of each image.
        fitted: whether the temperature was fitted.
    """
    weights = importance(labels, calibrator.target_prior)
    error = error_of_labels if calibrator.multi_label else error_of_class
    range_of_error = None
    if not calibrator.multi_label:
        drawn = resample(groups, labels, resamples=RESAMPLES)
        if drawn is not None:
            errors = figures(calibrator(logits), labels, drawn, calibrator.target_prior)["ece"]
            range_of_error = interval(errors)
    return Calibration(
        method="temperature scaling" if fitted else "none",
        temperature=calibrator.temperature,
        log_prior_shift=calibrator.log_prior_shift.tolist(),
        target_prior=calibrator.target_prior.tolist(),
        ece_before=error(calibrator._replace(temperature=1.0)(logits), labels, weights),
        ece_after=error(calibrator(logits), labels, weights),
        ece_interval=range_of_error,
        effective_images=effective_images(weights),
        fitted_on=f"validation split, {len(labels)} images",
    )
