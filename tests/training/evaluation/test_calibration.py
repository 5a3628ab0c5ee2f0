"""Temperature and prior shift, against sampling, Bayes' rule by hand and the minimum of the training loss."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from training.evaluation.calibration import Calibrator, fit_calibration, prior_in_logits
from training.fitting.optimisation import ClassificationLoss
from training.recipe import LossSpec

UNIFORM = np.full(4, 0.25)


def draw(posterior: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """One label for each row of probabilities."""
    labels: NDArray[np.int64] = (random.random((len(posterior), 1)) > posterior.cumsum(axis=1)).sum(axis=1)
    return labels


def nll(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return -float(log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


class TestTemperature:
    @pytest.mark.parametrize("known", [0.5, 1.0, 3.0])
    def test_is_recovered(self, known: float) -> None:
        random = np.random.default_rng(0)
        logits = random.normal(0, 2, (20_000, 4))
        labels = draw(softmax(logits, axis=1), random)
        here = np.bincount(labels) / len(labels)
        calibrator = fit_calibration(known * logits, labels, held_prior=here, target_prior=here)
        assert calibrator.temperature == pytest.approx(known, rel=0.05)

    def test_is_not_mistaken_for_a_difference_of_priors(self) -> None:
        # A network that holds mostly class 3, measured where most images are of class 0: fitted without the shift,
        # the temperature would be 6.5.
        random = np.random.default_rng(1)
        held, here = np.array([0.1, 0.1, 0.1, 0.7]), np.array([0.7, 0.1, 0.1, 0.1])
        classes = random.choice(4, 20_000, p=here)
        likelihood = random.normal(0, 1, (20_000, 4)) + np.eye(4)[classes]  # log, of normal densities, to a constant
        calibrator = fit_calibration(2 * (likelihood + np.log(held)), classes, held_prior=held, target_prior=here)
        assert calibrator.temperature == pytest.approx(2, rel=0.05)

    @pytest.mark.parametrize("seed", range(8))
    def test_never_worsens_the_likelihood_of_its_own_data(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        logits = random.normal(0, random.uniform(0.1, 8), (60, 4))
        labels = np.concatenate([np.arange(4), random.integers(0, 4, 56)])
        here, held = np.bincount(labels) / 60, random.dirichlet(np.full(4, 5.0))
        calibrator = fit_calibration(logits, labels, held_prior=held, target_prior=here)
        untouched = logits + np.log(here) - np.log(held)
        assert -np.log(calibrator(logits)[np.arange(60), labels]).mean() <= nll(untouched, labels) + 1e-6

    def test_switched_off_is_one(self) -> None:
        random = np.random.default_rng(0)
        logits, labels = 9 * random.normal(size=(50, 4)), np.arange(50) % 4
        calibrator = fit_calibration(logits, labels, held_prior=UNIFORM, target_prior=UNIFORM, temperature=False)
        assert calibrator.temperature == 1
        np.testing.assert_allclose(calibrator(logits), softmax(logits, axis=1))

    @pytest.mark.parametrize("temperature", [0.1, 1.0, 15.0])
    def test_alone_leaves_the_ranking(self, temperature: float) -> None:
        logits = np.random.default_rng(0).normal(size=(200, 4))
        probabilities = Calibrator(temperature, np.zeros(4), UNIFORM)(logits)
        assert (probabilities.argsort(axis=1) == logits.argsort(axis=1)).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)


class TestPriorShift:
    held = np.array([0.4, 0.3, 0.2, 0.1])
    target = np.array([0.1, 0.1, 0.2, 0.6])

    def test_is_bayes_rule(self) -> None:
        likelihood = np.random.default_rng(0).uniform(0.1, 1, (30, 4))
        logits = np.log(likelihood * self.held)
        labels = np.arange(30) % 4
        calibrator = fit_calibration(logits, labels, held_prior=self.held, target_prior=self.target, temperature=False)
        joint = likelihood * self.target
        np.testing.assert_allclose(calibrator(logits), joint / joint.sum(axis=1, keepdims=True))
        np.testing.assert_allclose(calibrator.target_prior, self.target)

    def test_towards_another_population_is_bayes_rule(self) -> None:
        likelihood = np.random.default_rng(0).uniform(0.1, 1, (30, 4))
        logits = np.log(likelihood * self.held)
        other = np.array([0.7, 0.1, 0.1, 0.1])
        there = Calibrator(1.0, np.log(self.target / self.held), self.target).towards(other)
        joint = likelihood * other
        np.testing.assert_allclose(there(logits), joint / joint.sum(axis=1, keepdims=True))

    def test_towards_and_back_is_the_same(self) -> None:
        first = Calibrator(2.5, np.array([0.3, -0.2, 0.0, 1.0]), self.held)
        there = first.towards(self.target)
        back = there.towards(self.held)
        assert np.abs(there.log_prior_shift - first.log_prior_shift).max() > 0.5
        np.testing.assert_allclose(back.log_prior_shift, first.log_prior_shift, atol=1e-12)
        assert back.temperature == first.temperature


class TestPriorInLogits:
    prior = np.array([0.5, 0.3, 0.2])

    @pytest.mark.parametrize(
        ("loss", "expected"),
        [
            ({}, [0.5, 0.3, 0.2]),
            ({"class_weights": "balanced"}, [1 / 3, 1 / 3, 1 / 3]),
            ({"logit_adjustment": 1.0}, [1 / 3, 1 / 3, 1 / 3]),
            ({"logit_adjustment": 0.5}, [0.415446, 0.321803, 0.262751]),  # square roots, to a sum of 1
        ],
    )
    def test_by_hand(self, loss: dict[str, Any], expected: list[float]) -> None:
        np.testing.assert_allclose(prior_in_logits(self.prior, LossSpec(**loss)), expected, atol=1e-6)

    @pytest.mark.parametrize(
        "loss",
        [{}, {"class_weights": "balanced"}, {"logit_adjustment": 0.5}, {"logit_adjustment": 1.0}],
        ids=["plain", "balanced", "tau 0.5", "tau 1"],
    )
    def test_equals_the_prior_that_the_loss_gives(self, loss: dict[str, Any]) -> None:
        # Two kinds of images, three classes: the loss's own minimum is found without a network.
        counts = np.array([[40, 15, 2], [10, 15, 18]])
        prior = counts.sum(axis=0) / counts.sum()
        kinds, labels = (
            torch.from_numpy(index.repeat(counts.ravel())) for index in np.indices(counts.shape).reshape(2, -1)
        )
        logits = torch.zeros(2, 3, requires_grad=True)
        criterion = ClassificationLoss(LossSpec(**loss), torch.from_numpy(prior).float())
        optimiser = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> float:
            optimiser.zero_grad()
            value = criterion(logits[kinds], torch.eye(3)[labels])
            value.backward()
            return float(value.detach())

        for _ in range(5):
            optimiser.step(closure)
        learned = logits.detach().double().numpy()
        calibrator = fit_calibration(
            learned[kinds],
            labels.numpy(),
            held_prior=prior_in_logits(prior, LossSpec(**loss)),
            target_prior=prior,
            temperature=False,
        )
        posterior = counts / counts.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(calibrator(learned), posterior, atol=2e-3)
