"""The regression onto the denoiser's predictions, on a toy whose ideal denoiser is known exactly.

Images are points of two Gaussians. The share of the first is sigmoid(h . e) of the embedding e, and the denoiser is
the ideal one of that mixture. Explicit embeddings lie far out along h; neutral ones have a bias of their own each.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from fairmapping.drawings import Batch, Plan
from fairmapping.embed import Embeddings
from fairmapping.record import Call
from fairmapping.regress import Affine, Regression, regress

module = sys.modules[regress.__module__]
WIDTH, LEVELS = 6, (0.02, 0.2, 0.5)  # of the signal's power, from nearly pure noise on
CELLS = (("gender", "female"),), (("gender", "male"),)
SETTINGS = Regression(rank=WIDTH, steps=500, lr=0.02, span=1.0, seed=0, checkpointing=False, state=None)


class Ideal(nn.Module):
    """E[noise | x_t] for the mixture of two Gaussians N(mean_c, 1/4) in shares sigmoid(h . e) and the rest."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        h = torch.randn(WIDTH, generator=generator)
        self.h = nn.Parameter(h / h.norm())
        self.means = nn.Parameter(torch.tensor([[1.5, 0.0], [-1.5, 0.5]]))

    def components(self, x: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The prediction of each component alone (B, 2, 2), and the log density of x in it (B, 2)."""
        kept = kept[:, None, None]
        variance = kept / 4 + 1 - kept
        away = x[:, None] - kept.sqrt() * self.means
        density = -away.square().sum(-1) / (2 * variance[..., 0]) - variance[..., 0].log()
        return (1 - kept).sqrt() * away / variance, density

    def share(self, sequence: torch.Tensor) -> torch.Tensor:
        return (sequence.mean(1) @ self.h).sigmoid()

    def forward(self, x: torch.Tensor, kept: torch.Tensor, sequence: torch.Tensor) -> torch.Tensor:
        noise, density = self.components(x, kept)
        logit = sequence.mean(1) @ self.h
        prior = torch.stack([nn.functional.logsigmoid(logit), nn.functional.logsigmoid(-logit)], 1)
        return ((prior + density).softmax(1)[..., None] * noise).sum(1)


def neutral_embeddings(denoiser: Ideal, count: int, seed: int) -> torch.Tensor:
    """(count, 2, WIDTH): keywords that differ in all directions, most of which the model draws from the first group."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randn(count, WIDTH, generator=generator)
    bias = 1.5 + torch.randn(count, 1, generator=generator)
    words = words + (bias - words @ denoiser.h[:, None]) * denoiser.h
    return torch.stack([words + 1, words - 1], 1).detach()


@torch.no_grad()
def toy(share: float, batches: int = 12, size: int = 1000, seed: int = 0) -> tuple[SimpleNamespace, list[Batch]]:
    """A pipeline, and batches in which exactly ``share`` of every keyword's drawings show the first group."""
    denoiser = Ideal()
    generator = torch.Generator().manual_seed(seed)
    keywords = neutral_embeddings(denoiser, 10, seed)
    made = []
    order = torch.arange(size)
    first, neutral = order // 10 % 10 < round(share * 10), keywords[order % 10]
    for _ in range(batches):
        side = torch.where(first, 12.0, -12.0)[:, None] - neutral.mean(1) @ denoiser.h[:, None]
        explicit = neutral + (side * denoiser.h)[:, None]
        clean = torch.where(first[:, None], *denoiser.means) + torch.randn(size, 2, generator=generator) / 2
        calls = []
        for progress, level in enumerate(LEVELS):
            kept = torch.full((size,), level)
            x = level**0.5 * clean + (1 - level) ** 0.5 * torch.randn(size, 2, generator=generator)
            leaves, structure = pytree.tree_flatten(([x, kept, explicit], {}))
            output = denoiser(x, kept, explicit)
            calls.append(Call(tuple(leaves), structure, 2, None, None, output, progress / 2))
        plans = tuple(Plan(f"{cell}", cell, "open", "open", ()) for cell in (CELLS[0 if one else 1] for one in first))
        prompts = Embeddings(neutral, torch.ones(size, 2, dtype=torch.bool))
        made.append(Batch(plans, prompts, prompts, tuple(calls)))
    return SimpleNamespace(components={"unet": denoiser}, _execution_device=torch.device("cpu")), made


def always(*_: object) -> list[float]:
    return [1.0]


def test_the_mean_of_component_predictions_given_the_noisy_image_is_the_mixtures() -> None:
    """The theorem without any fit: x_t from a component's own images, regressed on the component's own prediction."""
    denoiser, n, share, level = Ideal(), 200_000, 0.3, 0.2
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(n, generator=generator) < share
    with torch.no_grad():
        clean = torch.where(first[:, None], *denoiser.means) + torch.randn(n, 2, generator=generator) / 2
    x = level**0.5 * clean + (1 - level) ** 0.5 * torch.randn(n, 2, generator=generator)
    noise, density = denoiser.components(x.requires_grad_(), torch.full((n,), level))
    # The ideal denoiser of the mixture is its score, taken here from the density alone.
    prior = torch.tensor([share, 1 - share]).log()
    (score,) = torch.autograd.grad((prior + density).logsumexp(1).sum(), x)
    mixture = -((1 - level) ** 0.5) * score
    own = torch.where(first[:, None], noise[:, 0], noise[:, 1]).detach()
    place = (x.detach()[:, 0].clamp(-2.9, 2.9) * 5 + 15).long()  # bins of the direction that tells the groups apart
    count = torch.bincount(place, minlength=30)
    assert (own - mixture).abs().mean() > 0.1, "drawing by drawing they differ"
    for axis in (0, 1):
        mean = [torch.bincount(place, part[:, axis], 30) / count.clamp(min=1) for part in (own, mixture)]
        many = count > 1000
        assert int(many.sum()) > 10
        torch.testing.assert_close(mean[0][many], mean[1][many], atol=0.02, rtol=0)
    # And the toy's denoiser is that mixture where its embedding says so.
    sequence = (torch.tensor(share).logit() * denoiser.h).expand(n, 1, WIDTH)
    torch.testing.assert_close(denoiser(x, torch.full((n,), level), sequence), mixture, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_the_mapped_prompts_draw_the_target_mixture(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 0.05 for every keyword and 0.02 on average, of those that the fit has not seen as well: what 12000
    drawings leave to chance."""
    monkeypatch.setattr(module, "LEAST", 0.0)  # the theorem is about the predictions alone
    pipe, batches = toy(share)
    nets, left = regress(pipe, batches, always, 1, SETTINGS, progress=False)
    denoiser = pipe.components["unet"]
    for seed in (0, 1):  # the keywords of the batches, and others
        neutral = neutral_embeddings(denoiser, 10, seed)
        with torch.no_grad():
            before = denoiser.share(neutral)
            found = denoiser.share(neutral + nets[0](neutral, torch.ones(len(neutral), 1)))
        assert float((before - share).abs().mean()) > 0.2
        assert float((found - share).abs().max()) < 0.05
        assert abs(float(found.mean()) - share) < 0.02
    assert left < 1


def test_shifts_take_every_prompt_to_the_group_that_is_drawn() -> None:
    pipe, batches = toy(0.5)
    denoiser = pipe.components["unet"]

    def choose(plan: Plan, is_open: bool, rng: object) -> list[float]:
        return [float(plan.cell == cell) for cell in CELLS]

    nets, left = regress(pipe, batches, choose, 2, SETTINGS, progress=False)
    neutral = neutral_embeddings(denoiser, 10, 1)
    with torch.no_grad():
        for chosen, wanted in (([1.0, 0.0], 1.0), ([0.0, 1.0], 0.0)):
            found = denoiser.share(neutral + nets[0](neutral, torch.tensor([chosen]).expand(10, 2)))
            assert float((found - wanted).abs().max()) < 0.1
    assert left < 0.1


def test_only_the_early_part_of_a_drawing_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    replay = Call.replay
    monkeypatch.setattr(Call, "replay", lambda call, *rest: asked.append(call.progress) or replay(call, *rest))
    pipe, batches = toy(0.5, batches=2, size=100)
    regress(pipe, batches, always, 1, replace(SETTINGS, steps=10, span=0.6), progress=False)
    assert set(asked) == {0.0, 0.5}


def test_the_steps_fold_into_plain_matrices() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(4, 5, WIDTH, generator=generator)
    net = Affine(x, 3, 2, seed=0)
    assert not net(x, torch.ones(4, 3)).any(), "it starts without a step"
    with torch.no_grad():
        net.up.normal_(generator=generator)
        net.bias.normal_(generator=generator)
        down, up, bias = net.folded()
        expected = x @ down @ (up[0] + 0.5 * up[2]) + bias[0] + 0.5 * bias[2]
        chosen = torch.tensor([[1.0, 0.0, 0.5]]).expand(4, 3)
        torch.testing.assert_close(net(x, chosen), expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(net(x[:, 0], chosen), expected[:, 0], atol=1e-4, rtol=1e-4)


def test_a_stopped_fit_goes_on_to_the_same_end(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAVE_EVERY", 5)
    pipe, batches = toy(0.5, batches=3, size=100)
    weights = list(pipe.components["unet"].parameters())
    weights[1].requires_grad_(False)
    settings = replace(SETTINGS, steps=30)
    whole, left = regress(pipe, batches, always, 1, settings, progress=False)
    state, asked, replay = tmp_path / "new" / "state.safetensors", [], Call.replay

    def stopping(call, *rest):
        asked.append(call)
        if len(asked) == module.MEASURED + 18:
            raise KeyboardInterrupt
        return replay(call, *rest)

    monkeypatch.setattr(Call, "replay", stopping)
    with pytest.raises(KeyboardInterrupt):
        regress(pipe, batches, always, 1, replace(settings, state=state), progress=False)
    assert [weight.requires_grad for weight in weights] == [True, False]
    assert [path.name for path in state.parent.iterdir()] == ["state.safetensors"]
    asked.clear()
    monkeypatch.setattr(Call, "replay", lambda call, *rest: asked.append(call) or replay(call, *rest))
    again, same = regress(pipe, batches, always, 1, replace(settings, state=state), progress=False)
    assert len(asked) == 2 * module.MEASURED + 30 - 15
    assert same == left
    for name, value in whole[0].state_dict().items():
        assert torch.equal(again[0].state_dict()[name], value), name
    for other in (replace(settings, state=state, lr=0.1), replace(settings, state=state, call="guidance 3")):
        with pytest.raises(ValueError, match="left by a fit with other settings or keywords"):
            regress(pipe, batches, always, 1, other, progress=False)


def test_the_denoiser_is_left_as_it_was() -> None:
    pipe, batches = toy(0.5, batches=2, size=100)
    denoiser = pipe.components["unet"]
    before = [weight.detach().clone() for weight in denoiser.parameters()]
    regress(pipe, batches, always, 1, replace(SETTINGS, steps=3), progress=False)
    assert all(map(torch.equal, before, denoiser.parameters()))
    assert all(weight.requires_grad and weight.grad is None for weight in denoiser.parameters())


def test_a_loss_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, batches = toy(0.5, batches=2, size=100)
    broken = [replace(b, calls=tuple(replace(c, output=c.output * torch.nan) for c in b.calls)) for b in batches]
    with pytest.raises(FloatingPointError, match="use bfloat16 or float32"):
        regress(pipe, broken, always, 1, replace(SETTINGS, steps=3), progress=False)
    with pytest.raises(FloatingPointError, match=r"at step \d+; lower lr \(it is 1e\+30\)"):
        regress(pipe, batches, always, 1, replace(SETTINGS, lr=1e30, steps=30), progress=False)


def test_a_denoiser_that_does_not_read_the_prompt_is_told() -> None:
    pipe, batches = toy(0.5, batches=2, size=100)
    deaf = [replace(b, calls=tuple(replace(c, output=torch.zeros(100, 2)) for c in b.calls)) for b in batches]
    pipe.components["unet"] = Deaf()
    with pytest.raises(ValueError, match="does it read the prompt"):
        regress(pipe, deaf, always, 1, replace(SETTINGS, steps=3), progress=False)


class Deaf(nn.Module):
    def forward(self, x: torch.Tensor, kept: torch.Tensor, sequence: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)
