"""Tests of matched pairs, held to statsmodels, to hand counts and to their error rates by simulation."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import SquareTable, mcnemar

from fairmapping.metrics import matched_difference, matched_p


def test_two_groups_are_mcnemars_exact_test() -> None:
    tables = np.random.default_rng(0).integers(0, 12, (40, 2, 2))
    np.testing.assert_allclose(matched_p(tables), [mcnemar(table, exact=True).pvalue for table in tables])
    assert matched_p([[[5, 0], [6, 9]]]) == pytest.approx(2 * 0.5**6)
    assert matched_p([[[5, 0], [0, 9]]]) == 1


def test_more_groups_are_stuarts_and_maxwells_test() -> None:
    tables = np.random.default_rng(0).integers(1, 20, (40, 4, 4))
    expected = [SquareTable(table, shift_zeros=False).homogeneity("stuart_maxwell").pvalue for table in tables]
    np.testing.assert_allclose(matched_p(tables), expected, atol=1e-9)


def test_groups_without_any_change_take_no_part() -> None:
    """Where only two of four groups exchange pairs, V has no inverse and the test is that of the two."""
    table = np.diag([9.0, 9, 9, 9])
    table[0, 2], table[2, 0] = 30, 10
    assert matched_p([table])[0] == pytest.approx(
        0.0015654, abs=1e-6
    )  # chi-square of (30 - 10)^2 / 40 = 10, one degree


def test_few_changes_are_counted_exactly() -> None:
    """Every swap of 6 changed pairs of three groups, by hand."""
    table = np.array([[4, 3, 1], [0, 5, 2], [0, 0, 7]])
    changes = [(0, 1)] * 3 + [(0, 2)] + [(1, 2)] * 2
    both = table + table.T - 2 * np.diag(np.diag(table))
    inverse = np.linalg.pinv(np.diag(both.sum(1)) - both)

    def statistic(signs: Any) -> float:
        d = np.zeros(3)
        for sign, (a, b) in zip(signs, changes, strict=True):
            d[a], d[b] = d[a] - sign, d[b] + sign
        return float(d @ inverse @ d)

    all_of_them = [statistic(signs) for signs in itertools.product((1, -1), repeat=6)]
    assert matched_p([table])[0] == pytest.approx(np.mean(np.array(all_of_them) >= statistic([1] * 6) - 1e-9))


@pytest.mark.parametrize("n", [10, 40])
def test_shares_that_did_not_change_are_seldom_called_changed(n: int) -> None:
    rng = np.random.default_rng(n)
    share = rng.dirichlet(np.ones(9)).reshape(3, 3)
    tables = rng.multinomial(n, ((share + share.T) / 2).ravel(), size=1000).reshape(-1, 3, 3)
    assert (matched_p(tables) < 0.05).mean() < 0.065


def test_with_holms_correction_an_audit_without_any_change_seldom_finds_one() -> None:
    tables = np.random.default_rng(0).multinomial(20, [0.4, 0.2, 0.2, 0.2], size=(400, 10)).reshape(-1, 2, 2)
    assert (matched_p(tables).reshape(400, 10).min(1) * 10 < 0.05).mean() < 0.05


def test_shares_that_stay_while_pairs_change_are_no_change() -> None:
    """In a circle of three groups every share stays, which Bowker's test would call a change."""
    circle = np.array([[0, 20, 0], [0, 0, 20], [20, 0, 0]])
    assert SquareTable(circle, shift_zeros=False).symmetry().pvalue < 1e-9
    assert matched_p([circle])[0] == pytest.approx(1)


def test_the_difference_by_hand_and_its_coverage() -> None:
    value, low, high = matched_difference(8, 2, 40)
    half = 1.959964 * np.sqrt(10 + 1 - 36 / 42) / 42
    assert (value, low, high) == pytest.approx((6 / 40, 6 / 42 - half, 6 / 42 + half))
    rng = np.random.default_rng(0)
    for up, down in ((0.3, 0.1), (0.1, 0.0)):
        counts = rng.multinomial(25, [up, down, 1 - up - down], size=4000)
        _, low, high = matched_difference(counts[:, 0], counts[:, 1], 25)
        assert ((low <= up - down) & (up - down <= high)).mean() > 0.915  # coarse: 25 pairs take few values


def test_the_difference_of_nothing_and_of_everything() -> None:
    value, low, high = matched_difference([0, 0, 5], [0, 0, 0], [0, 9, 5])
    assert np.isnan([value[0], low[0], high[0]]).all()
    assert low[1] < value[1] == 0 < high[1]  # nothing changed among nine, which proves little
    assert value[2] == high[2] == 1


@pytest.mark.parametrize(
    "tables", [[[1, 2], [3, 4]], [[[1, 2, 3], [4, 5, 6]]], [[[1, -2], [3, 4]]], [[[0.5, 2], [3, 4]]]]
)
def test_bad_tables(tables: Any) -> None:
    with pytest.raises(ValueError, match="tables must"):
        matched_p(tables)
    with pytest.raises(ValueError, match="gained and lost"):
        matched_difference(3, 4, 5)
