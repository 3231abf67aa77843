"""The other pipelines of the same families, and what users do to their parts: image to image, inpainting, textual
inversion, offloading."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from accelerate import cpu_offload
from diffusers import (
    AutoencoderKL,
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    SD3Transformer2DModel,
)
from test_families import FAMILIES, OPEN, SETTLED, draw, modules_of

from fairmapping.attach import attached, receipts
from fairmapping.embed import encode

PROMPTS = [OPEN, SETTLED]
NAMES = ["sd", "sdxl", "sd3", "flux"]
IMAGE = np.linspace(0, 1, 8 * 8 * 3, dtype=np.float32).reshape(1, 8, 8, 3).repeat(2, 0)


def by_hand(name, pipe, fair_map, call, prompts=PROMPTS):
    """Encode as the pipeline is now, map the first of two prompts, pass the embeddings in."""
    found = encode(pipe, prompts)
    passed = {"prompt_embeds": torch.stack([fair_map(found.sequence, found.mask)[0], found.sequence[1]])}
    if found.pooled is not None:
        passed["pooled_prompt_embeds"] = torch.stack([fair_map.map_pooled(found.pooled)[0], found.pooled[1]])
    if name != "flux":
        grey = encode(pipe, ["grey"] * 2)
        passed["negative_prompt_embeds"] = grey.sequence
        if grey.pooled is not None:
            passed["negative_pooled_prompt_embeds"] = grey.pooled
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    return pipe(prompt=None, generator=generators, **passed, **call).images


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["image to image", "inpainting"])
def test_other_tasks_of_the_same_family(name, kind):
    """A map of the text-to-image pipeline, attached to the one for the task: as encoding, mapping, passing by hand."""
    make, call = FAMILIES[name]
    plain = make()
    if name == "sd3":  # inpainting wants as many channels as the real one has
        wide = {"in_channels": 16, "out_channels": 16}
        plain.transformer = SD3Transformer2DModel.from_config(plain.transformer.config, **wide).eval()
        plain.vae = AutoencoderKL.from_config(plain.vae.config, latent_channels=16).eval()
    auto = AutoPipelineForImage2Image if kind == "image to image" else AutoPipelineForInpainting
    pipe = auto.from_pipe(plain)
    assert type(pipe) is not type(plain)
    pipe.set_progress_bar_config(disable=True)
    size = call.get("height", 8)
    image = IMAGE.repeat(size // 8, 1).repeat(size // 8, 2)
    call = call | {"image": torch.from_numpy(image).permute(0, 3, 1, 2), "strength": 1.0}
    if kind == "inpainting":
        call |= {"mask_image": torch.ones(2, 1, size, size), "height": size, "width": size}
    before = draw(name, pipe, PROMPTS, call)
    fair_map = tiny.random_map(plain)
    with attached(pipe, fair_map):
        after = draw(name, pipe, PROMPTS, call)
        assert [bool(receipt.mapped) for receipt in receipts(pipe)] == [True, False]
    assert np.abs(after[0] - before[0]).max() > 1e-5
    assert np.array_equal(after[1], before[1])
    np.testing.assert_allclose(after, by_hand(name, pipe, fair_map, call), atol=2e-6, rtol=0)
    assert np.array_equal(draw(name, pipe, PROMPTS, call), before)


@pytest.mark.parametrize("name", ["sd", "sdxl", "flux"])  # diffusers loads none into SD3
def test_textual_inversion_is_read_as_its_tokens(name):
    make, call = FAMILIES[name]
    pipe = make()
    for suffix in ("", "_2") if name == "sdxl" else ("",):
        encoder, tokenizer = getattr(pipe, f"text_encoder{suffix}"), getattr(pipe, f"tokenizer{suffix}")
        rows = torch.randn(2, encoder.config.hidden_size)
        pipe.load_textual_inversion({"<style>": rows}, text_encoder=encoder, tokenizer=tokenizer)
    fair_map = tiny.random_map(pipe)
    prompts = ["a portrait of a doctor in <style>", "a hat in <style>"]
    before = draw(name, pipe, prompts, call)
    with attached(pipe, fair_map):
        after = draw(name, pipe, prompts, call)
    np.testing.assert_allclose(after, by_hand(name, pipe, fair_map, call, prompts), atol=2e-6, rtol=0)
    assert np.array_equal(after[1], before[1])
    assert np.abs(after[0] - before[0]).max() > 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_offloaded_encoders_are_read_as_they_are(name):
    make, call = FAMILIES[name]
    plain, pipe = make(), make()
    fair_map = tiny.random_map(plain)
    for _, part in modules_of(pipe):  # what enable_sequential_cpu_offload does on a GPU
        cpu_offload(part, torch.device("cpu"))
        assert next(part.parameters()).device.type == "meta"
    with attached(plain, fair_map), attached(pipe, fair_map):
        expected, found = (draw(name, each, PROMPTS, call) for each in (plain, pipe))
    np.testing.assert_allclose(found, expected, atol=2e-6, rtol=0)
