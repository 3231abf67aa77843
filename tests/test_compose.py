"""Maps fitted apart, applied as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fairmapping.compose import compose
from fairmapping.mapconfig import MapConfig
from fairmapping.mapping import FairMap
from fairmapping.shifts import GroupShifts

GENDER, RACE = ("female", "male"), ("asian", "black", "white")


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shifting(attribute: str, names: tuple[str, ...], rank: int, seed: int, width: int = 8) -> FairMap:
    parts = [normal(*shape, seed=seed + i) for i, shape in enumerate(
        ((width, rank), (len(names), rank, width), (len(names), width)))]  # fmt: skip
    config = MapConfig(
        route="sampled",
        attributes={attribute: {name: name for name in names}},
        keywords=["doctor", attribute],
        targets={"shares": {attribute: dict.fromkeys(names, 1 / len(names))}, "by_keyword": {}},
    )
    return FairMap(torch.eye(width), shifts=GroupShifts({attribute: names}, *parts), config=config)


def test_shifts_fitted_apart_add_up_and_survive_saving(tmp_path: Path) -> None:
    gender, race = shifting("gender", GENDER, 2, 0), shifting("race", RACE, 3, 10)
    both = compose(gender, race)
    x = normal(2, 5, 8, seed=20)
    one, other = [(("gender", "male"),), (("gender", "female"),)], [(("race", "white"),), ()]
    expected = gender(x, cells=one) + race(x, cells=other) - x
    cells = [a + b for a, b in zip(one, other, strict=True)]
    torch.testing.assert_close(both(x, cells=cells), expected)
    assert both.groups == {"gender": GENDER, "race": RACE}
    assert both.config.keywords == ["doctor", "gender", "race"]
    assert set(both.config.targets["shares"]) == {"gender", "race"}
    again = FairMap.from_pretrained(both.save_pretrained(tmp_path))
    torch.testing.assert_close(again(x, cells=cells), expected)


def test_maps_are_applied_in_turn_and_shifts_keep_their_order(tmp_path: Path) -> None:
    """A map of gender and race without shifts, before one that shifts race alone."""
    plain = FairMap(
        normal(8, 8, seed=1),
        normal(8, seed=2),
        pooled_weight=normal(4, 4, seed=3),
        config=MapConfig(
            route="text",
            attributes={
                name: {group: group for group in groups} for name, groups in (("gender", GENDER), ("race", RACE))
            },
        ),
    )
    second = FairMap(normal(8, 8, seed=4), normal(8, seed=5))
    x, pooled = normal(2, 5, 8, seed=6), normal(2, 4, seed=7)
    torch.testing.assert_close(compose(plain, second)(x), second(plain(x)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(compose(plain, second).map_pooled(pooled), plain.map_pooled(pooled))
    race = shifting("race", RACE, 3, 10)
    mixed = FairMap.from_pretrained(compose(plain, race).save_pretrained(tmp_path))
    assert mixed.groups == {"race": RACE}
    cells = [(("race", "black"),)] * 2
    torch.testing.assert_close(mixed(x, cells=cells), plain(x) + race(x, cells=cells) - x, atol=1e-4, rtol=1e-4)


def test_what_does_not_belong_together_is_refused() -> None:
    gender = shifting("gender", GENDER, 2, 0)
    with pytest.raises(ValueError, match="no maps to compose"):
        compose()
    with pytest.raises(ValueError, match="maps 1 and 2 both shift 'gender'"):
        compose(gender, gender)
    with pytest.raises(ValueError, match="map 2 is for embeddings 6 wide"):
        compose(gender, FairMap.identity(6))


@pytest.mark.parametrize("strengths", [(0.5, 1.0), (1.0, 0.0), (2.0, -0.5)])
def test_every_map_has_a_strength_of_its_own(strengths: tuple[float, float], tmp_path: Path) -> None:
    """As if each had been applied with it; the strength of the whole comes on top for shifts, which add up."""
    s, t = strengths
    plain = [
        FairMap(normal(8, 8, seed=i), normal(8, seed=i + 1), pooled_weight=normal(4, 4, seed=i + 2)) for i in (1, 5)
    ]
    x, pooled = normal(2, 5, 8, seed=20), normal(2, 4, seed=21)
    whole = compose(*plain, strengths=strengths)
    torch.testing.assert_close(whole(x), plain[1](plain[0](x, strength=s), strength=t), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        whole.map_pooled(pooled), plain[1].map_pooled(plain[0].map_pooled(pooled, s), t), atol=1e-4, rtol=1e-4
    )
    gender, race = shifting("gender", GENDER, 2, 0), shifting("race", RACE, 3, 10)
    both = FairMap.from_pretrained(compose(gender, race, strengths=strengths).save_pretrained(tmp_path))
    cells = [(("gender", "male"), ("race", "white")), (("gender", "female"),)]
    one, other = gender(x, cells=[c[:1] for c in cells]) - x, race(x, cells=[c[1:] for c in cells]) - x
    torch.testing.assert_close(both(x, cells=cells), x + s * one + t * other, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(both(x, None, 0.5, cells), x + 0.5 * (s * one + t * other), atol=1e-4, rtol=1e-4)
    expected = " + ".join("sampled" if part == 1 else f"sampled x {part:g}" for part in strengths)
    assert both.config.route == expected


def test_strengths_that_do_not_fit_are_refused() -> None:
    gender, race = shifting("gender", GENDER, 2, 0), shifting("race", RACE, 3, 10)
    with pytest.raises(ValueError, match="1 strengths for 2 maps"):
        compose(gender, race, strengths=[1.0])
    with pytest.raises(ValueError, match="strength is nan"):
        compose(gender, race, strengths=[1.0, float("nan")])
