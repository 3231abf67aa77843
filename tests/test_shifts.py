from __future__ import annotations

import pytest
import torch

from fairmapping.shifts import GroupShifts

GROUPS = {"gender": ["female", "male"], "age": ["young", "old"]}
FEMALE, OLD = ("gender", "female"), ("age", "old")


def made(rank: int = 2, width: int = 6) -> GroupShifts:
    generator = torch.Generator().manual_seed(0)
    shapes = (width, rank), (4, rank, width), (4, width)
    return GroupShifts(GROUPS, *(torch.randn(*shape, generator=generator) for shape in shapes))


def embeddings(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_each_row_is_shifted_to_its_own_cell_and_attributes_add_up() -> None:
    shifts, x = made(), embeddings(4, 3, 6)
    step = shifts(x, [(FEMALE,), (), (FEMALE, OLD), (OLD,)])

    def by_hand(row: torch.Tensor, place: int) -> torch.Tensor:
        return row @ shifts.down @ shifts.up[place] + shifts.bias[place]

    torch.testing.assert_close(step[0], by_hand(x[0], 0))
    assert not step[1].any()
    torch.testing.assert_close(step[2], by_hand(x[2], 0) + by_hand(x[2], 3))
    torch.testing.assert_close(step[3], by_hand(x[3], 3))
    pooled = x[:, 0]
    torch.testing.assert_close(shifts(pooled, [(FEMALE,)] * 4), shifts(x, [(FEMALE,)] * 4)[:, 0])


def test_shifts_are_computed_in_float32_and_hold_no_gradient() -> None:
    shifts, x = made(), embeddings(2, 3, 6)
    assert shifts(x.bfloat16(), [(OLD,)] * 2).dtype == torch.float32
    assert not list(shifts.parameters()) and not shifts.up.requires_grad
    assert (shifts.width, shifts.rank) == (6, 2)
    assert shifts.groups == {"gender": ("female", "male"), "age": ("young", "old")}
    assert shifts.choice([(FEMALE, OLD), ()]).tolist() == [[1, 0, 0, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize("pair", [("gender", "queer"), ("race", "female"), ("gender", "Female")])
def test_a_group_without_a_shift_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=rf"no shift for {pair[0]} '{pair[1]}'; it has gender: female, male; age: y"):
        made()(embeddings(1, 3, 6), [(pair,)])


def test_one_cell_a_row_is_needed() -> None:
    with pytest.raises(ValueError, match=r"1 cells for 2 embeddings; give one each, \(\) for none"):
        made()(embeddings(2, 3, 6), [(OLD,)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"down": torch.zeros(6)}, r"shifts of 4 groups need down \(D, R\)"),
        ({"down": torch.zeros(5, 2)}, r"got \(5, 2\), \(4, 2, 6\) and \(4, 6\)"),
        ({"up": torch.zeros(3, 2, 6)}, "shifts of 4 groups"),
        ({"up": torch.zeros(4, 6, 2)}, "shifts of 4 groups"),
        ({"bias": torch.zeros(6)}, "shifts of 4 groups"),
        ({"bias": torch.full((4, 6), torch.nan)}, "bias of the shifts has values that are not finite"),
        ({"up": torch.full((4, 2, 6), torch.inf)}, "up of the shifts"),
    ],
)
def test_wrong_tensors_are_refused(change: dict[str, torch.Tensor], message: str) -> None:
    tensors = {"down": torch.zeros(6, 2), "up": torch.zeros(4, 2, 6), "bias": torch.zeros(4, 6)}
    with pytest.raises(ValueError, match=message):
        GroupShifts(GROUPS, **(tensors | change))
