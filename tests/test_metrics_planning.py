"""Sample sizes, held to statsmodels and to the power that simulation finds; confidence sequences to their coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from fairmapping import metrics


@pytest.mark.parametrize(("base", "effect"), [(0.5, 0.05), (0.68, 0.05), (0.9, 0.05)])
def test_two_groups_agree_with_another_formula(base: float, effect: float) -> None:
    """statsmodels works with arc sines instead of chi-square."""
    size = abs(proportion_effectsize(base, base - effect if base > 0.5 else base + effect))
    expected = NormalIndPower().solve_power(size, alpha=0.05, power=0.8)
    assert metrics.advise(effect, base=base).images == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("groups", "base", "effect"), [(2, 0.68, 0.15), (4, 0.55, 0.15)])
def test_arms_drawn_apart_reach_the_power_that_was_asked_for(groups: int, base: float, effect: float) -> None:
    n = metrics.advise(effect, base=base, groups=groups).images
    rng = np.random.default_rng(0)
    p, q = ([share] + [(1 - share) / (groups - 1)] * (groups - 1) for share in (base, base - effect))
    before, after = (rng.multinomial(n, shares, size=3000) for shares in (p, q))
    statistic = ((before - after) ** 2 / (before + after)).sum(1)
    assert (statistic > stats.chi2.isf(0.05, groups - 1)).mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("changed", [0.15, 0.25, None])
def test_pairs_reach_about_the_power_that_was_asked_for(changed: float | None) -> None:
    """The exact test is a little weaker than its formula: it may not take 4.9 % for 5."""
    found = metrics.advise(0.15, base=0.7, changed=changed)
    rng = np.random.default_rng(0)
    down = (found.changed + 0.15) / 2
    cells = [0.7 - down, down, found.changed - down, 0.3 - (found.changed - down)]
    tables = rng.multinomial(found.paired, cells, size=2000).reshape(-1, 2, 2)
    assert (metrics.matched_p(tables) < 0.05).mean() == pytest.approx(0.8, abs=0.07)


def test_pairs_of_several_groups_reach_the_power_too() -> None:
    least = np.array([[0.45, 0.075, 0.075], [0, 0.2, 0], [0, 0, 0.2]])  # as few changes as the effect takes
    apart = np.outer([0.6, 0.2, 0.2], [0.45, 0.275, 0.275])
    table = (2 * least + apart) / 3
    found = metrics.advise(0.15, base=0.6, groups=3, changed=1 - np.trace(table))
    tables = np.random.default_rng(0).multinomial(found.paired, table.ravel(), size=3000).reshape(-1, 3, 3)
    assert (metrics.matched_p(tables) < 0.05).mean() == pytest.approx(0.8, abs=0.05)


def test_what_asks_for_more_images() -> None:
    plain = metrics.advise(0.05, base=0.68)
    assert plain.images == plain.each == plain.together
    assert plain.images < metrics.advise(0.05).images  # even shares are the noisiest
    assert plain.images < metrics.advise(0.05, base=0.68, power=0.9).images
    assert metrics.advise(0.05, base=0.68, changed=0.05).paired < plain.images / 5
    many = metrics.advise(0.05, base=0.68, keywords=150)
    assert (many.together, many.together_paired) == (-(-plain.images // 150), -(-plain.paired // 150))
    needs = [(stats.norm.isf(tail) + stats.norm.isf(0.2)) ** 2 for tail in (0.05 / 300, 0.025)]
    assert many.each == pytest.approx(plain.images * needs[0] / needs[1], rel=0.01)
    low, high = metrics.wilson(0.68 * plain.images, plain.images)
    assert plain.half_width == pytest.approx((high - low) / 2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"effect": 0}, "effect is 0"),
        ({"effect": 0.05, "power": 0.01}, "power is 0.01"),
        ({"effect": 0.05, "power": 1}, "power is 1"),
        ({"effect": 0.05, "alpha": 0}, "alpha is 0"),
        ({"effect": 0.05, "groups": 1}, "groups is 1"),
        ({"effect": 0.05, "keywords": 2.5}, "keywords is 2.5"),
        ({"effect": 0.05, "base": 1.2}, "base is 1.2"),
        ({"effect": 0.8, "base": 0.5}, "cannot change by 0.8"),
        ({"effect": 0.05, "changed": 0.01}, "changed is 0.01"),
        ({"effect": 0.05, "changed": 0.9}, "changed is 0.9"),
    ],
)
def test_what_no_share_can_do(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        metrics.advise(**options)


@pytest.mark.parametrize("p", [0.02, 0.4])
def test_a_sequence_covers_at_every_n_at_once_and_wilson_does_not(p: float) -> None:
    rng = np.random.default_rng(0)
    k, n = np.cumsum(rng.random((200, 400)) < p, 1), np.arange(1, 401)
    looks = slice(9, None, 10)  # after every tenth image
    low, high = metrics.confidence_sequence(k[:, looks], n[looks])
    assert ((low <= p) & (p <= high)).all(1).mean() >= 0.95
    low, high = metrics.wilson(k[:, looks], n[looks])
    assert ((low <= p) & (p <= high)).all(1).mean() < 0.85


def test_a_sequence_covers_the_mean_of_unlike_prompts_at_the_ends_of_blocks() -> None:
    rng, prompts = np.random.default_rng(1), np.array([0.05, 0.3, 0.9, 0.95])
    blocks = (rng.random((200, 60, 4)) < prompts).sum(-1).cumsum(1)
    low, high = metrics.confidence_sequence(blocks, 4 * np.arange(1, 61))
    assert ((low <= prompts.mean()) & (prompts.mean() <= high)).all(1).mean() >= 0.95


def test_the_ends_of_a_sequence_solve_their_equation() -> None:
    low, high = metrics.confidence_sequence(30, 80)
    for p in (low, high):
        ratio = special.betaln(30.5, 50.5) - special.betaln(0.5, 0.5) - 30 * np.log(p) - 50 * np.log(1 - p)
        assert ratio == pytest.approx(np.log(20), abs=1e-6)
    assert metrics.confidence_sequence(0, 0) == (0, 1)
    assert metrics.confidence_sequence([0, 9], [9, 9])[0][0] == 0
    assert metrics.confidence_sequence([0, 9], [9, 9])[1][1] == 1
    with pytest.raises(ValueError, match="0 <= k <= n"):
        metrics.confidence_sequence(3, 2)
    with pytest.raises(ValueError, match="confidence must be"):
        metrics.confidence_sequence(1, 2, 95)


def test_enough_looks_at_every_group() -> None:
    assert metrics.enough([[150, 150], [10, 10], [60, 0], [0, 0]], 0.1).tolist() == [True, False, True, False]
    assert metrics.enough([400, 1, 1], 0.05)
    assert not metrics.enough([120, 120, 0], 0.1)
    wide = np.subtract(*metrics.confidence_sequence(100, 200, 1 - 0.05 / 4)[::-1]) / 2
    assert metrics.enough([100, 100, 0, 0], wide + 1e-9)
    assert not metrics.enough([100, 100, 0, 0], wide - 1e-6)
    with pytest.raises(ValueError, match="width is 0.5"):
        metrics.enough([3, 4], 0.5)
