"""Every family of the general rule, one tiny pipeline for each arrangement of text encoders."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import tiny_chat
import tiny_more
import torch

import fairmapping as fm
from fairmapping.attach import attached, receipts
from fairmapping.embed import _arguments, encode
from fairmapping.fingerprint import fingerprint

OPEN, SETTLED = "a portrait of a doctor", "a female asian nurse with a hat"
FAMILIES = {
    "sd": (tiny.make_sd, {"guidance_scale": 5.0, "num_inference_steps": 2, "output_type": "np"}),
    "sdxl": (tiny.make_sdxl, {"guidance_scale": 5.0, "num_inference_steps": 2, "output_type": "np"}),
    "flux": (tiny.make_flux, {"height": 8, "width": 8, "num_inference_steps": 2, "output_type": "np"}),
    **tiny_more.FAMILIES,
    **tiny_chat.FAMILIES,
}
NO_NEGATIVE = {"flux", "flux2", "flux2_klein"}
# What encode_prompt returns, in order, by the name under which the call takes it; families that encode the negative
# prompt by a second call are told so by NEGATIVE_APART.
RETURNED = {
    "sd2": ("prompt_embeds", "negative_prompt_embeds"),
    "sd3": ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
    "kolors": ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
    **dict.fromkeys(
        ("pixart", "pixart_alpha", "sana", "lumina2", "auraflow"),
        ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask"),
    ),
    "zimage": ("prompt_embeds", "negative_prompt_embeds"),
    "flux2": ("prompt_embeds",),
    "flux2_klein": ("prompt_embeds",),
}


@pytest.fixture(params=FAMILIES)
def family(request):
    make, call = FAMILIES[request.param]
    return request.param, make(), call


def draw(name, pipe, prompts, call, **more):
    generators = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    if name not in NO_NEGATIVE:
        more["negative_prompt"] = ["grey"] * len(prompts)  # a new list each time, for ZImage writes into it
    return pipe(prompt=list(prompts), generator=generators, **call, **more).images


def test_only_the_prompts_that_leave_it_open_change_and_detaching_restores(family):
    """The negative prompt is the same in both rows, so it would show in the second one were it mapped."""
    name, pipe, call = family
    cls = type(pipe)
    before = draw(name, pipe, [OPEN, SETTLED], call)
    assert np.abs(before[0] - before[1]).max() > 1e-4, "the prompt must be seen in the image"
    for fair_map in (tiny.random_map(pipe), tiny.sampled_map(pipe)):
        with attached(pipe, fair_map):
            after = draw(name, pipe, [OPEN, SETTLED], call)
            assert [bool(receipt.mapped) for receipt in receipts(pipe)] == [True, False]
            inside = encode(pipe, [OPEN])
        assert np.abs(after[0] - before[0]).max() > 1e-5, "the map must be seen in the image"
        assert np.array_equal(after[1], before[1])
        with attached(pipe, fair_map, strength=0.0, detector="off"):
            assert np.array_equal(draw(name, pipe, [OPEN, SETTLED], call), before)
        assert torch.equal(inside.sequence, encode(pipe, [OPEN]).sequence)
    assert type(pipe) is cls
    assert np.array_equal(draw(name, pipe, [OPEN, SETTLED], call), before)


@pytest.mark.parametrize("name", RETURNED)
def test_attached_equals_encoding_mapping_and_passing_by_hand(name):
    make, call = FAMILIES[name]
    pipe = make()
    fair_map, prompts = tiny.random_map(pipe), [OPEN, SETTLED]
    found = encode(pipe, prompts)
    arguments = _arguments(pipe, prompts)
    if "negative_prompt_embeds" in RETURNED[name]:
        arguments |= {"negative_prompt": ["grey"] * 2, "do_classifier_free_guidance": True}
    with torch.no_grad():
        passed = dict(zip(RETURNED[name], pipe.encode_prompt(**arguments), strict=False))
    if name == "zimage":
        passed["prompt_embeds"] = [fair_map(rows) for rows in passed["prompt_embeds"]]
    else:
        passed["prompt_embeds"] = fair_map(found.sequence, found.mask)
    if "pooled_prompt_embeds" in passed:
        passed["pooled_prompt_embeds"] = fair_map.map_pooled(found.pooled)
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    none = {"negative_prompt": None} if name in ("pixart", "pixart_alpha", "sana") else {}
    by_hand = pipe(prompt=None, generator=generators, **passed, **none, **call).images
    with attached(pipe, fair_map, detector="off"):
        after = draw(name, pipe, prompts, call)
    np.testing.assert_allclose(after, by_hand, atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("auraflow", [23, 19]),
        ("flux2", [177, 175]),
        ("flux2_klein", [34, 32]),
        ("pixart", [23, 19]),
        ("kolors", [25, 21]),
    ],
)
def test_masks_are_the_tokens_that_the_encoder_was_told_of(name, tokens):
    """Also where encode_prompt returns none (Flux2), or one of another shape (AuraFlow)."""
    found = encode(FAMILIES[name][0](), [OPEN, "a nurse with a hat"])
    assert found.mask.sum(1).tolist() == tokens


def test_sd3_counts_the_words_of_both_parts_and_no_padding():
    """CLIP's tokens, then T5's; without T5 its rows are zeros, which no tokenizer tells of."""
    pipe = tiny_more.make_sd3()
    prompts = [OPEN, "a nurse"]
    mask = encode(pipe, prompts).mask
    lengths = [
        [len(tokenizer(text)["input_ids"]) for text in prompts] for tokenizer in (pipe.tokenizer, pipe.tokenizer_3)
    ]
    assert [part.sum(1).tolist() for part in mask.split([tiny.TOKENS, 256], 1)] == lengths
    pipe.register_modules(text_encoder_3=None)
    assert encode(pipe, prompts).mask.sum(1).tolist() == [tiny.TOKENS] * 2


@pytest.mark.parametrize("name", ["sana", "lumina2", "sdxl", "sd3", "pixart", "auraflow", "chroma", "qwenimage"])
def test_several_images_of_several_prompts(name):
    """As diffusers draws them, whatever it does with the masks: the images of what is left alone are the same bits."""
    make, call = FAMILIES[name]
    pipe, call = make(), call | {"num_images_per_prompt": 2}

    def images(*prompts):
        generators = [torch.Generator().manual_seed(i) for i in range(4)]
        return pipe(prompt=list(prompts), negative_prompt=["grey"] * 2, generator=generators, **call).images

    before = images(OPEN, SETTLED)
    for fair_map in (tiny.random_map(pipe), tiny.sampled_map(pipe)):
        with attached(pipe, fair_map):
            after = images(OPEN, SETTLED)
            told = receipts(pipe)
        assert [bool(receipt.mapped) for receipt in told] == [True, True, False, False]
        assert np.array_equal(after[2:], before[2:])
        assert all(np.abs(after[i] - before[i]).max() > 1e-6 for i in (0, 1))


def test_generate_fit_and_audit_run(family, tmp_path):
    name, pipe, call = family
    weights = {part: {k: v.clone() for k, v in m.state_dict().items()} for part, m in modules_of(pipe)}
    call = {key: value for key, value in call.items() if key != "output_type"}
    words = ["doctor", "nurse", "judge"]
    text = fm.fit(pipe, words, ["gender"], route="text", templates=["{}"], progress=False)
    assert text.config.bias_after["gender"] < text.config.bias_before["gender"]
    options = {"images": 4, "steps": 4, "rank": 2, "templates": ["{}"], "batch_size": 2, "progress": False}
    fair_map = fm.fit(pipe, words, ["gender"], call=call, **options)
    assert fair_map.groups == {"gender": ("female", "male")}
    assert fair_map.config.loss < 1, "a few steps must lessen the difference that naming a group makes"
    drawn = fm.generate(pipe, [OPEN, SETTLED], fair_map=fair_map, out=tmp_path, progress=False, **call)
    assert [row.mapped for row in drawn] == [("gender",), ()]
    assert drawn.images[0].size == drawn.images[1].size
    for part, module in modules_of(pipe):
        assert all(torch.equal(v, weights[part][k]) for k, v in module.state_dict().items()), part


def modules_of(pipe):
    return [(name, part) for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)]


def test_fingerprints_tell_the_families_apart():
    prints = {name: fingerprint(make()) for name, (make, _) in FAMILIES.items()}
    fair_map = tiny.random_map(FAMILIES["sd"][0]())
    for name, found in prints.items():
        if name != "sd":
            with pytest.raises(ValueError, match="wide|embed the same prompts differently"):
                fair_map.check_encoder(found)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["sd", "sdxl", "flux", "sd3", "pixart", "qwenimage", "zimage", "chroma"])
def test_half_precision(name, dtype):
    make, call = FAMILIES[name]
    fair_map = tiny.random_map(make())
    pipe = make().to(dtype)
    if name == "sdxl":  # else its autoencoder is widened with a warning of diffusers' own
        pipe.vae.register_to_config(force_upcast=False)
    before = draw(name, pipe, [OPEN, SETTLED], call)
    with attached(pipe, fair_map):
        after = draw(name, pipe, [OPEN, SETTLED], call)
    assert np.isfinite(after).all()
    assert np.array_equal(after[1], before[1])
    assert not np.array_equal(after[0], before[0])
