"""Tests of differences: against scipy where one source of chance is absent, by hand where both are there."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, t, ttest_rel

from training.comparison.significance import difference, holm

OURS, THEIRS = np.array([0.81, 0.84, 0.79, 0.86]), np.array([0.78, 0.80, 0.80, 0.79])


def repeated(values: NDArray[np.float64], resamples: int = 50) -> NDArray[np.float64]:
    """Resamples that all agree: the patients bring no chance."""
    return np.repeat(values[:, None], resamples, axis=1)


class TestDifference:
    def test_without_chance_from_patients_is_the_paired_t_test(self) -> None:
        found = difference(OURS, THEIRS, repeated(OURS), repeated(THEIRS))
        expected = ttest_rel(OURS, THEIRS)
        interval = expected.confidence_interval()
        assert found.value == pytest.approx(0.0325)
        assert found.p_value == pytest.approx(expected.pvalue)
        assert found.interval == pytest.approx((interval.low, interval.high))
        assert found.patient_interval == pytest.approx((0.0325, 0.0325))

    def test_without_chance_from_seeds_is_the_bootstrap_s_z_test(self) -> None:
        noise = np.random.default_rng(0).normal(0, 0.02, 4000)
        ours, theirs = np.full(3, 0.8), np.full(3, 0.77)
        found = difference(ours, theirs, repeated(ours, 4000) + noise, repeated(theirs, 4000))
        error = noise.std(ddof=1)
        assert found.p_value == pytest.approx(2 * norm.sf(0.03 / error))
        assert found.interval == pytest.approx((0.03 - 1.959964 * error, 0.03 + 1.959964 * error))
        assert found.patient_interval == pytest.approx(found.interval, abs=0.003)

    def test_with_both_is_obuchowski_and_rockette_s_f_test(self) -> None:
        random = np.random.default_rng(1)
        ours, theirs = random.normal(0.8, 0.02, 5), random.normal(0.78, 0.02, 5)
        common, apart = random.normal(0, 0.015, 600), random.normal(0, 0.01, (2, 5, 600))
        ours_drawn, theirs_drawn = ours[:, None] + common + apart[0], theirs[:, None] + apart[1]
        found = difference(ours, theirs, ours_drawn, theirs_drawn)
        # In the notation of Hillis 2007: two tests, r = 5 readers, Cov2 between readers within a test, Cov3 across.
        pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
        within = [np.cov(a[i], a[j])[0, 1] for a in (ours_drawn, theirs_drawn) for i, j in pairs]
        across = [np.cov(ours_drawn[i], theirs_drawn[j])[0, 1] for i, j in pairs]
        figures = np.stack([ours, theirs])
        centred = figures - figures.mean(axis=1, keepdims=True) - figures.mean(axis=0) + figures.mean()
        ms_tr = (centred**2).sum() / 4
        ms_t = 5 * ((figures.mean(axis=1) - figures.mean()) ** 2).sum()
        denominator = ms_tr + 5 * (np.mean(within) - np.mean(across))
        freedom = denominator**2 / (ms_tr**2 / 4)
        assert np.mean(within) > np.mean(across)
        assert found.p_value == pytest.approx(2 * t.sf(np.sqrt(ms_t / denominator), freedom))
        assert freedom > 4

    def test_of_a_single_seed_has_the_patients_interval_alone(self) -> None:
        drawn = 0.8 + np.linspace(-0.1, 0.1, 1001)[None]
        found = difference(np.array([0.8]), np.array([0.7]), drawn, np.full((1, 1001), 0.7))
        assert found.value == pytest.approx(0.1)
        assert (found.interval, found.p_value) == (None, None)
        assert found.patient_interval == pytest.approx((0.005, 0.195))

    def test_of_the_same_networks_is_nothing(self) -> None:
        found = difference(OURS, OURS, repeated(OURS), repeated(OURS))
        assert (found.value, found.interval, found.p_value) == (0, (0, 0), 1)

    def test_keeps_its_level_where_a_test_over_seeds_does_not(self) -> None:
        # Two kinds, equally good in truth: seeds vary little, and the 40 patients happen to suit one kind or the other.
        random = np.random.default_rng(2)
        trials, seeds, patients = 300, 4, 40
        draws = random.multinomial(patients, np.full(patients, 1 / patients), size=200) / patients
        ours_found = theirs_found = 0
        for _ in range(trials):
            luck = random.normal(0, 0.3, (2, 1, patients))
            scores = luck + random.normal(0, 0.1, (2, seeds, patients)) + random.normal(0, 0.02, (2, seeds, 1))
            figures, drawn = scores.mean(axis=2), scores @ draws.T
            found = difference(*figures, *drawn)
            assert found.p_value is not None
            ours_found += found.p_value < 0.05
            theirs_found += ttest_rel(*figures).pvalue < 0.05
        assert ours_found / trials < 0.08
        assert theirs_found / trials > 0.3


class TestHolm:
    def test_by_hand(self) -> None:
        # 3 * 0.01; 2 * 0.03; 0.04, which may not be smaller than the one before
        assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])

    def test_never_exceeds_one(self) -> None:
        assert holm([0.6, 0.9]) == pytest.approx([1, 1])

    @pytest.mark.parametrize("values", [[], [0.02]])
    def test_leaves_a_single_comparison_as_it_is(self, values: list[float]) -> None:
        assert holm(values) == pytest.approx(values)
