"""PSI by hand, Smirnov's test against SciPy, and how often samples without and with a change are called drifted."""

from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from models.card import StyleReference
from service.records.audit.drift import Verdict, enough, judge
from service.records.audit.references import STAND_IN, from_card, from_first
from service.records.audit.stability import counts_by_bin, expected_index, index_deviation, smirnov, stability_index


def card_of(scores: NDArray[np.float64]) -> StyleReference:
    """The style reference that an export writes for validation images with these scores."""
    return StyleReference(
        method="-",
        blocks=["input"],
        training_images=2,
        validation_images=len(scores),
        validation_quantiles=list(np.quantile(scores, np.linspace(0, 1, 101))),
        usual_up_to=float(np.quantile(scores, 0.95)),
        unlike_beyond=float(scores.max()),
        rule="-",
    )


def test_psi_by_hand() -> None:
    """Income bands of 2020 and 2021: https://www.geeksforgeeks.org/data-science/population-stability-index-psi/"""
    before, now = np.array([40.0, 30, 30]), np.array([70.0, 50, 80])  # .4 .3 .3 and .35 .25 .4
    expected = -0.05 * log(0.35 / 0.4) - 0.05 * log(0.25 / 0.3) + 0.1 * log(0.4 / 0.3)
    assert expected == pytest.approx(0.04456, abs=5e-6)
    assert stability_index(before, now) == pytest.approx(expected)
    assert stability_index(now, before) == pytest.approx(expected)
    assert stability_index(before, before * 7) == pytest.approx(0)


def test_an_empty_bin_is_half_an_image() -> None:
    expected = (0.05 - 0.5) * log(0.05 / 0.5) + (1 - 0.5) * log(1 / 0.5)
    assert stability_index(np.array([10.0, 10]), np.array([0.0, 10])) == pytest.approx(expected)


def test_bins_hold_a_tenth_of_the_reference() -> None:
    reference = np.arange(200.0)
    before, now = counts_by_bin(reference, np.array([-5.0, 0, 19, 20, 190, 1e9]))
    assert before.tolist() == [20] * 10
    assert now.tolist() == [3, 1, 0, 0, 0, 0, 0, 0, 0, 2]


def test_equal_scores_share_a_bin() -> None:
    reference = np.repeat([1.0, 2.0, 3.0], [10, 70, 20])
    before, now = counts_by_bin(reference, np.array([1.0, 2, 2, 3, 4]))
    assert before.tolist() == [10, 70, 20, 0]  # the last is beyond all of the reference
    assert now.tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize(("reference", "images"), [(155, 100), (120, 1000), (1000, 300)])
def test_psi_without_drift_has_the_stated_mean_and_deviation(reference: int, images: int) -> None:
    random = np.random.default_rng(1)
    samples = (counts_by_bin(random.gumbel(size=reference), random.gumbel(size=images)) for _ in range(1500))
    found = [stability_index(before, now) for before, now in samples]
    assert expected_index(10, reference, images) == pytest.approx(np.mean(found), rel=0.08)
    assert index_deviation(10, reference, images) == pytest.approx(np.std(found), rel=0.15)


@pytest.mark.parametrize("rounded", [False, True])
def test_smirnov_as_scipy(rounded: bool) -> None:
    pytest.importorskip("scipy", reason="the test is compared with SciPy's")
    from scipy.special import kolmogorov
    from scipy.stats import ks_2samp

    random = np.random.default_rng(2)
    for shift in (0, 0.05, 0.2, 0.5, 1):
        one, two = random.normal(size=155), random.normal(shift, size=420)
        if rounded:
            one, two = one.round(1), two.round(1)
        distance, p_value = smirnov(one, two)
        theirs = ks_2samp(one, two, method="exact")
        assert distance == pytest.approx(theirs.statistic)
        assert p_value == pytest.approx(kolmogorov(distance * (155 * 420 / 575) ** 0.5), abs=1e-5)
        assert theirs.pvalue <= p_value + 1e-5
        assert p_value <= theirs.pvalue * 1.25 + 1e-5
    assert smirnov(one, one) == (0, 1)


@pytest.mark.parametrize("images", [60, 101, 120, 155, 1000, 20_000])
def test_scores_rebuilt_from_a_card_keep_their_ranks(images: int) -> None:
    true = np.sort(np.random.default_rng(3).gumbel(size=images))
    rebuilt = from_card(card_of(true)).scores
    assert len(rebuilt) == images
    ranks = np.interp(rebuilt, true, np.arange(images))
    assert np.abs(ranks - np.arange(images)).max() <= 1 + images / 100


def verdicts(images: int, *, reference: int, shift: float, rounds: int = 400) -> dict[Verdict, float]:
    """How often a sample shifted by so many standard deviations gets each verdict, against a card of its own."""
    random, found = np.random.default_rng(4), list[Verdict]()
    deviation = np.pi / 6**0.5
    for _ in range(rounds):
        before = from_card(card_of(random.gumbel(size=reference))).scores
        now = random.gumbel(shift * deviation, size=images)
        counts = counts_by_bin(before, now)
        psi = stability_index(*counts) - expected_index(len(counts[0]), reference, images)
        found.append(judge(psi, smirnov(before, now)[1]))
    return {verdict: found.count(verdict) / rounds for verdict in set(found)}


@pytest.mark.parametrize("reference", [120, 155, 1000])
@pytest.mark.parametrize("images", [100, 300, 1000])
def test_false_alarms_and_power(images: int, reference: int) -> None:
    assert enough(reference, images)
    without = verdicts(images, reference=reference, shift=0)
    assert without.get("drifted", 0) + without.get("shifted", 0) <= 0.025  # 1 %, and three deviations of 400 rounds
    assert verdicts(images, reference=reference, shift=1, rounds=100).get("drifted", 0) >= 0.95


@pytest.mark.parametrize(("reference", "least"), [(120, 66), (155, 59), (1000, 45)])
def test_the_fewest_images(reference: int, least: int) -> None:
    """By hand: sqrt(18) (1/n + 1/m) <= .1, so n >= 1 / (.1 / 4.2426 - 1/m)."""
    assert enough(reference, least)
    assert not enough(reference, least - 1)
    assert not enough(42, 10**9)
    assert not enough(reference, 0)


@pytest.mark.parametrize(
    ("psi", "p_value", "expected"),
    [
        (0.099, 0.0, "stable"),
        (0.1, 0.0, "shifted"),
        (0.249, 0.0099, "shifted"),
        (0.25, 0.0099, "drifted"),
        (5.0, 0.01, "stable"),
    ],
)
def test_both_must_speak_of_a_change(psi: float, p_value: float, expected: str) -> None:
    assert judge(psi, p_value) == expected


def test_first_periods_stand_in_once_they_have_enough() -> None:
    periods = {"2026-03": np.full(150, 3.0), "2026-01": np.full(40, 1.0), "2026-02": np.full(160, 2.0)}
    reference = from_first(periods)
    assert reference is not None
    assert reference.source.periods == ("2026-01", "2026-02")
    assert (reference.source.images, sorted(set(reference.scores))) == (200, [1, 2])
    assert from_first({"2026-01": np.zeros(STAND_IN - 1)}) is None
