"""From logits to calibrated probabilities: one temperature, and a shift between class priors.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599 (temperature);
Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural Computation 2002,
equation 2.4 (prior).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from training.errors import TrainingError
from training.recipe import CalibrationSpec, LossSpec

Logits = NDArray[np.float64]
TEMPERATURES = (0.05, 20.0)


class Calibrator(NamedTuple):
    """softmax(logits / temperature + log_prior_shift)"""

    temperature: float
    log_prior_shift: NDArray[np.float64]
    target_prior: NDArray[np.float64]

    def __call__(self, logits: Logits) -> NDArray[np.float64]:
        """Return probabilities (N, K) of logits (N, K)."""
        return np.asarray(softmax(logits / self.temperature + self.log_prior_shift, axis=1))

    def towards(self, prior: NDArray[np.float64]) -> "Calibrator":
        """The same calibration for a population with other class frequencies."""
        shift = self.log_prior_shift + np.log(prior) - np.log(self.target_prior)
        return Calibrator(self.temperature, shift, prior)


def prior_in_logits(train_prior: NDArray[np.float64], loss: LossSpec) -> NDArray[np.float64]:
    """The class prior that a network's logits hold after training with this loss.

    Plain cross-entropy learns the training prior; balanced class weights learn logits for a uniform one; logit
    adjustment by tau takes the training prior out tau times.
    """
    if loss.class_weights == "balanced":
        return np.full_like(train_prior, 1 / len(train_prior))
    held = train_prior ** (1 - loss.logit_adjustment)
    return held / held.sum()


def target_prior(spec: CalibrationSpec, train_prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """The class frequencies that the probabilities shall assume, (K,).

    Raises:
        TrainingError: if the recipe lists another number of them than there are classes.
    """
    classes = len(train_prior)
    if spec.target_prior == "train":
        return train_prior
    if spec.target_prior == "uniform":
        return np.full(classes, 1 / classes)
    prior = np.asarray(spec.target_prior, dtype=np.float64)
    if len(prior) != classes:
        raise TrainingError(f"calibration.target_prior lists {len(prior)} frequencies for {classes} classes")
    return np.asarray(prior / prior.sum())


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
    here = np.bincount(labels, minlength=logits.shape[1]) / len(labels)
    shift_here = np.log(here) - np.log(held_prior)

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature) + shift_here, axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    value = 1.0
    if temperature:
        value = float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))
    return Calibrator(value, np.log(target_prior) - np.log(held_prior), target_prior)
