"""The block for modular pipelines, against the same map attached to the ordinary pipeline of the same weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
import tiny_chat
import torch
from diffusers import ModularPipeline

from fairmapping.attach import attached
from fairmapping.detect import Detector
from fairmapping.mapping import FairMap
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


def test_the_map_is_saved_with_the_pipeline_and_comes_back_when_it_is_asked_for(pipe, tmp_path):
    mapped = with_map(pipe, tiny.sampled_map(tiny.make_sdxl()), quota="even")
    expected = draw(mapped)
    with pytest.warns(UserWarning, match=r"reads the rest without it; to have it back: with_map\(pipe, FairMap"):
        mapped.save_pretrained(tmp_path, overwrite_modular_index=True)
    index = json.loads((tmp_path / "modular_model_index.json").read_text())
    assert index["_class_name"] == type(pipe).__name__ == "StableDiffusionXLModularPipeline"
    read = ModularPipeline.from_pretrained(tmp_path)
    read.load_components()
    tiny_chat._silence(read.blocks)
    assert "fair_map" not in read.blocks.sub_blocks
    again = with_map(read, FairMap.from_pretrained(tmp_path / "fair_map"), quota="even")
    np.testing.assert_allclose(draw(again), expected, atol=2e-6, rtol=0)
    with pytest.raises(TypeError, match="cannot be saved by itself; save its map"):
        mapped.blocks.sub_blocks["fair_map"].save_pretrained(tmp_path / "block")
    assert not (tmp_path / "block").exists()


def test_a_detector_of_other_attributes_is_refused(pipe):
    fair_map = tiny.sampled_map(tiny.make_sdxl())
    with pytest.raises(ValueError, match="race"):
        FairMapBlock(fair_map, detector=Detector(attributes=["gender"]))
    with pytest.raises(ValueError, match="gender"):
        with_map(pipe, fair_map, detector=Detector(attributes=[{"age": ["young", "old"]}]))
    with pytest.raises(ValueError, match="detector is 'on'"):
        with_map(pipe, fair_map, detector="on")
    with pytest.raises(TypeError, match="detector is int 3"):
        with_map(pipe, fair_map, detector=3)


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
