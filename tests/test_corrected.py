"""Figures corrected for the judge's errors: their intervals must hold what the judge's card leaves open."""

from __future__ import annotations

import numpy as np
import pytest
from test_audit import by_hand

from fairmapping import metrics
from fairmapping.estimates import corrected_mean, mean_over_keywords

RATES = np.array([[0.9, 0.1], [0.2, 0.8]])


def test_the_mean_over_keywords_covers_what_other_keywords_would_have_given() -> None:
    """24 keywords of 10 images, most of them uneven: the mean pairwise bias at this n, chance floor included."""
    rng, runs, hits = np.random.default_rng(0), 200, 0
    truth = np.abs(2 * rng.binomial(10, rng.beta(0.5, 0.5, 200_000)) / 10 - 1).mean()
    for _ in range(runs):
        first = rng.binomial(10, rng.beta(0.5, 0.5, 24))
        found = mean_over_keywords(np.stack([first, 10 - first], -1), metrics.pairwise_bias)
        hits += found.low <= truth <= found.high
    assert hits >= 0.88 * runs


def test_the_mean_covers_the_truth_only_with_the_judges_uncertainty() -> None:
    """20 keywords, all drawn more often female, so that the mean pairwise bias has no chance floor: it is .6."""
    rng, runs = np.random.default_rng(0), 100
    hits, as_known = 0, 0
    for _ in range(runs):
        share = rng.uniform(0.65, 0.95, 20)
        truth = np.stack([share, 1 - share], -1)
        counts = np.array([rng.multinomial(200, row) for row in truth @ RATES])
        card = np.array([rng.multinomial(40, row) for row in RATES])
        found = corrected_mean(counts, card, draws=60)
        hits += found.low <= 0.6 <= found.high
        known = corrected_mean(counts, metrics.shares(card), draws=60)
        as_known += known.low <= 0.6 <= known.high
    assert hits >= 0.88 * runs
    assert as_known < 0.75 * runs


@pytest.mark.parametrize("n", [3, 12, 100])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_shares_cover_the_truth_also_where_a_group_is_hardly_seen(n: int, share: float) -> None:
    rng, runs, hits = np.random.default_rng(n), 150, 0
    truth = np.array([share, 1 - share])
    for run in range(runs):
        card = np.array([rng.multinomial(200, row) for row in RATES])
        _, low, high = metrics.corrected_shares(rng.multinomial(n, truth @ RATES), card, resamples=200, seed=run)
        hits += low[0] <= share <= high[0]
    assert hits >= 0.9 * runs


def test_a_group_seen_in_none_of_three_images_may_still_have_a_share() -> None:
    value, low, high = metrics.corrected_shares([0, 3], [[90, 10], [20, 80]])
    assert value[0] == low[0] == 0
    assert high[0] > 0.3


def test_a_judge_without_errors_leaves_the_mean_and_nearly_its_interval() -> None:
    counts = np.random.default_rng(0).multinomial(40, [0.7, 0.2, 0.1], size=12)
    plain, corrected = mean_over_keywords(counts, metrics.pairwise_bias), corrected_mean(counts, np.eye(3))
    assert corrected.value == pytest.approx(plain.value)
    assert (corrected.low, corrected.high) == pytest.approx((plain.low, plain.high), abs=0.02)
    assert (corrected.n, np.isnan(corrected_mean(np.zeros((3, 2)), np.eye(2)).value)) == (12, True)


def test_raw_and_corrected_stand_side_by_side_for_every_keyword() -> None:
    table = by_hand({"raw": {"nurse": "f" * 30 + "m" * 10, "ghost": "00"}}).table("gender").set_index("keyword")
    nurse, ghost = table.loc["nurse"], table.loc["ghost"]
    assert nurse["female_corrected"] == pytest.approx((0.75 - 0.2) / 0.7)
    assert nurse["female_corrected_low"] < nurse["female_corrected"] < nurse["female_corrected_high"]
    assert nurse["female_corrected_high"] - nurse["female_corrected_low"] > nurse["female_high"] - nurse["female_low"]
    assert ghost[[name for name in table if "_corrected" in name]].isna().all()


def test_draws_of_a_judge_follow_its_card() -> None:
    rng = np.random.default_rng(0)
    draws = metrics.judge_draws([[90, 10], [20, 80]], 4000, rng)
    assert draws.shape == (4000, 2, 2)
    np.testing.assert_allclose(draws.mean(0), [[90.5 / 101, 10.5 / 101], [20.5 / 101, 80.5 / 101]], atol=0.005)
    assert (metrics.judge_draws(RATES, 3, rng) == RATES).all()
    np.testing.assert_allclose(metrics.share_draws([[3, 0]] * 20_000, rng).mean(0), [3.5 / 4, 0.5 / 4], atol=0.005)
