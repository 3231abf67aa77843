"""Route "text", both solvers: folding, losses, what they do to language bias, what they refuse."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from fairmapping import lists
from fairmapping.bias import Contrasts
from fairmapping.embed import Embeddings
from fairmapping.fingerprint import fingerprint
from fairmapping.fit import fit
from fairmapping.gradient import DeepLinear, descend
from fairmapping.mapping import FairMap
from fairmapping.text_route import fit_embeddings, objective, relative_change

module = sys.modules[fit_embeddings.__module__]
WORDS = ["doctor", "cook", "judge", "nurse", "clerk", "pilot", "baker", "coach"]


@pytest.fixture(scope="module")
def made() -> Contrasts:
    """Embeddings in which each group has a direction of its own, and each keyword leans towards some of them."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    keywords, templates, length, width = 12, 2, 5, 16
    subject = normal(keywords, templates, 1, length, width)
    groups = normal(6, 1, width)
    lean = 0.15 * torch.einsum("kg,gd->kd", normal(keywords, 6), groups[:, 0])
    away = groups - lean[:, None, None, None] + 0.05 * normal(keywords, templates, 6, length, width)
    groups = subject + away
    mask = torch.ones(keywords * templates * 6, length, dtype=torch.bool)
    mask[:, -2:] = False
    return Contrasts(
        tuple(f"k{i}" for i in range(keywords)),
        tuple(lists.attributes().values()),
        ("a {}", "the {}"),
        Embeddings(subject.reshape(-1, length, width), mask[: keywords * templates]),
        Embeddings(groups.reshape(-1, length, width), mask),
    )


@pytest.mark.parametrize("depth", [1, 2, 8])
def test_the_folded_map_equals_its_layers(depth: int) -> None:
    network = DeepLinear(7, depth)
    x = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(x), x) and torch.equal(network.fold(), torch.eye(7))  # it starts as the identity
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in network.layers:
            layer.add_(0.3 * torch.randn(7, 7, generator=generator))
        torch.testing.assert_close(FairMap(network.fold())(x), network(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("distance", ["pooled", "position", "sequence"])
def test_the_exact_loss_is_no_worse_than_the_gradients(made: Contrasts, distance: str) -> None:
    exact = fit_embeddings(made, distance=distance)
    gradient = fit_embeddings(made, solver="gradient", distance=distance, depth=3, steps=300, lr=3e-3)
    assert exact.config.loss <= gradient.config.loss
    assert gradient.config.loss == pytest.approx(exact.config.loss, rel=0.1)  # and both arrive at the same place
    assert exact.config.loss_bound <= exact.config.loss <= exact.config.loss_bound * (1 + 1e-4)
    for fair_map in (exact, gradient):
        for name, before in fair_map.config.bias_before.items():
            assert fair_map.config.bias_after[name] < 0.5 * before
        assert 0 < fair_map.config.relative_change < 0.5


def test_losses_are_what_the_formulas_say(made: Contrasts) -> None:
    fair_map = fit_embeddings(made, weight=2.0, ridge=0.3)
    M = fair_map.weight.double()
    x = torch.cat([part.sequence.flatten(0, 1) for part in (made.neutral, made.specific)]).double()
    text = (x @ M - x).square().sum() / x.square().sum() + 0.3 / 16 * (M - torch.eye(16)).square().sum()
    fair = 0.0
    for name in ("gender", "race"):
        before, after = (made.bias("pooled", matrix).distances[name] for matrix in (None, M))
        fair += np.var(after, axis=-1).mean() / np.var(before, axis=-1).mean() / 2
    config = fair_map.config
    assert config.loss_text == pytest.approx(float(text), rel=1e-4)
    assert config.loss_fair == pytest.approx(float(fair), rel=1e-4)
    assert config.loss == pytest.approx(float(text) + 2.0 * fair, rel=1e-4)


@pytest.mark.parametrize("solver", ["exact", "gradient"])
def test_a_fit_can_be_repeated(made: Contrasts, solver: str) -> None:
    first, second = (fit_embeddings(made, solver=solver, steps=20) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert replace(first.config, seconds=0) == replace(second.config, seconds=0)


def test_more_weight_is_fairer_and_further_away(made: Contrasts) -> None:
    maps = [fit_embeddings(made, weight=weight) for weight in (0.01, 0.1, 1.0, 10.0)]
    for name in ("gender", "race"):
        assert (np.diff([m.config.bias_after[name] for m in maps]) < 0).all()
    assert (np.diff([m.config.relative_change for m in maps]) > 0).all()


def test_early_stop_and_the_limit_of_steps(made: Contrasts) -> None:
    problem = next(module._problems(made, "pooled", 1.0, 0.2))
    seen: list[int] = []
    descend(problem, 2, 7, 1e-3, 20, lambda step, loss: seen.append(step))
    assert seen == list(range(8))
    seen.clear()
    descend(problem, 2, 100_000, 1e-3, 5, lambda step, loss: seen.append(step))
    assert len(seen) < 5000


def test_held_out_keywords_are_reported_and_not_fitted(made: Contrasts) -> None:
    fitted, others = made.select(made.keywords[:9]), made.select(made.keywords[9:])
    with_report = fit_embeddings(fitted, held_out=others)
    assert torch.equal(with_report.weight, fit_embeddings(fitted).weight)
    config = with_report.config
    assert config.keywords == [f"k{i}" for i in range(9)] and config.held_out == ["k9", "k10", "k11"]
    assert config.held_out_bias_before == pytest.approx(
        {name: float(others.bias().bias(name).mean()) for name in ("gender", "race")}
    )
    assert config.held_out_bias_after["gender"] < config.held_out_bias_before["gender"]
    assert config.held_out_relative_change == pytest.approx(relative_change(others, with_report))


def test_pooled_embeddings_get_a_map_of_their_own(tiny_sdxl) -> None:
    fair_map = fit(tiny_sdxl, WORDS, ["gender"], route="text", templates=["a photo of {}"], progress=False)
    assert (fair_map.width, fair_map.pooled_width) == (56, 24)
    contrasts = Contrasts.encode(tiny_sdxl, WORDS, ["gender"], ["a photo of {}"])

    def spread(part: Contrasts) -> float:
        d = part.pooled_differences()["gender"].square().sum((-1, -2)).sqrt()
        return float((d.std(-1) / d.mean(-1)).mean())

    assert spread(contrasts.map(fair_map)) < 0.3 * spread(contrasts)
    assert fair_map.config.encoder == fingerprint(tiny_sdxl)
    fair_map.check_encoder(fingerprint(tiny_sdxl))


def test_a_pipeline_is_left_as_it_was(tiny_sd) -> None:
    before = [parameter.clone() for parameter in tiny_sd.text_encoder.parameters()]
    fair_map = fit(
        tiny_sd, WORDS, route="text", templates=["a photo of {}"], solver="gradient", steps=3, progress=False
    )
    assert all(map(torch.equal, before, tiny_sd.text_encoder.parameters()))
    assert fair_map.config.solver == "gradient" and (fair_map.config.depth, fair_map.config.steps) == (8, 3)
    assert not fair_map.weight.requires_grad and not fair_map.bias.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "magic"}, "solver is 'magic'; choose exact or gradient"),
        ({"distance": "cosine"}, "distance is 'cosine'"),
        ({"weight": 0.0}, "weight is 0.0; a number above 0"),
        ({"weight": float("nan")}, "weight is nan"),
        ({"ridge": -1.0}, "ridge is -1.0"),
        ({"depth": 0}, "depth is 0; at least 1"),
        ({"steps": 0}, "steps is 0"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"patience": 0}, "patience is 0"),
    ],
)
def test_settings_out_of_range_are_refused(made: Contrasts, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_embeddings(made, **settings)


def test_prompts_that_the_encoder_cannot_tell_apart_are_refused(made: Contrasts) -> None:
    blocks = made.differences("pooled")
    with pytest.raises(ValueError, match="by gender the same embeddings"):
        objective(
            blocks | {"gender": blocks["gender"] * 0},
            [made.neutral],
            weight=1.0,
            ridge=0.1,
        )


def test_much_padding_is_sampled_fairly(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x, mask = torch.randn(100, 20, 4, generator=generator), torch.zeros(100, 20, dtype=torch.bool)
    mask[:, :5] = True
    whole = module._second_moment(Embeddings(x, mask))
    torch.testing.assert_close(whole, (x.flatten(0, 1).mT @ x.flatten(0, 1)).double(), rtol=1e-4, atol=1e-2)
    monkeypatch.setattr(module, "_SAMPLE", 500)
    assert (module._second_moment(Embeddings(x, mask)) - whole).norm() < 0.1 * whole.norm()


def test_some_columns_of_padding_stand_for_all_of_it(tiny_flux, monkeypatch) -> None:
    """T5 pads to 512 tokens, and holding all of them takes most of the memory: the map is nearly the same without."""

    def fitted(padding: int | None) -> FairMap:
        monkeypatch.setattr(module, "_PADDING", padding)
        return fit(tiny_flux, WORDS, ["gender"], route="text", templates=["a photo of {}"], progress=False)

    whole, some = fitted(None).weight, fitted(8).weight
    assert not torch.equal(whole, some)
    assert (some - whole).norm() < 0.05 * (whole - torch.eye(32)).norm()


def test_progress_is_shown(made: Contrasts, capsys: pytest.CaptureFixture[str]) -> None:
    for solver in ("exact", "gradient"):
        fit_embeddings(made, solver=solver, steps=5, progress=True)
        assert f"fitting ({solver})" in capsys.readouterr().err


def test_the_bias_of_a_real_encoder_falls_on_occupations_not_fitted(portraits_pipe) -> None:
    """One template and half the occupations, to be quick; docs/results.md has the whole."""
    fitted, others = lists.split()
    fair_map = fit(
        portraits_pipe,
        fitted[::2],
        ["gender"],
        route="text",
        templates=["a portrait of {}"],
        holdout=others[::2],
        progress=False,
    )
    config = fair_map.config
    assert config.bias_after["gender"] < 0.1 * config.bias_before["gender"]
    assert config.held_out_bias_after["gender"] < 0.4 * config.held_out_bias_before["gender"]
    assert config.relative_change < 0.08
