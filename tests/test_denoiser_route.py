"""Fits through the denoisers of the tiny pipelines: they gain, and leave the pipeline as it was."""

from __future__ import annotations

import sys

import pytest
import tiny
import torch

from fairmapping.attach import attached
from fairmapping.denoiser_route import fit_denoiser, fit_sampled
from fairmapping.embed import encode
from fairmapping.mapping import FairMap
from fairmapping.prompts import resolve_attributes
from fairmapping.record import denoiser_of
from fairmapping.targets import resolve_targets

module = sys.modules[fit_sampled.__module__]
regression = sys.modules["fairmapping.regress"]
WORDS, ATTRIBUTES = ["doctor", "cook", "judge"], resolve_attributes(["gender"])
EVEN = resolve_targets(None, {"gender": ("female", "male")})
FEMALE = (("gender", "female"),)
SETTINGS = {
    "templates": ["a photo of {}"],
    "targets": EVEN,
    "images": 6,
    "batch_size": 3,
    "steps": 25,
    "rank": 4,
    "lr": 0.03,
    "progress": False,
}
CALL = {"num_inference_steps": 2, "height": 8, "width": 8}
PIPES = {"sd": tiny.make_sd, "sdxl": tiny.make_sdxl, "flux": tiny.make_flux, "distilled": tiny.make_distilled}


def weights(pipe):
    """Every tensor of every part, copied."""
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    return {(name, key): value.clone() for name, part in parts.items() for key, value in part.state_dict().items()}


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16, checkpointed"])
@pytest.mark.parametrize(
    ("family", "route"),
    [("sd", fit_sampled), ("sdxl", fit_denoiser), ("flux", fit_sampled), ("distilled", fit_denoiser),
     ("sd", fit_denoiser), ("sdxl", fit_sampled), ("flux", fit_denoiser), ("distilled", fit_sampled)],
)  # fmt: skip
def test_the_loss_falls_and_the_pipeline_stays(family, route, half, monkeypatch):
    monkeypatch.setattr(regression, "MEASURED", 4)
    pipe = PIPES[family]()
    if half:
        pipe.to(torch.bfloat16)
    denoiser = denoiser_of(pipe)
    next(denoiser.parameters()).requires_grad_(True)
    before, flags = weights(pipe), [parameter.requires_grad for parameter in denoiser.parameters()]
    fair_map = route(pipe, WORDS, ATTRIBUTES, call=CALL, checkpointing=half, **SETTINGS)
    assert 0 <= fair_map.config.loss < 0.95
    after = weights(pipe)
    assert all(torch.equal(value, after[key]) for key, value in before.items()) and len(before) == len(after)
    assert [parameter.requires_grad for parameter in denoiser.parameters()] == flags
    assert all(parameter.grad is None for parameter in denoiser.parameters())
    assert not denoiser.is_gradient_checkpointing and not denoiser._forward_hooks
    has_pooled = encode(pipe, ["a"]).pooled is not None
    assert (fair_map.pooled_width is not None) == has_pooled
    assert bool(fair_map.groups) == (route is fit_sampled)
    assert all(tensor.isfinite().all() and tensor.dtype == torch.float32 for tensor in fair_map.buffers())


def test_checkpointing_changes_no_figure(tiny_sd):
    few = SETTINGS | {"images": 3, "batch_size": 3, "steps": 3}
    one, two = (
        fit_sampled(tiny_sd, WORDS, ATTRIBUTES, call=CALL, checkpointing=value, **few) for value in (False, True)
    )
    torch.testing.assert_close(one.shifts.up, two.shifts.up)
    torch.testing.assert_close(one.config.loss, two.config.loss)


@pytest.fixture(scope="module")
def sampled(tiny_distilled):
    attributes = resolve_attributes(["gender", "race"])
    settings = SETTINGS | {"targets": None, "images": 24, "steps": 40}
    return fit_sampled(tiny_distilled, WORDS, attributes, call=CALL, **settings)


def test_a_sampled_map_only_shifts(sampled, tiny_distilled, tmp_path):
    neutral, explicit = (encode(tiny_distilled, [text]) for text in ("a photo of a cook", "a photo of a female cook"))
    assert torch.equal(sampled(neutral.sequence, neutral.mask), neutral.sequence)
    assert list(sampled.groups) == ["gender", "race"] and len(sampled.groups["race"]) == 4
    moved = sampled(neutral.sequence, neutral.mask, cells=[FEMALE])
    assert not torch.equal(moved, neutral.sequence)
    config = sampled.config
    assert (config.route, config.images, config.rank, config.steps) == ("sampled", 24, 4, 40)
    assert (config.keywords, config.templates, config.targets) == (WORDS, ["a photo of {}"], {})
    again = FairMap.from_pretrained(sampled.save_pretrained(tmp_path))
    assert torch.equal(again(neutral.sequence, neutral.mask, cells=[FEMALE]), moved)
    assert explicit.sequence.shape == moved.shape


def test_a_map_towards_the_mixture_is_affine_and_keeps_its_targets(tiny_distilled):
    targets = resolve_targets({"gender": {"female": 1.0, "male": 0.0}}, {"gender": ("female", "male")})
    fair_map = fit_denoiser(tiny_distilled, WORDS, ATTRIBUTES, call=CALL, **(SETTINGS | {"targets": targets}))
    assert fair_map.shifts is None and fair_map.config.route == "denoiser"
    assert fair_map.config.targets == targets.to_dict()
    rank = torch.linalg.matrix_rank(fair_map.weight.square() - torch.eye(32), rtol=1e-4)
    assert 0 < rank <= 4 and bool(fair_map.bias.any())


def test_a_fit_follows_from_its_seed(tiny_distilled):
    few = SETTINGS | {"images": 3, "batch_size": 3, "steps": 2}
    made = [fit_sampled(tiny_distilled, WORDS, ATTRIBUTES, call=CALL, seed=seed, **few) for seed in (0, 0, 1)]
    assert torch.equal(made[0].shifts.bias, made[1].shifts.bias)
    assert not torch.equal(made[0].shifts.bias, made[2].shifts.bias)


def test_what_is_drawn_can_be_told(tiny_sd, monkeypatch):
    """A negative prompt is one string for every image, and the pipeline's own progress bar does not show."""
    few, asked = SETTINGS | {"images": 3, "batch_size": 3, "steps": 1}, []
    monkeypatch.setattr(module, "regress", lambda pipe, batches, *_, **__: asked.extend(batches) or stop())
    call = CALL | {"negative_prompt": "a hat", "guidance_scale": 2.0}
    with pytest.raises(KeyboardInterrupt):
        fit_sampled(tiny_sd, WORDS, ATTRIBUTES, call=call, **few)
    assert len(asked) == 1 and len(asked[0].calls) == 2


def stop():
    raise KeyboardInterrupt


def test_an_attached_pipeline_and_long_prompts_are_refused(tiny_sd):
    with attached(tiny_sd, tiny.random_map(tiny_sd)), pytest.raises(RuntimeError, match="detach it first"):
        fit_sampled(tiny_sd, WORDS, ATTRIBUTES, call=CALL, **SETTINGS)
    with pytest.raises(ValueError, match="prompts are longer than the text encoder reads.*give shorter keywords"):
        fit_sampled(tiny_sd, ["x" * 60], ATTRIBUTES, call=CALL, **SETTINGS)
