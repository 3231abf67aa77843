from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

import fairmapping.lists as lists
from fairmapping import metrics
from fairmapping.metrics import Interval

UNEVEN = [30, 10]  # p = (3/4, 1/4)
FOUR = [40, 30, 20, 10]  # p = (.4, .3, .2, .1)


def drawn(seed: int, k: int, rows: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.multinomial(rng.integers(1, 200, rows), rng.dirichlet(np.ones(k) / 2, rows))


def columns(arm: str) -> np.ndarray:
    return np.array([[row[f"{arm}_man"], row[f"{arm}_woman"]] for row in lists.occupation_table()])


# Measures


@pytest.mark.parametrize(
    ("measure", "two", "four"),
    [
        ("pairwise_bias", 0.5, (0.1 + 0.2 + 0.3 + 0.1 + 0.2 + 0.1) / 6),
        ("deviation_ratio", 0.5, 0.15 / 0.75),
        ("mean_absolute_deviation", 0.25, (0.15 + 0.05 + 0.05 + 0.15) / 4),
        ("fairimagen_fairness", 0.5, 1 - 0.5 * 0.4 / 0.75),
        ("kl_divergence", 0.75 * np.log(1.5) + 0.25 * np.log(0.5), None),
        ("normalised_entropy", 0.8112781244591328, None),
    ],
)
def test_hand_counted(measure: str, two: float, four: float | None) -> None:
    function = metrics.MEASURES[measure]
    assert function(UNEVEN) == pytest.approx(two, abs=1e-12)
    if four is not None:
        assert function(FOUR) == pytest.approx(four, abs=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4, 7])
def test_against_scipy(k: int) -> None:
    counts = drawn(k, k)
    p = metrics.shares(counts)
    divergence, entropy = stats.entropy(p, np.full_like(p, 1 / k), axis=-1), stats.entropy(p, base=k, axis=-1)
    np.testing.assert_allclose(metrics.kl_divergence(counts), divergence, atol=1e-12)
    np.testing.assert_allclose(metrics.normalised_entropy(counts), entropy, atol=1e-12)
    pairs = [abs(p[:, i] - p[:, j]) for i, j in itertools.combinations(range(k), 2)]
    np.testing.assert_allclose(metrics.pairwise_bias(counts), np.mean(pairs, axis=0), atol=1e-12)


def test_for_two_groups_four_measures_are_one() -> None:
    counts = drawn(0, 2, 500)
    bias = metrics.pairwise_bias(counts)
    np.testing.assert_allclose(metrics.deviation_ratio(counts), bias, atol=1e-12)
    np.testing.assert_allclose(2 * metrics.mean_absolute_deviation(counts), bias, atol=1e-12)
    np.testing.assert_allclose(1 - metrics.fairimagen_fairness(counts), bias, atol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_extremes(k: int) -> None:
    even, single = np.full(k, 12), np.eye(k)[0] * 60
    assert metrics.pairwise_bias(even) == metrics.deviation_ratio(even) == metrics.mean_absolute_deviation(even) == 0
    assert metrics.kl_divergence(even) == pytest.approx(0, abs=1e-12)
    assert metrics.normalised_entropy(even) == pytest.approx(1)
    assert metrics.fairimagen_fairness(even) == pytest.approx(1)
    # 60 women and nobody else is the worst there is, because K is what was asked about
    assert metrics.pairwise_bias(single) == pytest.approx(2 / k)
    assert metrics.deviation_ratio(single) == pytest.approx(1)
    assert metrics.kl_divergence(single) == pytest.approx(np.log(k))
    assert metrics.normalised_entropy(single) == 0 and metrics.fairimagen_fairness(single) == pytest.approx(0)


@pytest.mark.parametrize("name", list(metrics.MEASURES))
@pytest.mark.parametrize("k", [2, 3, 4])
def test_properties(name: str, k: int) -> None:
    """No measure minds the order of the groups or the number of images behind the shares, and all keep their range."""
    measure = metrics.MEASURES[name]
    counts = drawn(3 * k, k, 200)
    value = measure(counts)
    assert value.shape == (200,)
    for order in itertools.permutations(range(k)):
        np.testing.assert_allclose(measure(counts[:, order]), value, atol=1e-12)
    np.testing.assert_allclose(measure(7 * counts), value, atol=1e-12)
    np.testing.assert_allclose(measure(counts.reshape(4, 50, k)), value.reshape(4, 50))
    top = np.log(k) if name == "kl_divergence" else 1
    assert (value > -1e-12).all() and (value < top + 1e-12).all()


def test_stable_diffusion_and_fair_diffusion() -> None:
    """The two figures that ../shared/data/README.md gives by plain arithmetic."""
    assert metrics.pairwise_bias(columns("sd15")).mean() == pytest.approx(0.623, abs=5e-4)
    assert metrics.pairwise_bias(columns("fair_diffusion")).mean() == pytest.approx(0.210, abs=5e-4)


@pytest.mark.parametrize("name", list(metrics.MEASURES))
def test_nothing_judged_is_nan_not_even(name: str) -> None:
    value = metrics.MEASURES[name]([[0, 0], [3, 3]])
    assert np.isnan(value[0]) and not np.isnan(value[1])
    assert np.isnan(metrics.shares([0, 0, 0])).all()


@pytest.mark.parametrize(
    ("counts", "error"),
    [
        (5, ValueError),
        ([], ValueError),
        ([5], ValueError),
        ([[3], [4]], ValueError),
        ([1, -1], ValueError),
        ([1, np.nan], ValueError),
        ([1, np.inf], ValueError),
        (["female", "male"], TypeError),
        ([[1, 2], [3]], TypeError),
        (None, (TypeError, ValueError)),
        ({"female": 3}, TypeError),
    ],
)
def test_bad_counts(counts: Any, error: Any) -> None:
    for measure in [*metrics.MEASURES.values(), metrics.shares]:
        with pytest.raises(error, match="counts"):
            measure(counts)


# Intervals


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_against_scipy(confidence: float) -> None:
    for n in (1, 2, 7, 60, 250):
        k = np.arange(n + 1)
        low, high = metrics.wilson(k, n, confidence)
        for i in range(n + 1):
            reference = stats.binomtest(i, n).proportion_ci(confidence, method="wilson")
            assert (low[i], high[i]) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert (low >= 0).all() and (high <= 1).all()


def test_wilson_edges() -> None:
    assert metrics.wilson(0, 0) == (0, 1)
    assert metrics.wilson(0, 60)[0] == 0 and metrics.wilson(60, 60)[1] == 1
    low, high = metrics.wilson([0, 5, 0], [10, 10, 0])
    assert low.shape == (3,) and (low[2], high[2]) == (0, 1)
    for bad in ((3, 2), (-1, 2), (np.nan, 2)):
        with pytest.raises(ValueError, match="0 <= k <= n"):
            metrics.wilson(*bad)
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.wilson(1, 2, confidence=95)


def test_wilson_covers() -> None:
    """About 95 % of the intervals hold the true share, at the ends as well as in the middle."""
    for share in (0.05, 0.3, 0.5, 0.97):
        k = np.arange(61)
        low, high = metrics.wilson(k, 60)
        covered = stats.binom.pmf(k, 60, share)[(low <= share) & (share <= high)].sum()
        assert 0.92 < covered < 0.99


def test_interval_reads_well() -> None:
    assert str(Interval(0.62, 0.58, 0.664, 50)) == ".62 [.58, .66] n=50"
    assert str(Interval(-0.12, -0.2, -0.001, 9)) == "-.12 [-.20, .00] n=9"
    assert str(Interval(1, 0.999, 12.5, 3)) == "1.00 [1.00, 12.50] n=3"
    assert str(Interval(np.nan, np.nan, np.nan, 0)) == "n/a [n/a, n/a] n=0"


def test_bootstrap_mean_against_scipy() -> None:
    values = metrics.pairwise_bias(columns("sd15"))
    ours = metrics.bootstrap_mean(values, resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert ours.value == values.mean() and ours.n == 153
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=2e-3)


def test_bootstrap_mean_edges() -> None:
    assert metrics.bootstrap_mean([1.0, np.nan, 3.0]).n == 2
    alone = metrics.bootstrap_mean([0.4])
    assert alone.value == 0.4 and np.isnan(alone.low) and np.isnan(alone.high)
    assert np.isnan(metrics.bootstrap_mean([]).value) and metrics.bootstrap_mean([np.nan]).n == 0
    assert metrics.bootstrap_mean([2.0] * 5) == Interval(2.0, 2.0, 2.0, 5)
    values = np.random.default_rng(0).normal(size=30)
    assert metrics.bootstrap_mean(values, seed=3) == metrics.bootstrap_mean(values, seed=3)
    wide, narrow = (metrics.bootstrap_mean(values, confidence=c) for c in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high
    with pytest.raises(ValueError, match="one axis"):
        metrics.bootstrap_mean([[1.0, 2.0]])
    with pytest.raises(ValueError, match="resamples"):
        metrics.bootstrap_mean([1.0, 2.0], resamples=0)
    with pytest.raises(ValueError, match="confidence"):
        metrics.bootstrap_mean([1.0, 2.0], confidence=1.0)


def test_bootstrap_counts_covers_what_it_estimates() -> None:
    """Expected bias at 40 images for these keywords: in the 95 % interval about 95 % of the time."""
    rng = np.random.default_rng(0)
    truth = np.concatenate([np.full(15, 0.5), rng.beta(0.5, 0.5, 15)])
    k = np.arange(41)
    bias = abs(2 * k / 40 - 1)
    expected = np.mean([stats.binom.pmf(k, 40, p) @ bias for p in truth])
    hits = 0
    for run in range(200):
        women = rng.binomial(40, truth)
        interval = metrics.bootstrap_counts(np.stack([women, 40 - women], -1), resamples=200, seed=run)
        hits += interval.low <= expected <= interval.high
        assert interval.low <= interval.value <= interval.high
    assert hits >= 0.88 * 200


def test_bootstrap_counts() -> None:
    counts = columns("sd15")
    images = metrics.bootstrap_counts(counts)
    both = metrics.bootstrap_counts(counts, keywords=True)
    assert images.value == both.value == pytest.approx(0.6229, abs=1e-4)
    assert images.high - images.low < both.high - both.low
    keywords = metrics.bootstrap_mean(metrics.pairwise_bias(counts))
    assert both.high - both.low >= 0.9 * (keywords.high - keywords.low)
    assert metrics.bootstrap_counts([[0, 0], [3, 4]]).n == 1
    assert metrics.bootstrap_counts([[0, 0]]).n == 0
    assert metrics.bootstrap_counts(counts, "kl_divergence").value == metrics.kl_divergence(counts).mean()
    with pytest.raises(ValueError, match="unknown measure 'bias'; choose from pairwise_bias"):
        metrics.bootstrap_counts(counts, "bias")
    with pytest.raises(ValueError, match="shape"):
        metrics.bootstrap_counts([3, 4])


# Chance


@pytest.mark.parametrize(("n", "floor"), [(4, 0.375), (12, 0.223), (60, 0.101), (160, 0.063), (250, 0.051)])
def test_chance_floor_of_the_field(n: int, floor: float) -> None:
    """The figures in use, which were drawn, not summed: hence the tolerance of a few thousandths."""
    assert metrics.chance_floor(n) == pytest.approx(floor, abs=3e-3)


@pytest.mark.parametrize("n", range(2, 41, 2))
def test_chance_floor_against_its_closed_form(n: int) -> None:
    """E|2X - n| / n = C(n, n/2) / 2^n for even n: the mean absolute deviation of a fair coin (de Moivre)."""
    assert metrics.chance_floor(n) == pytest.approx(stats.binom.pmf(n // 2, n, 0.5), abs=1e-12)


def test_chance_floor_for_more_groups_against_enumeration() -> None:
    for name, k, n in itertools.product(["pairwise_bias", "normalised_entropy"], [3, 4], [1, 3, 5]):
        outcomes = np.array([c for c in itertools.product(range(n + 1), repeat=k) if sum(c) == n])
        exact = stats.multinomial.pmf(outcomes, n, [1 / k] * k) @ metrics.MEASURES[name](outcomes)
        assert metrics.chance_floor(n, k, name) == pytest.approx(exact, abs=0.01)


def test_chance_floor_shapes_and_edges() -> None:
    floors = metrics.chance_floor([[4, 0], [12, 4]])
    assert floors.shape == (2, 2) and np.isnan(floors[0, 1]) and floors[0, 0] == floors[1, 1] == pytest.approx(0.375)
    assert metrics.chance_floor(1) == 1 and metrics.chance_floor(3, 2, metrics.deviation_ratio) == pytest.approx(0.5)
    assert metrics.chance_floor(60, 4) == metrics.chance_floor(60, 4)
    assert metrics.chance_floor(100_000) == pytest.approx(np.sqrt(2 / (np.pi * 100_000)), rel=1e-4)
    for bad in (1.5, -1, "sixty"):
        with pytest.raises(ValueError, match="whole numbers"):
            metrics.chance_floor(bad)
    with pytest.raises(ValueError, match="at least 2 groups"):
        metrics.chance_floor(60, 1)


# The judge's errors


def test_correction_undoes_known_errors_exactly() -> None:
    rng = np.random.default_rng(0)
    for k in (2, 3, 5):
        rates = 0.8 * np.eye(k) + 0.2 * rng.dirichlet(np.ones(k), k)
        truth = rng.dirichlet(np.ones(k), 50) * 120
        np.testing.assert_allclose(metrics.correct_counts(truth @ rates, rates), truth, atol=1e-9)


def test_correction_with_a_perfect_judge_changes_nothing() -> None:
    counts = drawn(1, 4)
    np.testing.assert_allclose(metrics.correct_counts(counts, np.eye(4) * 50), counts, atol=1e-9)


def test_correction_hand_counted() -> None:
    # This judge calls every man a man, and one woman in four a man: 30 women judged means 40 women there.
    confusion = [[75, 25], [0, 100]]
    np.testing.assert_allclose(metrics.correct_counts([30, 70], confusion), [40, 60])
    # 90 judged women would need 120 of 100: the simplex ends at 100
    np.testing.assert_allclose(metrics.correct_counts([90, 10], confusion), [100, 0], atol=1e-6)


def test_correction_stays_in_the_simplex_and_is_the_nearest_point_there() -> None:
    rng = np.random.default_rng(2)
    counts = drawn(2, 4)
    confusion = np.eye(4) * 80 + rng.integers(1, 20, (4, 4))
    rates = confusion / confusion.sum(1, keepdims=True)
    corrected = metrics.correct_counts(counts, confusion)
    assert (corrected >= 0).all()
    np.testing.assert_allclose(corrected.sum(-1), counts.sum(-1))
    p, t = metrics.shares(counts), metrics.shares(corrected)
    distance = np.linalg.norm(t @ rates - p, axis=-1)
    assert (distance > 1e-3).any() and (distance < 1e-9).any()  # both ways were taken
    for other in rng.dirichlet(np.ones(4) / 3, 500):
        for step in (1e-4, 1e-2, 1.0):  # convex: no direction within the simplex leads nearer
            moved = (1 - step) * t + step * other
            assert (np.linalg.norm(moved @ rates - p, axis=-1) >= distance - 1e-7).all()


def test_correction_shows_the_progress_that_a_biased_judge_hides() -> None:
    """A judge that sees half the women as men calls an even set three quarters men."""
    rates = np.array([[0.5, 0.5], [0.0, 1.0]])
    judged = np.array([50, 50]) @ rates
    assert metrics.pairwise_bias(judged) == 0.5
    assert metrics.pairwise_bias(metrics.correct_counts(judged, rates)) == pytest.approx(0)


def test_corrected_shares_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    rates = np.array([[0.9, 0.1], [0.2, 0.8]])
    truth = np.array([0.3, 0.7])
    hits = 0
    for run in range(100):
        confusion = np.array([rng.multinomial(80, row) for row in rates])
        counts = rng.multinomial(200, truth @ rates)
        value, low, high = metrics.corrected_shares(counts, confusion, resamples=100, seed=run)
        assert (low <= value).all() and (value <= high).all()
        hits += low[0] <= truth[0] <= high[0]
    assert hits >= 0.88 * 100


def test_an_uncertain_judge_makes_wider_intervals() -> None:
    counts = [[120, 80], [0, 0]]
    known = metrics.corrected_shares(counts, [[0.9, 0.1], [0.2, 0.8]])
    tried_little = metrics.corrected_shares(counts, [[9, 1], [2, 8]])
    np.testing.assert_allclose(known[0][0], tried_little[0][0])
    assert (tried_little[2] - tried_little[1])[0, 0] > 1.5 * (known[2] - known[1])[0, 0]
    assert known[0].shape == known[1].shape == (2, 2) and np.isnan(known[0][1]).all()


@pytest.mark.parametrize(
    ("confusion", "message"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "shape"),
        ([[0.5, 0.5], [0.5, 0.5]], "cannot tell the groups apart"),
        ([[1, 0], [0, 0]], "empty row"),
        ([[1, -1], [0, 1]], "not negative"),
        ([1, 0], "shape"),
    ],
)
def test_bad_confusion(confusion: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.correct_counts([3, 4], confusion)
