"""What gates show: against numpy's correlation and scipy's analysis of variance, on gates made on the spot."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import f_oneway, norm
from sklearn.linear_model import LinearRegression

from training.gates.statistics import class_means, correlation, extremes, separation


def one_hot(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    return labels[:, None] == np.unique(labels)


class TestCorrelation:
    def test_is_numpy_s(self) -> None:
        random = np.random.default_rng(0)
        gates = random.normal(0.5, 0.1, (40, 6)) @ random.normal(0, 1, (6, 6))
        found = correlation(gates)
        expected = np.asarray(np.corrcoef(gates.T))
        np.testing.assert_allclose(found.matrix, expected)
        off = [abs(expected[i, j]) for i in range(6) for j in range(6) if i != j]
        assert found.mean_absolute == pytest.approx(np.mean(off))
        assert (found.varying, found.constant) == (6, 0)

    def test_leaves_out_constant_gates(self) -> None:
        random = np.random.default_rng(1)
        gates = random.uniform(0.2, 0.8, (30, 4)).astype(np.float32)
        gates[:, 1] = 0.5
        found = correlation(gates)
        assert (found.varying, found.constant) == (3, 1)
        np.testing.assert_allclose(found.matrix, np.corrcoef(gates[:, [0, 2, 3]].T), atol=1e-6)

    @pytest.mark.parametrize("varying", [0, 1])
    def test_is_none_with_fewer_than_two_channels(self, varying: int) -> None:
        gates = np.full((10, 3), 0.5)
        gates[:, :varying] += np.arange(10)[:, None] / 20
        found = correlation(gates)
        assert (found.mean_absolute, found.varying) == (None, varying)

    def test_of_independent_channels_equals_chance(self) -> None:
        found = correlation(np.random.default_rng(2).normal(0, 1, (150, 100)))
        assert found.mean_absolute == pytest.approx(found.by_chance, rel=0.05)


class TestSeparation:
    def test_is_scipy_s_analysis_of_variance(self) -> None:
        random = np.random.default_rng(0)
        labels = random.integers(0, 3, 60)
        gates = random.normal(0, 1, (60, 5)) + labels[:, None] * np.array([0, 0.5, 1, 2, 4])
        found = separation(gates, one_hot(labels), [str(i) for i in range(60)])
        expected = f_oneway(*(gates[labels == k] for k in range(3))).statistic
        np.testing.assert_allclose(found.f, expected)
        np.testing.assert_allclose(found.eta_squared, 2 * expected / (2 * expected + 57))
        assert found.rows == 60

    def test_counts_a_patient_once_a_class(self) -> None:
        random = np.random.default_rng(1)
        labels = np.repeat([0, 1], 20)
        patients = [f"p{i // 4}" for i in range(20)] + [f"p{i // 2}" for i in range(20)]  # some patients are in both
        gates = random.normal(0, 1, (40, 3))
        means = [gates[4 * i : 4 * i + 4].mean(axis=0) for i in range(5)]
        others = [gates[20 + 2 * i : 22 + 2 * i].mean(axis=0) for i in range(10)]
        found = separation(gates, one_hot(labels), patients)
        np.testing.assert_allclose(found.f, f_oneway(np.array(means), np.array(others)).statistic)
        assert found.rows == 15

    def test_of_several_labels_is_the_regression_on_them(self) -> None:
        random = np.random.default_rng(2)
        truth = random.random((50, 3)) < 0.4
        gates = random.normal(0, 1, (50, 4)) + truth @ random.normal(0, 1, (3, 4))
        found = separation(gates, truth, [str(i) for i in range(50)])
        expected = [LinearRegression().fit(truth, column).score(truth, column) for column in gates.T]
        np.testing.assert_allclose(found.eta_squared, expected)

    def test_constant_gate_separates_nothing(self) -> None:
        labels = np.repeat([0, 1], 10)
        gates = np.stack([np.full(20, 0.3), labels + np.tile([0, 0.1], 10)], axis=1)
        found = separation(gates, one_hot(labels), [str(i) for i in range(20)])
        assert (found.f[0], found.eta_squared[0]) == (0, 0)
        assert found.eta_squared[1] > 0.98 > found.floor

    def test_floor_is_passed_by_chance_in_one_of_twenty_sets(self) -> None:
        random = np.random.default_rng(3)
        labels = np.repeat([0, 1], 15)
        patients = [str(i) for i in range(30)]
        passed = 0
        for seed in range(100):
            gates = random.normal(0, 1, (30, 20))
            found = separation(gates, one_hot(labels), patients, permutations=100, seed=seed)
            passed += bool((found.eta_squared > found.floor).any())
        low, high = 100 * (0.05 + norm.ppf([0.001, 0.999]) * np.sqrt(0.05 * 0.95 / 100))
        assert low <= passed <= high


def test_class_means_by_hand() -> None:
    gates = np.array([[0.1, 0.2], [0.3, 0.4], [0.9, 0.8]])
    np.testing.assert_allclose(class_means(gates, one_hot(np.array([1, 1, 0]))), [[0.9, 0.8], [0.2, 0.3]], rtol=1e-6)


def test_extremes_by_hand() -> None:
    gates = np.array([[0.5], [0.1], [0.9], [0.7], [0.2]])
    assert extremes(gates, 0, 2) == ([2, 3], [1, 4])
    assert extremes(gates, 0, 10) == ([2, 3], [1, 4])  # an image is never at both ends
