"""Pipelines that their users have changed: a LoRA from peft, torch.compile, embeddings that compel has weighted."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import tiny
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from test_families import FAMILIES, OPEN, SETTLED, draw

import fairmapping as fm
from fairmapping.attach import attach, attached, detach, receipts
from fairmapping.embed import encode
from fairmapping.fingerprint import fingerprint, without_adapters
from fairmapping.provenance import drawing_settings

PROMPTS = [OPEN, SETTLED]
CLIPS = {"sd": ["text_encoder"], "sdxl": ["text_encoder", "text_encoder_2"], "flux": ["text_encoder"]}
CLIPS["sd3"] = CLIPS["sdxl"]
_ON = {"text": ["q_proj", "v_proj"], "denoiser": ["to_q", "to_v"]}


def lora(pipe, parts, kind="text", scale=1.0, seed=5):
    """The weights of a LoRA on these parts of the pipeline, as such files hold them."""
    torch.manual_seed(seed)
    weights = {}
    for part in parts:
        model = copy.deepcopy(getattr(pipe, part))
        model.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=_ON[kind], init_lora_weights=False))
        found = get_peft_model_state_dict(model)
        weights |= {f"{part}.{name}": value * scale for name, value in found.items()}
    return weights


def state_of(pipe):
    return {
        (part, name): value.clone()
        for part, model in pipe.components.items()
        if isinstance(model, torch.nn.Module)
        for name, value in model.state_dict().items()
    }


def by_hand(name, pipe, fair_map, call):
    """Encode as the pipeline is now, map what is open, pass the embeddings in."""
    found = encode(pipe, PROMPTS)
    rows = torch.tensor([True, False])
    passed = {"prompt_embeds": torch.where(rows[:, None, None], fair_map(found.sequence, found.mask), found.sequence)}
    if found.pooled is not None:
        passed["pooled_prompt_embeds"] = torch.where(rows[:, None], fair_map.map_pooled(found.pooled), found.pooled)
    if name != "flux":
        grey = encode(pipe, ["grey"] * 2)
        passed["negative_prompt_embeds"] = grey.sequence
        if grey.pooled is not None:
            passed["negative_pooled_prompt_embeds"] = grey.pooled
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    return pipe(generator=generators, **passed, **call).images


@pytest.mark.parametrize("name", CLIPS)
def test_a_lora_on_the_text_encoder_is_encoded_with_and_mapped(name):
    make, call = FAMILIES[name]
    pipe = make()
    fair_map, weights = tiny.random_map(pipe), lora(pipe, CLIPS[name])
    plain = draw(name, pipe, PROMPTS, call)
    attach(pipe, fair_map)
    mapped = draw(name, pipe, PROMPTS, call)
    pipe.load_lora_weights(weights, adapter_name="a")  # behind the map's back
    with_lora = draw(name, pipe, PROMPTS, call)
    assert np.abs(with_lora[0] - mapped[0]).max() > 1e-4, "the LoRA must be seen in the image"
    np.testing.assert_allclose(with_lora, by_hand(name, pipe, fair_map, call), atol=2e-6, rtol=0)
    pipe.set_adapters(["a"], [0.5])
    half = draw(name, pipe, PROMPTS, call)
    assert not np.array_equal(half, with_lora)
    np.testing.assert_allclose(half, by_hand(name, pipe, fair_map, call), atol=2e-6, rtol=0)
    detach(pipe)
    unmapped = draw(name, pipe, PROMPTS, call)
    assert np.array_equal(unmapped[1], half[1])
    with pytest.warns(UserWarning, match=r"a LoRA .*relative distance 0\.\d+") as told:
        attach(pipe, fair_map)
    assert len(told) == 1
    assert np.array_equal(draw(name, pipe, PROMPTS, call), half)
    pipe.fuse_lora(components=CLIPS[name], lora_scale=1.0)
    np.testing.assert_allclose(draw(name, pipe, PROMPTS, call), by_hand(name, pipe, fair_map, call), atol=2e-6, rtol=0)
    pipe.unfuse_lora(components=CLIPS[name])
    pipe.unload_lora_weights()
    np.testing.assert_allclose(draw(name, pipe, PROMPTS, call), mapped, atol=1e-5, rtol=0)  # unfusing rounds
    detach(pipe)
    np.testing.assert_allclose(draw(name, pipe, PROMPTS, call), plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fused", [False, True])
def test_looking_behind_a_lora_leaves_it_as_it_was(fused):
    """What the warning's measurement does to a LoRA that is loaded, and to one that is fused into the weights."""
    pipe = tiny.make_sd()
    base, fair_map = fingerprint(pipe), tiny.random_map(pipe)
    pipe.load_lora_weights(lora(pipe, ["text_encoder"]), adapter_name="a")
    pipe.set_adapters(["a"], [0.7])
    if fused:
        pipe.fuse_lora(components=["text_encoder"])
    before, drawn, probe = state_of(pipe), draw("sd", pipe, PROMPTS, FAMILIES["sd"][1]), fingerprint(pipe)["probe"]
    with without_adapters(pipe):
        np.testing.assert_allclose(fingerprint(pipe)["probe"], base["probe"], atol=1e-5)
    with pytest.warns(UserWarning, match="a LoRA"):
        attach(pipe, fair_map)
    detach(pipe)
    after = state_of(pipe)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert fingerprint(pipe)["probe"] == probe
    assert np.array_equal(draw("sd", pipe, PROMPTS, FAMILIES["sd"][1]), drawn)
    if fused:
        pipe.unfuse_lora(components=["text_encoder"])
        np.testing.assert_allclose(fingerprint(pipe)["probe"], probe, atol=1e-5)
    pipe.unload_lora_weights()
    np.testing.assert_allclose(fingerprint(pipe)["probe"], base["probe"], atol=1e-5)


def test_a_weak_lora_passes_and_another_encoder_behind_one_is_refused():
    pipe, other = tiny.make_sd(), tiny.make_sd(seed=7)
    fair_map, weights = tiny.random_map(pipe), lora(pipe, ["text_encoder"], scale=0.1)
    for each in (pipe, other):
        each.load_lora_weights(weights, adapter_name="a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with attached(pipe, fair_map):
            pass
    with pytest.raises(ValueError, match="embed the same prompts differently"):
        attach(other, fair_map)
    pipe.unload_lora_weights()
    pipe.load_lora_weights(lora(pipe, ["text_encoder"]))
    pipe.fuse_lora(components=["text_encoder"])
    pipe.unload_lora_weights()  # no trace is left: an encoder like any other finetune
    with pytest.raises(ValueError, match="embed the same prompts differently"):
        attach(pipe, fair_map)


def test_a_lora_on_the_denoiser_alone_changes_nothing_for_the_map():
    pipe, call = tiny.make_sd(), FAMILIES["sd"][1]
    fair_map, probe = tiny.random_map(pipe), fingerprint(pipe)
    plain = draw("sd", pipe, PROMPTS, call)
    pipe.load_lora_weights(lora(pipe, ["unet"], "denoiser"), adapter_name="a")
    assert fingerprint(pipe) == probe
    before = draw("sd", pipe, PROMPTS, call)
    assert not np.array_equal(before, plain)
    with attached(pipe, fair_map):
        after = draw("sd", pipe, PROMPTS, call)
        np.testing.assert_allclose(after, by_hand("sd", pipe, fair_map, call), atol=2e-6, rtol=0)
    assert np.array_equal(after[1], before[1])
    pipe.unload_lora_weights()
    assert np.array_equal(draw("sd", pipe, PROMPTS, call), plain)


def test_a_run_is_not_gone_on_with_under_another_lora(tmp_path):
    pipe, call = tiny.make_sd(), {"num_inference_steps": 1}
    plain = drawing_settings(pipe, 0, {})["models"]
    pipe.load_lora_weights(lora(pipe, ["text_encoder"]), adapter_name="a")
    fm.generate(pipe, [OPEN], out=tmp_path, progress=False, **call)
    pipe.set_adapters(["a"], [0.5])
    with pytest.raises(ValueError, match="text_encoder"):
        fm.generate(pipe, [OPEN], out=tmp_path, progress=False, **call)
    pipe.set_adapters(["a"], [1.0])
    assert len(fm.generate(pipe, [OPEN], out=tmp_path, progress=False, **call)) == 1
    pipe.unload_lora_weights()
    assert drawing_settings(pipe, 0, {})["models"] == plain
