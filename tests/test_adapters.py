"""Pipelines that their users have changed: a LoRA from peft, torch.compile, embeddings that compel has weighted."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from compel import CompelForSD, CompelForSDXL
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from test_families import FAMILIES, OPEN, SETTLED, draw
from test_tasks import PROMPTS, by_hand
from torch._dynamo.utils import counters

import fairmapping as fm
from fairmapping.attach import attach, attached, detach, map_embeds, receipts
from fairmapping.embed import encode
from fairmapping.fingerprint import fingerprint, without_adapters
from fairmapping.provenance import drawing_settings

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


def test_the_encoder_of_the_pooled_embeddings_is_told_apart_where_the_map_has_a_part_for_them():
    """Flux's CLIP: another one changes nothing in the sequence, which is T5's."""
    pipe, call = tiny.make_flux(), FAMILIES["flux"][1]
    both, sequence_alone = tiny.random_map(pipe), tiny.random_map(pipe, pooled=False)
    older = tiny.random_map(pipe)
    older.config = replace(older.config, encoder={k: v for k, v in older.config.encoder.items() if k != "pooled_probe"})
    torch.manual_seed(9)
    pipe.text_encoder = type(pipe.text_encoder)(pipe.text_encoder.config).eval()
    with pytest.raises(ValueError, match="embed the same prompts differently"):
        attach(pipe, both)
    for fair_map in (sequence_alone, older):  # maps saved before there was a second probe are taken at their word
        with attached(pipe, fair_map):
            draw("flux", pipe, PROMPTS, call)


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


def compiled(pipe, in_place):
    """With the backend "eager", which needs no C compiler: it traces, guards and recompiles as the others do."""
    for part in ("text_encoder", "text_encoder_2", "unet", "transformer"):
        model = getattr(pipe, part, None)
        if model is not None and in_place:
            model.compile(backend="eager")
        elif model is not None:
            setattr(pipe, part, torch.compile(model, backend="eager"))


@pytest.mark.parametrize(("name", "in_place", "meanwhile"), [("sd", False, False), ("flux", True, True)])
def test_compiled_models_draw_the_same_and_are_compiled_once(name, in_place, meanwhile):
    """Compiled before attaching, and while a map is attached."""
    torch._dynamo.reset()
    make, call = FAMILIES[name]
    pipe, counted = make(), counters["stats"]
    fair_map = tiny.random_map(pipe)
    before = draw(name, pipe, PROMPTS, call)
    with attached(pipe, fair_map):
        expected = draw(name, pipe, PROMPTS, call)
        if meanwhile:
            compiled(pipe, in_place)
            np.testing.assert_allclose(draw(name, pipe, PROMPTS, call), expected, atol=2e-6, rtol=0)
    if not meanwhile:
        compiled(pipe, in_place)
    np.testing.assert_allclose(draw(name, pipe, PROMPTS, call), before, atol=2e-6, rtol=0)
    with attached(pipe, fair_map):  # encodes its fixed prompts, once, in a batch of another size
        np.testing.assert_allclose(draw(name, pipe, PROMPTS, call), expected, atol=2e-6, rtol=0)
        graphs = counted["unique_graphs"]
        assert graphs > 0
        draw(name, pipe, ["a clerk", "the sea"], call)
    with attached(pipe, fair_map, strength=0.3):
        draw(name, pipe, ["two cooks and a hat", "a judge"], call)
    np.testing.assert_allclose(draw(name, pipe, PROMPTS, call), before, atol=2e-6, rtol=0)
    assert counted["unique_graphs"] == graphs, "another prompt or strength must not compile anything again"


WEIGHTED, PLAIN, LEFT = "a portrait of a (doctor)1.4, (hat)0.7", "a portrait of a doctor, hat", "a female asian nurse--"


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_embeddings_weighted_by_compel_are_mapped_by_hand_and_never_twice(name):
    make, call = FAMILIES[name]
    pipe = make()
    fair_map = tiny.random_map(pipe)
    compel = {"sd": CompelForSD, "sdxl": CompelForSDXL}[name](pipe)
    made = compel([WEIGHTED, LEFT], negative_prompt=["grey", "grey"])
    assert not torch.equal(made.embeds, compel([PLAIN, LEFT], negative_prompt=["grey", "grey"]).embeds)
    negative = {"negative_prompt_embeds": made.negative_embeds}
    if name == "sdxl":
        negative["negative_pooled_prompt_embeds"] = made.negative_pooled_embeds

    def drawn(embeds, pooled):
        generators = [torch.Generator().manual_seed(i) for i in range(2)]
        passed = negative | ({} if pooled is None else {"pooled_prompt_embeds": pooled})
        return pipe(prompt_embeds=embeds, generator=generators, **passed, **call).images

    moved = map_embeds(fair_map, [PLAIN, SETTLED], made.embeds, made.pooled_embeds)
    assert [bool(receipt.mapped) for receipt in moved.receipts] == [True, False]
    torch.testing.assert_close(moved.prompt_embeds[0], fair_map(made.embeds[0]))
    assert torch.equal(moved.prompt_embeds[1], made.embeds[1])
    if name == "sdxl":
        torch.testing.assert_close(moved.pooled_prompt_embeds[0], fair_map.map_pooled(made.pooled_embeds[0]))
        assert torch.equal(moved.pooled_prompt_embeds[1], made.pooled_embeds[1])
    unmapped, mapped = drawn(made.embeds, made.pooled_embeds), drawn(*moved[:2])
    assert np.abs(mapped[0] - unmapped[0]).max() > 1e-4
    assert np.array_equal(mapped[1], unmapped[1])
    with attached(pipe, fair_map):
        assert np.array_equal(drawn(*moved[:2]), mapped), "what was mapped by hand is not mapped again"
        assert np.array_equal(drawn(made.embeds, made.pooled_embeds), unmapped)


def test_mapping_embeddings_is_what_attaching_does(tiny_sdxl):
    """Without weights, and with a quota, the embeddings are those of an attached pipeline's call."""
    fair_map, call = tiny.sampled_map(tiny_sdxl), FAMILIES["sdxl"][1]
    quotas = [fm.Quota("even", seed=4) for _ in range(2)]
    with attached(tiny_sdxl, fair_map, quota=quotas[0], strength=0.5):
        expected = draw("sdxl", tiny_sdxl, [OPEN, OPEN], call)
        told = receipts(tiny_sdxl)
    found, grey = encode(tiny_sdxl, [OPEN, OPEN]), encode(tiny_sdxl, ["grey"] * 2)
    moved = map_embeds(fair_map, OPEN, found.sequence, found.pooled, quota=quotas[1], strength=0.5)
    assert moved.receipts == told
    assert quotas[0].last == quotas[1].last
    passed = {"prompt_embeds": moved.prompt_embeds, "pooled_prompt_embeds": moved.pooled_prompt_embeds}
    passed |= {"negative_prompt_embeds": grey.sequence, "negative_pooled_prompt_embeds": grey.pooled}
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    np.testing.assert_allclose(tiny_sdxl(generator=generators, **passed, **call).images, expected, atol=2e-6, rtol=0)


def test_embeddings_that_do_not_belong_together_are_refused(tiny_sdxl):
    fair_map, found = tiny.random_map(tiny_sdxl), encode(tiny_sdxl, PROMPTS)
    sequence, pooled = found.sequence, found.pooled
    for prompts, embeds, beside, says in (
        (PROMPTS[:1], sequence, pooled, "1 prompts for 2 rows of embeddings and 2 pooled"),
        (PROMPTS, sequence, pooled[:1], "2 prompts for 2 rows of embeddings and 1 pooled"),
        ("a doctor", sequence, None, "give pooled_prompt_embeds too"),
        ("a doctor", sequence[0], pooled, r"prompt_embeds are Tensor \(48, 56\)"),
        ("a doctor", [1.0], pooled, "prompt_embeds are list"),
        ("a doctor", sequence[..., :5], pooled, "embeddings are torch.float32 of shape"),
    ):
        with pytest.raises(ValueError, match=says):
            map_embeds(fair_map, prompts, embeds, beside)
    with pytest.raises(ValueError, match="quota"):
        map_embeds(fair_map, PROMPTS, sequence, pooled, quota="even")
