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
