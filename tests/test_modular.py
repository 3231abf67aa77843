"""The block for modular pipelines, against the same map attached to the ordinary pipeline of the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import tiny_chat
import torch

from fairmapping.attach import attached
from fairmapping.modular import FairMapBlock, with_map

PROMPTS = ["a portrait of a doctor", "a female asian nurse"]
CALL = {"num_inference_steps": 2, "height": 8, "width": 8, "output_type": "np"}


@pytest.fixture
def pipe():
    return tiny_chat.make_modular_sdxl()


def draw(pipe, **more):
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    return pipe(prompt=list(PROMPTS), generator=generators, output="images", **CALL, **more)


def test_the_block_does_what_attaching_does(pipe):
    plain = tiny.make_sdxl()
    for fair_map in (tiny.random_map(plain), tiny.sampled_map(plain)):
        found = draw(with_map(pipe, fair_map), negative_prompt="grey")
        with attached(plain, fair_map):
            generators = [torch.Generator().manual_seed(i) for i in range(2)]
            expected = plain(
                PROMPTS, negative_prompt=["grey"] * 2, generator=generators, guidance_scale=7.5, **CALL
            ).images
        np.testing.assert_allclose(found, expected, atol=5e-6, rtol=0)


def test_what_is_left_alone_is_as_before_and_the_pipeline_itself_too(pipe):
    fair_map = tiny.random_map(tiny.make_sdxl())
    before = draw(pipe)
    mapped = with_map(pipe, fair_map)
    after = draw(mapped)
    assert not np.array_equal(after[0], before[0])
    assert np.array_equal(after[1], before[1])
    assert np.array_equal(draw(pipe), before)
    told = mapped.blocks.sub_blocks["fair_map"].receipts
    assert [receipt.mapped for receipt in told] == [("gender", "race"), ()]
    assert np.array_equal(draw(with_map(pipe, fair_map, strength=0.0, detector="off")), before)


def test_what_cannot_be_is_refused(pipe):
    fair_map = tiny.random_map(tiny.make_sdxl())
    with pytest.raises(TypeError, match="no modular pipeline with a block 'text_encoder'"):
        with_map(tiny.make_sdxl(), fair_map)
    with pytest.raises(ValueError, match="strength is nan"):
        FairMapBlock(fair_map, strength=float("nan"))
    with pytest.raises(ValueError, match="quota"):
        with_map(pipe, fair_map, quota="even")
    with pytest.raises(ValueError, match="embeddings are"):
        draw(with_map(pipe, tiny.random_map(tiny.make_sd())))
