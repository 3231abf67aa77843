"""Maps of low rank: what they stand for, the best of a rank, composing, saving, and where a fit makes them."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

from fairmapping import lowrank
from fairmapping.attach import attached
from fairmapping.bias import Contrasts
from fairmapping.cli.printing import print_fit
from fairmapping.compose import compose
from fairmapping.fit import fit
from fairmapping.lowrank import LowRank, chained, change, product, truncate
from fairmapping.mapping import FairMap, MapConfig

WORDS = ["doctor", "cook", "judge", "nurse", "clerk", "pilot", "baker", "coach"]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some(width: int = 6, rank: int = 2, seed: int = 0) -> LowRank:
    return LowRank(normal(width, rank, seed=seed), normal(rank, width, seed=seed + 1))


def test_it_stands_for_its_square() -> None:
    weight, x = some(), normal(2, 3, 6, seed=5)
    torch.testing.assert_close(x + change(x, weight), x @ weight.square(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(FairMap(weight)(x, strength=0.5), FairMap(weight.square())(x, strength=0.5))
    assert (len(weight), weight.rank, FairMap(weight).width) == (6, 2, 6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dtype_device_and_strength(dtype: torch.dtype) -> None:
    fair_map, x = FairMap(some(), pooled_weight=some(4)), normal(2, 3, 6).to(dtype)
    assert fair_map(x).dtype == dtype and torch.equal(fair_map(x, strength=0.0), x)
    torch.testing.assert_close(fair_map(x).float(), fair_map(x.float()), atol=0.2, rtol=0.05)
    assert fair_map(torch.ones(2, 3, 6, device="meta", dtype=dtype)).device.type == "meta"
    assert fair_map.map_pooled(torch.ones(2, 4, device="meta")).device.type == "meta"
    assert torch.equal(FairMap.identity(6)(x), x)


def test_no_square_is_made_when_it_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    fair_map = FairMap(some(64, 3))
    both = compose(fair_map, FairMap(some(64, 2, seed=7)))
    monkeypatch.setattr(torch, "eye", lambda *_, **__: pytest.fail("a square matrix was made"))
    monkeypatch.setattr(LowRank, "square", lambda _: pytest.fail("a square matrix was made"))
    assert both(fair_map(normal(1, 2, 64))).shape == (1, 2, 64)
    assert isinstance(both.weight, LowRank) and both.weight.rank == 5


@pytest.mark.parametrize("kinds", [("low", "low"), ("low", "square"), ("square", "low")])
def test_maps_compose(kinds: tuple[str, str]) -> None:
    parts = [
        some(seed=seed) if kind == "low" else normal(6, 6, seed=seed) for kind, seed in zip(kinds, (1, 4), strict=True)
    ]
    first, second = (FairMap(part, normal(6, seed=9)) for part in parts)
    x = normal(2, 3, 6)
    torch.testing.assert_close(compose(first, second)(x), second(first(x)), atol=1e-4, rtol=1e-4)


def test_what_is_as_large_as_the_square_becomes_it() -> None:
    assert isinstance(chained(some(rank=4), some(rank=4, seed=3)), torch.Tensor)
    assert isinstance(product(normal(4, 5), normal(5, 4)), torch.Tensor)


def test_no_matrix_of_the_rank_is_nearer() -> None:
    """Against Eckart and Young's theorem, by the singular values of G^1/2 E."""
    E, root = normal(8, 8, seed=1).double(), normal(20, 8, seed=2).double()
    gram = root.mT @ root
    values = torch.linalg.svdvals(root @ E)
    low, lost = truncate(torch.eye(8).double() + E, gram, rank=3, tolerance=0.1)
    left = root @ (E - (low.square().double() - torch.eye(8)))
    assert float(left.norm()) == pytest.approx(float(values[3:].norm()), rel=1e-4)
    assert lost == pytest.approx(float(values[3:].norm() / values.norm()), rel=1e-6)


def test_the_rank_follows_from_what_may_be_lost() -> None:
    E = torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.01])).double()
    found = [truncate(torch.eye(4) + E, torch.eye(4).double(), rank=None, tolerance=t) for t in (0.6, 0.3, 0.1)]
    assert [low.rank for low, _ in found] == [1, 2, 3]
    nothing, lost = truncate(torch.eye(4).double(), torch.eye(4).double(), rank=None, tolerance=0.1)
    assert (nothing.rank, lost) == (1, 0.0) and not bool(nothing.down.any())


@pytest.mark.parametrize(
    ("down", "up", "says"),
    [
        (torch.zeros(4, 2), torch.zeros(2, 5), "got .4, 2. and .2, 5."),
        (torch.zeros(4, 5), torch.zeros(5, 4), "R at most D"),
        (torch.zeros(4), torch.zeros(4), "down .D, R."),
        (torch.zeros(0, 0), torch.zeros(0, 0), "down .D, R."),
        (torch.full((4, 1), torch.inf), torch.zeros(1, 4), "not finite"),
        (torch.zeros(4, 1), torch.zeros(1, 4, dtype=torch.int64), "up of a map .torch.int64"),
    ],
)
def test_wrong_parts_are_refused(down: torch.Tensor, up: torch.Tensor, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LowRank(down, up)


def test_saving_and_reading(tmp_path) -> None:
    fair_map = FairMap(some(), normal(6), pooled_weight=some(4), config=MapConfig(route="text", rank=2))
    again = FairMap.from_pretrained(fair_map.save_pretrained(tmp_path))
    assert isinstance(again.weight, LowRank) and isinstance(again.pooled_weight, LowRank)
    assert torch.equal(again(normal(2, 6)), fair_map(normal(2, 6))) and "rank=2" in repr(again)
    names = ["bias", "pooled_bias", "pooled_weight.down", "pooled_weight.up", "weight.down", "weight.up"]
    assert sorted(load_file(tmp_path / "model.safetensors")) == names


def text(pipe, **options):
    given = {"route": "text", "templates": ["a photo of {}"], "progress": False, "holdout": ["aide", "mason"]}
    return fit(pipe, WORDS, ["gender"], **(given | options))


def test_above_the_stated_width_it_is_the_default_and_its_loss_is_stated(tiny_sdxl, monkeypatch, capsys) -> None:
    """Widths as in SD3 or Kolors: the sequence above the bound, the pooled below; here 56 and 24."""
    square = text(tiny_sdxl)
    assert isinstance(square.weight, torch.Tensor) and square.config.rank is None and not square.config.truncated
    monkeypatch.setattr(lowrank, "SQUARE", 32)
    fair_map = text(tiny_sdxl)
    config, found = fair_map.config, fair_map.config.truncated
    assert isinstance(fair_map.weight, LowRank) and isinstance(fair_map.pooled_weight, torch.Tensor)
    assert config.rank == fair_map.weight.rank == found["rank"] < 28 and 0 < found["lost"] <= 0.1
    assert found["bias_after"] == pytest.approx(square.config.bias_after)
    assert found["held_out_bias_after"] == pytest.approx(square.config.held_out_bias_after)
    contrasts = Contrasts.encode(tiny_sdxl, WORDS, ["gender"], ["a photo of {}"])
    assert config.bias_after["gender"] == pytest.approx(
        float(contrasts.map(fair_map).bias().bias("gender").mean()), rel=1e-4
    )
    x = contrasts.specific.sequence
    apart = ((fair_map(x) - square(x)).norm(dim=-1) / x.norm(dim=-1)).mean()
    assert found["difference"] == pytest.approx(float(apart), rel=0.2)
    print_fit(config)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"Rank {config.rank} in place of a square matrix leaves out {found['lost']:.1%}" in printed
    assert f"Rank {config.rank} in place of a square matrix" in card_of(fair_map)


def card_of(fair_map: FairMap) -> str:
    from fairmapping.mapconfig import model_card

    return model_card(fair_map.config, fair_map.width, fair_map.pooled_width)


def test_a_rank_can_be_asked_for_and_the_width_keeps_the_square(tiny_sdxl, monkeypatch) -> None:
    ranks = [text(tiny_sdxl, rank=rank) for rank in (1, 4)]
    assert [part.weight.rank for part in ranks] == [1, 4] and ranks[1].pooled_weight.rank == 4
    assert ranks[0].config.truncated["lost"] > ranks[1].config.truncated["lost"]
    monkeypatch.setattr(lowrank, "SQUARE", 8)
    assert isinstance(text(tiny_sdxl, rank=56).weight, torch.Tensor)
    with pytest.raises(ValueError, match="rank is 0; at least 1"):
        text(tiny_sdxl, rank=0)


def test_an_attached_map_of_low_rank_draws_what_its_square_draws() -> None:
    pipe = tiny.make_sd()
    low = text(pipe, rank=6)
    square = FairMap(low.weight.square(), config=low.config)
    images = []
    for fair_map in (low, square):
        with attached(pipe, fair_map, detector="off"):
            call = {"num_inference_steps": 2, "output_type": "np", "generator": torch.Generator().manual_seed(0)}
            images.append(pipe("a portrait of a doctor", **call).images)
    np.testing.assert_allclose(*images, atol=2e-5, rtol=0)
