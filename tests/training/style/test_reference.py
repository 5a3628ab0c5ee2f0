"""The reference densities and thresholds, against scikit-learn, SciPy and made-up styles."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf

from models.style_shift import StyleShift
from training.style.reference import FittedShift, fit_density, fit_style_shift, unlike_threshold


def samples(count: int, values: int, rank: int, seed: int) -> NDArray[np.float64]:
    """Normal samples whose covariance has ``rank`` large directions."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(rank, values))
    return random.normal(size=(count, rank)) @ mixing + 0.3 * random.normal(size=(count, values)) + 2.0


def log_distances(train: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    module = StyleShift([fit_density(train)], torch.zeros(1), torch.ones(1))
    return module.log_distances([torch.from_numpy(new).float()])[:, 0].double().numpy()


def test_a_narrow_block_has_ledoit_and_wolf_s_covariance() -> None:
    train, new = samples(60, 40, 5, 0), samples(9, 40, 5, 1) * 1.5
    centre, scale = train.mean(axis=0), train.std(axis=0)
    fitted = LedoitWolf(assume_centered=True).fit((train - centre) / scale)
    expected = np.log(fitted.mahalanobis((new - centre) / scale) / 40)
    np.testing.assert_allclose(log_distances(train, new), expected, rtol=1e-3)


def test_a_wide_block_has_the_covariance_of_probabilistic_pca() -> None:
    """Its Mahalanobis distance is read off SciPy's log density with the covariance written out."""
    train, new = samples(120, 150, 6, 0), samples(5, 150, 6, 1)
    density = fit_density(train)
    rank = density.directions.shape[1]
    assert rank <= 8
    z = (train - train.mean(axis=0)) / train.std(axis=0)
    variances, directions = np.linalg.eigh(z.T @ z / len(z))
    large, axes = variances[::-1][:rank], directions[:, ::-1][:, :rank]
    rest = (variances.sum() - large.sum()) / (150 - rank)
    covariance = axes @ np.diag(large - rest) @ axes.T + rest * np.eye(150)
    normal = multivariate_normal(np.zeros(150), covariance)
    rows = (new - train.mean(axis=0)) / train.std(axis=0)
    squared = 2 * (normal.logpdf(np.zeros(150)) - normal.logpdf(rows))
    np.testing.assert_allclose(log_distances(train, new), np.log(squared / 150), rtol=1e-3)


def test_a_value_that_never_varies_is_no_infinite_distance() -> None:
    train = samples(50, 10, 3, 0)
    train[:, 4] = 7.0
    assert np.isfinite(log_distances(train, samples(5, 10, 3, 1))).all()


class TestThresholds:
    def fitted(self) -> FittedShift:
        train = [samples(300, 20, 4, 0), samples(300, 150, 4, 1)]
        validation = [samples(200, 20, 4, 2), samples(200, 150, 4, 3)]
        return fit_style_shift(["input", "layer1.0"], train, validation)

    def test_standardised_on_validation(self) -> None:
        module, _ = self.fitted()
        validation = [
            torch.from_numpy(samples(200, 20, 4, 2)).float(),
            torch.from_numpy(samples(200, 150, 4, 3)).float(),
        ]
        _, by_block = module(validation)
        np.testing.assert_allclose(by_block.mean(dim=0), 0, atol=1e-4)
        np.testing.assert_allclose(by_block.std(dim=0), 1, atol=1e-3)

    def test_five_in_a_hundred_validation_images_are_not_usual(self) -> None:
        module, reference = self.fitted()
        validation = [
            torch.from_numpy(samples(200, 20, 4, 2)).float(),
            torch.from_numpy(samples(200, 150, 4, 3)).float(),
        ]
        shift, _ = module(validation)
        verdicts = [reference.verdict(float(value)) for value in shift]
        assert verdicts.count("usual") == 190
        assert verdicts.count("unlike") == 0

    def test_styles_from_elsewhere_are_unlike(self) -> None:
        module, reference = self.fitted()
        usual = [torch.from_numpy(samples(50, 20, 4, 8)).float(), torch.from_numpy(samples(50, 150, 4, 9)).float()]
        shift, _ = module([usual[0] + 4.0, usual[1]])
        assert {reference.verdict(float(value)) for value in shift} == {"unlike"}
        shift, by_block = module(usual)
        assert shift.equal(by_block.amax(dim=1))
        assert {reference.verdict(float(value)) for value in shift} <= {"usual", "unusual"}


@pytest.mark.parametrize("seed", range(3))
def test_the_tail_of_an_exponential_is_found(seed: int) -> None:
    """Of unit exponentials one in 1,000 lies beyond ln(1,000)."""
    shift = np.random.default_rng(seed).exponential(size=20_000)
    within = np.minimum(shift, 5.0)  # no image lies beyond, so the largest one does not decide
    assert unlike_threshold(within) == pytest.approx(np.log(1e3), rel=0.05)
    assert unlike_threshold(shift) == shift.max()
