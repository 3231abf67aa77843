"""A recorded call of the denoiser can be asked again, on every way that a prompt travels."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fairmapping.embed import encode
from fairmapping.record import Recorder, denoiser_of, takes_guidance

TEXTS, OTHERS = ["a doctor", "a very old man"], ["a nurse", "clouds"]
CASES = {
    "sd with guidance": ("tiny_sd", {"guidance_scale": 5.0, "negative_prompt": "a hat"}),
    "sd without": ("tiny_sd", {"guidance_scale": 1.0}),
    "guidance in the weights": ("tiny_distilled", {"guidance_scale": 3.0}),
    "sdxl with guidance": ("tiny_sdxl", {"guidance_scale": 5.0, "negative_prompt": "a hat"}),
    "flux": ("tiny_flux", {"height": 8, "width": 8}),
    "flux with true guidance": (
        "tiny_flux",
        {"height": 8, "width": 8, "true_cfg_scale": 3.0, "negative_prompt": "a hat"},
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    name, call = CASES[request.param]
    pipe = request.getfixturevalue(name)
    return pipe, Recorder(pipe).draw(TEXTS, [1, 2], {"num_inference_steps": 3} | call)


def replayed(pipe, call, prompts, **changed):
    given = {"sequence": prompts.sequence, "pooled": prompts.pooled, "mask": prompts.mask} | changed
    return call.replay(denoiser_of(pipe), **given, device=torch.device("cpu"))


def test_only_the_calls_for_the_prompt_are_kept_with_their_rows_alone(case):
    pipe, calls = case
    assert [call.progress for call in calls] == [0.0, 0.5, 1.0]
    for call in calls:
        assert len(call.output) == 2
        assert torch.equal(call.leaves[call.sequence], encode(pipe, TEXTS).sequence)
        assert (call.pooled is None) == (encode(pipe, TEXTS).pooled is None)
        if call.pooled is not None:
            assert torch.equal(call.leaves[call.pooled], encode(pipe, TEXTS).pooled)
    assert not denoiser_of(pipe)._forward_hooks


def test_the_recorded_embedding_gives_the_recorded_output_and_another_one_does_not(case):
    pipe, calls = case
    with torch.no_grad():
        for call in calls:
            same = replayed(pipe, call, encode(pipe, TEXTS))
            torch.testing.assert_close(same, call.output, atol=1e-5, rtol=1e-4)
            assert (replayed(pipe, call, encode(pipe, OTHERS)) - call.output).abs().max() > 1e-3


def test_gradients_reach_the_embeddings_and_nothing_else(case):
    pipe, calls = case
    prompts = encode(pipe, TEXTS)
    wanted = {"sequence": prompts.sequence.clone().requires_grad_()}
    if prompts.pooled is not None:
        wanted["pooled"] = prompts.pooled.clone().requires_grad_()
    replayed(pipe, calls[1], prompts, **wanted).square().sum().backward()
    assert all(bool(value.grad.flatten(1).any(1).all()) for value in wanted.values()), "of every prompt"
    assert all(parameter.grad is None for parameter in denoiser_of(pipe).parameters())


def test_drawings_repeat_by_their_seeds(tiny_sd):
    call = {"num_inference_steps": 2}
    first, second, other = (Recorder(tiny_sd).draw(TEXTS, seeds, call) for seeds in ([1, 2], [1, 2], [3, 2]))
    assert torch.equal(first[0].output, second[0].output)
    changed = (first[0].output != other[0].output).flatten(1).any(1)
    assert changed.tolist() == [True, False]


def test_who_is_told_the_guidance(tiny_sd, tiny_distilled, tiny_flux):
    assert [takes_guidance(pipe) for pipe in (tiny_sd, tiny_distilled, tiny_flux)] == [False, True, False]


class Odd:
    """A pipeline of the general rule whose denoiser reads something of its own."""

    _execution_device = torch.device("cpu")

    def __init__(self, rows=None):
        self.rows = rows
        self.components = {"unet": nn.Identity()}

    def encode_prompt(self, prompt, prompt_embeds=None):
        return torch.ones(len(prompt), 3, 2)

    def set_progress_bar_config(self, **_):
        self._progress_bar_config = {}

    def __call__(self, prompt=None, generator=None, output_type="pil", prompt_embeds=None):
        if self.rows == "fails":
            raise KeyboardInterrupt
        self.components["unet"](self.encode_prompt(prompt) + 1)


def test_a_denoiser_that_is_not_given_the_embeddings_is_refused():
    with pytest.raises(TypeError, match=r"Identity of Odd was never given .*; use route='text'"):
        Recorder(Odd()).draw(["a"], [0], {})
    with pytest.raises(TypeError, match="neither a unet nor a transformer"):
        denoiser_of(SimpleNamespace(components={"vae": nn.Identity()}))
    with pytest.raises(TypeError, match="has no method encode_prompt"):
        Recorder(SimpleNamespace(components={"unet": nn.Identity()}))


def test_an_interrupted_drawing_leaves_no_hook():
    pipe = Odd("fails")
    with pytest.raises(KeyboardInterrupt):
        Recorder(pipe).draw(["a"], [0], {})
    assert not pipe.components["unet"]._forward_hooks
