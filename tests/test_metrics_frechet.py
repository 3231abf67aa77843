"""Fréchet distance: held to matrix roots, to closed forms, and to what it must not hide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import linalg

from fairmapping.metrics import frechet, frechet_difference, frechet_distance


def features(seed: int, n: int = 200, width: int = 6, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return scale * rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width)


@pytest.mark.parametrize("n", [200, 4], ids=["full rank", "fewer images than features"])
def test_it_is_the_formula_with_matrix_roots(n: int) -> None:
    x, y = features(0, n), features(1, 150)
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    half = linalg.sqrtm(second).real
    root = np.sqrt(np.clip(np.linalg.eigvalsh(half @ first @ half), 0, None)).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)


def test_of_one_feature_it_is_the_distance_of_two_normals() -> None:
    """(m_x - m_y)^2 + (s_x - s_y)^2."""
    x, y = np.array([[0.0], [2.0], [4.0]]), np.array([[1.0], [7.0]])
    assert frechet_distance(x, y) == pytest.approx((2 - 4) ** 2 + (2 - np.sqrt(18)) ** 2)


def test_a_shift_costs_its_square_and_order_costs_nothing() -> None:
    x = features(2)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x) >= 0
    assert frechet_distance(x, x + 3) == pytest.approx(9 * x.shape[1])
    assert frechet_distance(x, features(3)) == pytest.approx(frechet_distance(features(3), x))


def test_features_that_never_move_do_no_harm() -> None:
    """A dead unit of the judge has no variance: no root of a singular matrix is taken, and no number is complex."""
    x = np.hstack([features(4), np.zeros((200, 50))])
    found = frechet_distance(x, x + 1)
    assert found == pytest.approx(x.shape[1])
    assert type(found) is float
    assert frechet_distance(x.astype(np.float32), (x + 1).astype(np.float32)) == pytest.approx(x.shape[1], rel=1e-4)


def test_few_images_put_it_up() -> None:
    """The bias that the module warns of: both sides are the same distribution, and it shrinks like 1 / N."""
    rng = np.random.default_rng(5)
    few, many = (np.mean([frechet_distance(*rng.normal(size=(2, n, 8))) for _ in range(20)]) for n in (40, 400))
    assert few > 6 * many > 0


def test_the_interval_holds_the_value_and_shrinks() -> None:
    few, many = (frechet(features(6, n), features(7, n), resamples=60) for n in (50, 800))
    assert few.low < few.value < few.high
    assert few.high - few.low > 2 * (many.high - many.low)
    assert (few.value, few.n) == (frechet_distance(features(6, 50), features(7, 50)), 50)
    same = frechet(features(6), features(6), resamples=20)
    assert same.low == 0 == pytest.approx(same.value, abs=1e-9)
    assert frechet(features(6), features(7), resamples=20) == frechet(features(6), features(7), resamples=20)


def test_pairs_tell_a_small_change_from_none() -> None:
    rng = np.random.default_rng(8)
    reference, before = rng.normal(size=(2, 400, 5))
    worse = frechet_difference(before + 0.5, before, reference, resamples=60)
    none = frechet_difference(before + 1e-3 * rng.normal(size=before.shape), before, reference, resamples=60)
    expected = frechet_distance(before + 0.5, reference) - frechet_distance(before, reference)
    assert worse.value == pytest.approx(expected)
    assert worse.low > 0.5
    assert none.low < 0 < none.high < 0.01
    with pytest.raises(ValueError, match="same prompts and seeds"):
        frechet_difference(before[:-1], before, reference)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2 images"),
        (np.zeros(3), np.zeros((5, 3)), "shape"),
        (np.zeros((5, 0)), np.zeros((5, 0)), "shape"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "same features"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "finite"),
    ],
)
def test_bad_features_are_refused(x: Any, y: Any, says: str) -> None:
    for call in (frechet_distance, frechet, lambda a, b: frechet_difference(a, a, b)):
        with pytest.raises(ValueError, match=says):
            call(x, y)
