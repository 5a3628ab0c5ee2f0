"""From logits to calibrated probabilities: one temperature, and a shift between class priors.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599 (temperature);
Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural Computation 2002,
equation 2.4 (prior).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, logit, softmax

from training.errors import TrainingError
from training.recipe import CalibrationSpec, LossSpec

Logits = NDArray[np.float64]
TEMPERATURES = (0.05, 20.0)


class Calibrator(NamedTuple):
    """softmax(logits / temperature + log_prior_shift), or sigmoid for a multi-label task."""

    temperature: float
    log_prior_shift: NDArray[np.float64]
    target_prior: NDArray[np.float64]
    multi_label: bool = False

    def __call__(self, logits: Logits) -> NDArray[np.float64]:
        """Return probabilities (N, K) of logits (N, K)."""
        calibrated = logits / self.temperature + self.log_prior_shift
        return np.asarray(expit(calibrated) if self.multi_label else softmax(calibrated, axis=1))

    def towards(self, prior: NDArray[np.float64]) -> "Calibrator":
        """The same calibration for a population with other class frequencies."""
        shift = (
            self.log_prior_shift + in_logits(prior, self.multi_label) - in_logits(self.target_prior, self.multi_label)
        )
        return Calibrator(self.temperature, shift, prior, self.multi_label)


def in_logits(prior: NDArray[np.float64], multi_label: bool) -> NDArray[np.float64]:
    """The term that a prior adds to logits: its log for softmax, its log odds for a sigmoid of each label."""
    return np.asarray(logit(prior) if multi_label else np.log(prior))


def frequencies(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Class frequencies (K,) of labels (N,). For labels (N, K), the frequency of each label."""
    if labels.ndim == 2:
        return np.asarray(labels.mean(axis=0))
    return np.bincount(labels, minlength=classes) / len(labels)


def prior_in_logits(
    train_prior: NDArray[np.float64], loss: LossSpec, *, multi_label: bool = False
) -> NDArray[np.float64]:
    """The class prior in the logits of a network that was trained with this loss.

    Plain cross-entropy learns the training prior; balanced class weights learn logits for a uniform one; logit
    adjustment by tau takes the training prior out tau times. Of a multi-label task the same holds for each label's
    odds.
    """
    if loss.class_weights == "balanced":
        return np.full_like(train_prior, 1 / 2 if multi_label else 1 / len(train_prior))
    if multi_label:
        return np.asarray(expit((1 - loss.logit_adjustment) * logit(train_prior)))
    held = train_prior ** (1 - loss.logit_adjustment)
    return held / held.sum()


def target_prior(
    spec: CalibrationSpec, train_prior: NDArray[np.float64], *, multi_label: bool = False
) -> NDArray[np.float64]:
    """The class frequencies that the probabilities assume, (K,). Multi-label: ``uniform`` is 1/2 for each label.

    Raises:
        TrainingError: if the recipe lists another number of them than there are classes, or for a multi-label task one
            that is not below 1.
    """
    classes = len(train_prior)
    if spec.target_prior == "train":
        return train_prior
    if spec.target_prior == "uniform":
        return np.full(classes, 1 / 2 if multi_label else 1 / classes)
    prior = np.asarray(spec.target_prior, dtype=np.float64)
    if len(prior) != classes:
        raise TrainingError(f"calibration.target_prior lists {len(prior)} frequencies for {classes} classes")
    if multi_label and not (prior < 1).all():
        raise TrainingError("calibration.target_prior: the frequency of each label must be below 1")
    return prior if multi_label else np.asarray(prior / prior.sum())


def fit_calibration(
    logits: Logits,
    labels: NDArray[np.int64],
    *,
    held_prior: NDArray[np.float64],
    target_prior: NDArray[np.float64],
    temperature: bool = True,
) -> Calibrator:
    """Fit the temperature on validation data and set the shift to the target prior.

    The temperature minimises the negative log-likelihood under the validation data's own class frequencies, so that
    a difference of priors is not mistaken for overconfidence.
    """
    multi_label = labels.ndim == 2
    here = in_logits(frequencies(labels, logits.shape[1]), multi_label)
    shift_here = here - in_logits(held_prior, multi_label)

    def loss(log_temperature: float) -> float:
        shifted = logits / np.exp(log_temperature) + shift_here
        if multi_label:
            return float(-np.where(labels == 1, log_expit(shifted), log_expit(-shifted)).mean())
        scaled = log_softmax(shifted, axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    value = 1.0
    if temperature:
        value = float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))
    shift = in_logits(target_prior, multi_label) - in_logits(held_prior, multi_label)
    return Calibrator(value, shift, target_prior, multi_label)
