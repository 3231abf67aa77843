from __future__ import annotations

import inspect
import json
from dataclasses import replace

import pytest
import tiny
import torch

from fairmapping.attach import attach, attached, detach, is_attached
from fairmapping.embed import encode
from fairmapping.mapping import FairMap
from fairmapping.policy import Decided, quota_of
from fairmapping.quota import Quota
from fairmapping.shifts import GroupShifts

PROMPTS = ["a doctor", "a very old nurse"]  # both leave gender and race open
NEGATIVE = ["a hat", "grey"]

# One case per way that a prompt travels: name of the fixture, its call, whether a negative prompt has a say.
CASES = {
    "sd": ("tiny_sd", {"guidance_scale": 1.0}, False),
    "sd with guidance": ("tiny_sd", {"guidance_scale": 5.0}, True),
    "sd with guidance in the weights": ("tiny_distilled", {"guidance_scale": 2.0}, False),
    "sdxl with guidance": ("tiny_sdxl", {"guidance_scale": 5.0}, True),
    "flux": ("tiny_flux", {"height": 8, "width": 8}, False),
    "flux with true guidance": ("tiny_flux", {"height": 8, "width": 8, "true_cfg_scale": 4.0}, True),
}


@pytest.fixture(params=CASES)
def case(request):
    name, call, guided = CASES[request.param]
    return request.getfixturevalue(name), call, guided


def draw(pipe, *args, repeats=1, number=2, **call):
    generators = [torch.Generator().manual_seed(i) for i in range(number * repeats)]
    call = {"num_inference_steps": 2, "output_type": "np", "num_images_per_prompt": repeats} | call
    return torch.from_numpy(pipe(*args, generator=generators, **call).images)


def by_hand(pipe, fair_map, call, guided, strength=1.0, repeats=1, cells=None):
    """Encode, map, and pass the embeddings in; the negative prompt is encoded and passed as it is."""
    each = torch.arange(len(PROMPTS)).repeat_interleave(repeats)  # Flux would not repeat embeddings
    found = encode(pipe, PROMPTS)[each]
    passed = {"prompt_embeds": fair_map(found.sequence, found.mask, strength, cells)}
    if found.pooled is not None:
        passed["pooled_prompt_embeds"] = fair_map.map_pooled(found.pooled, strength, cells)
    if guided:
        negative = encode(pipe, NEGATIVE)[each]
        passed["negative_prompt_embeds"] = negative.sequence
        if negative.pooled is not None:
            passed["negative_pooled_prompt_embeds"] = negative.pooled
    return draw(pipe, **passed, **call, number=len(PROMPTS) * repeats)


def negative_of(guided):
    return {"negative_prompt": NEGATIVE} if guided else {}


@pytest.mark.parametrize(("strength", "repeats"), [(1.0, 1), (0.5, 3)])
def test_attached_equals_mapping_by_hand(case, strength, repeats):
    pipe, call, guided = case
    fair_map = tiny.random_map(pipe)
    with attached(pipe, fair_map, strength=strength):
        found = draw(pipe, PROMPTS, **negative_of(guided), **call, repeats=repeats)
    expected = by_hand(pipe, fair_map, call, guided, strength, repeats)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    untouched = draw(pipe, PROMPTS, **negative_of(guided), **call, repeats=repeats)
    assert (found - untouched).abs().max() > 1e-4, "the map must be far enough from the identity to be seen"


@pytest.mark.parametrize(("strength", "repeats"), [(1.0, 1), (0.5, 3)])
def test_a_quota_shifts_every_image_towards_its_own_cell(case, strength, repeats):
    pipe, call, guided = case
    fair_map, quota = tiny.sampled_map(pipe), Quota("even", seed=4)
    with attached(pipe, fair_map, strength=strength, quota=quota):
        found = draw(pipe, PROMPTS, **negative_of(guided), **call, repeats=repeats)
    cells = [cell for prompt in PROMPTS for cell in quota.sequence(prompt, "", repeats)]
    assert quota.last == cells
    assert len(cells[0]) == 2
    expected = by_hand(pipe, fair_map, call, guided, strength, repeats, cells)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    others = by_hand(pipe, fair_map, call, guided, strength, repeats, cells[::-1])
    assert (found - others).abs().max() > 1e-4, "the cells must be seen in the images"


def test_a_quota_at_strength_zero_leaves_every_image_bit_for_bit(case):
    pipe, call, guided = case
    before = draw(pipe, PROMPTS, **negative_of(guided), **call)
    with attached(pipe, tiny.sampled_map(pipe), strength=0.0, quota="even"):
        assert torch.equal(draw(pipe, PROMPTS, **negative_of(guided), **call), before)


def test_strength_zero_and_detaching_restore_bit_for_bit(case):
    pipe, call, guided = case
    before = draw(pipe, PROMPTS, **negative_of(guided), **call)
    cls, names = type(pipe), set(vars(pipe))
    with attached(pipe, tiny.random_map(pipe), strength=0.0):
        assert torch.equal(draw(pipe, PROMPTS, **negative_of(guided), **call), before)
    assert torch.equal(draw(pipe, PROMPTS, **negative_of(guided), **call), before)
    assert type(pipe) is cls
    assert set(vars(pipe)) == names


def test_embeddings_that_the_caller_passes_are_not_mapped(case):
    pipe, call, guided = case
    fair_map = tiny.random_map(pipe)
    expected = by_hand(pipe, fair_map, call, guided)
    with attached(pipe, FairMap(fair_map.weight * 3, config=fair_map.config)):
        assert torch.equal(by_hand(pipe, fair_map, call, guided), expected)


def test_negative_text_beside_passed_embeddings_is_not_mapped(tiny_flux):
    # The first text that this call encodes is the negative prompt.
    found = encode(tiny_flux, PROMPTS)
    call = {"prompt_embeds": found.sequence, "pooled_prompt_embeds": found.pooled, "negative_prompt": NEGATIVE}
    call |= {"height": 8, "width": 8, "true_cfg_scale": 4.0}
    expected = draw(tiny_flux, **call)
    with attached(tiny_flux, tiny.random_map(tiny_flux)):
        assert torch.equal(draw(tiny_flux, **call), expected)


def test_a_single_string_is_mapped(tiny_sd):
    fair_map = tiny.random_map(tiny_sd)
    with attached(tiny_sd, fair_map):
        found = draw(tiny_sd, "a doctor", number=1)
    mapped = fair_map(encode(tiny_sd, ["a doctor"]).sequence)
    torch.testing.assert_close(found, draw(tiny_sd, prompt_embeds=mapped, number=1), atol=1e-6, rtol=0)


def test_encoding_outside_of_a_call_gives_the_encoder_s_own(tiny_sdxl):
    before = encode(tiny_sdxl, PROMPTS)
    with attached(tiny_sdxl, tiny.random_map(tiny_sdxl)):
        draw(tiny_sdxl, PROMPTS)
        inside = encode(tiny_sdxl, PROMPTS)
    assert torch.equal(inside.sequence, before.sequence)
    assert torch.equal(inside.pooled, before.pooled)


def test_a_failed_call_leaves_nothing_behind(tiny_sd):
    before = encode(tiny_sd, PROMPTS)
    with attached(tiny_sd, tiny.random_map(tiny_sd)):
        with pytest.raises(ValueError, match="divisible by 8"):
            tiny_sd(PROMPTS, height=9, width=9)
        assert torch.equal(encode(tiny_sd, PROMPTS).sequence, before.sequence)


def test_a_map_without_pooled_part_leaves_the_pooled(tiny_sdxl):
    fair_map = tiny.random_map(tiny_sdxl, pooled=False)
    found = encode(tiny_sdxl, PROMPTS)
    call = {"guidance_scale": 1.0}
    expected = draw(tiny_sdxl, prompt_embeds=fair_map(found.sequence), pooled_prompt_embeds=found.pooled, **call)
    with attached(tiny_sdxl, fair_map):
        torch.testing.assert_close(draw(tiny_sdxl, PROMPTS, **call), expected, atol=1e-6, rtol=0)


def test_the_map_follows_the_pipeline_s_dtype():
    pipe = tiny.make_sd().to(torch.bfloat16)
    fair_map = tiny.random_map(tiny.make_sd())  # fitted in float32
    expected = by_hand(pipe, fair_map, {}, guided=True)
    with attached(pipe, fair_map):
        found = draw(pipe, PROMPTS, negative_prompt=NEGATIVE)
    assert fair_map.weight.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)


def test_saving_an_attached_pipeline_writes_the_original(tiny_sd, tmp_path):
    from diffusers import DiffusionPipeline

    before = draw(tiny_sd, PROMPTS)
    with attached(tiny_sd, tiny.random_map(tiny_sd)):
        tiny_sd.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    again = DiffusionPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert type(again) is type(tiny_sd)
    torch.testing.assert_close(draw(again, PROMPTS), before)


def test_the_attached_class_passes_for_the_original(tiny_flux):
    cls = type(tiny_flux)
    with attached(tiny_flux, tiny.random_map(tiny_flux)):
        swapped = type(tiny_flux)
        assert swapped is not cls
        assert isinstance(tiny_flux, cls)
        assert (swapped.__name__, swapped.__qualname__, swapped.__module__) == (
            cls.__name__, cls.__qualname__, cls.__module__
        )  # fmt: skip
        for method in ("__call__", "encode_prompt"):
            assert inspect.signature(getattr(swapped, method)) == inspect.signature(getattr(cls, method))


def test_from_pipe_makes_an_unattached_object(tiny_sd):
    from diffusers import AutoPipelineForText2Image

    with attached(tiny_sd, tiny.random_map(tiny_sd)):
        assert not is_attached(AutoPipelineForText2Image.from_pipe(tiny_sd))


def test_attaching_twice_and_detaching_nothing_raise(tiny_sd):
    fair_map = tiny.random_map(tiny_sd)
    attach(tiny_sd, fair_map)
    try:
        with pytest.raises(RuntimeError, match="attached already"):
            attach(tiny_sd, fair_map)
        with pytest.raises(RuntimeError, match="attached already"), attached(tiny_sd, fair_map):
            raise AssertionError("not reached")
        assert is_attached(tiny_sd), "a refused attachment must leave the first one in place"
    finally:
        detach(tiny_sd)
    with pytest.raises(RuntimeError, match="no map attached"):
        detach(tiny_sd)


def test_errors_detach(tiny_sd):
    cls = type(tiny_sd)
    with pytest.raises(KeyboardInterrupt), attached(tiny_sd, tiny.random_map(tiny_sd)):
        raise KeyboardInterrupt
    assert type(tiny_sd) is cls
    with attached(tiny_sd, tiny.random_map(tiny_sd)):
        detach(tiny_sd)
    assert type(tiny_sd) is cls


def test_what_cannot_be_attached_is_refused(tiny_sd, tiny_sdxl):
    class Unknown:
        def __call__(self, prompt): ...

    with pytest.raises(TypeError, match="no method encode_prompt"):
        attach(Unknown(), FairMap.identity(4))
    with pytest.raises(ValueError, match="wide"):
        attach(tiny_sd, tiny.random_map(tiny_sdxl))
    with pytest.raises(ValueError, match="embed the same prompts differently"):
        attach(tiny_sd, tiny.random_map(tiny.make_sd(seed=7)))
    with pytest.raises(ValueError, match="strength is nan"):
        attach(tiny_sd, FairMap.identity(32), strength=float("nan"))
    assert not is_attached(tiny_sd)


def test_a_pipeline_that_joins_negative_and_positive_is_refused_in_the_call():
    class Fused:
        components: dict = {}
        _execution_device = torch.device("cpu")

        def encode_prompt(self, prompt, do_classifier_free_guidance=True, prompt_embeds=None):
            rows = torch.ones(len(prompt), 3, 4)
            return torch.cat([rows, rows]) if do_classifier_free_guidance else rows

        def __call__(self, prompt=None, prompt_embeds=None):
            return self.encode_prompt(prompt, True, prompt_embeds=prompt_embeds)

    pipe = Fused()
    with (
        attached(pipe, FairMap.identity(4), detector="off"),
        pytest.raises(TypeError, match=r"is \(4, 3, 4\), not embeddings"),
    ):
        pipe(["a", "b"])


def test_lists_of_rows_are_mapped_one_by_one():
    class ZImage:
        components: dict = {}
        _execution_device = torch.device("cpu")

        def encode_prompt(self, prompt, prompt_embeds=None):
            rows = [torch.full((len(text), 2), float(len(text))) for text in prompt]
            prompt[:] = ["rewritten in place, and of another length"] * (len(prompt))
            return rows, []

        def __call__(self, prompt=None, prompt_embeds=None):
            return self.encode_prompt(prompt)[0]

    pipe = ZImage()
    with attached(pipe, FairMap(2 * torch.eye(2), torch.ones(2)), detector="off"):
        rows = pipe(["ab", "abc"])
    assert [x.tolist() for x in rows] == [[[5.0, 5.0]] * 2, [[7.0, 7.0]] * 3]


def test_counts_are_exact_over_images_and_calls(tiny_sd):
    quota = Quota({"gender": {"female": 0.75, "male": 0.25}})
    with attached(tiny_sd, tiny.sampled_map(tiny_sd), quota=quota):
        draw(tiny_sd, PROMPTS[0], number=1, repeats=3)
        draw(tiny_sd, PROMPTS[0], number=1)
        draw(tiny_sd, [PROMPTS[0]] * 4, number=4)
    assert quota.counts == {PROMPTS[0]: {(("gender", "female"),): 6, (("gender", "male"),): 2}}


def test_a_map_with_shifts_draws_by_the_targets_that_it_was_fitted_with(tiny_sd):
    fair_map = tiny.sampled_map(tiny_sd)
    assert quota_of(fair_map).targets == Quota("even", attributes=fair_map.groups).targets
    own = {"gender": {"female": 1.0, "male": 0.0}}
    fair_map.config = replace(fair_map.config, targets=Quota(own, attributes=fair_map.groups).targets.to_dict())
    assert set(quota_of(fair_map, seed=3).draw(PROMPTS)) == {(("gender", "female"),)}
    with attached(tiny_sd, fair_map):
        found = draw(tiny_sd, PROMPTS, guidance_scale=1.0)
    cells = [(("gender", "female"),)] * 2
    expected = by_hand(tiny_sd, fair_map, {"guidance_scale": 1.0}, guided=False, cells=cells)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_what_was_not_drawn_does_not_count(tiny_sd, tiny_sdxl):
    quota = Quota("even")
    with attached(tiny_sd, tiny.sampled_map(tiny_sd), quota=quota):
        draw(tiny_sd, PROMPTS)
        state, last = quota.state(), quota.last

        def stop(*_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            draw(tiny_sd, PROMPTS, callback_on_step_end=stop)
        assert (quota.state(), quota.last) == (state, last)
        draw(tiny_sd, prompt_embeds=encode(tiny_sd, PROMPTS).sequence, negative_prompt=NEGATIVE)
        encode(tiny_sd, PROMPTS)
        assert (quota.state(), quota.last) == (state, last)
    assert quota_of(tiny.sampled_map(tiny_sdxl), quota) is quota, "maps of the same groups may share a quota"


def test_a_quota_that_the_map_cannot_follow_is_refused(tiny_sd):
    with pytest.raises(ValueError, match=r"this one \(route 'none'\) has none; fit one with .*'sampled'"):
        attach(tiny_sd, tiny.random_map(tiny_sd), quota="even")
    with pytest.raises(ValueError, match="age"):
        attach(tiny_sd, tiny.sampled_map(tiny_sd), quota={"age": {"young": 0.5, "old": 0.5}})
    with pytest.raises(ValueError, match="scope"):
        attach(tiny_sd, tiny.sampled_map(tiny_sd), quota=Quota(scope="moon"))
    assert not is_attached(tiny_sd)
    with attached(tiny_sd, tiny.sampled_map(tiny_sd), quota=Quota(scope="client")):
        with pytest.raises(ValueError, match="client"):
            draw(tiny_sd, PROMPTS)
        with pytest.raises(ValueError, match="0 images were decided for a call that draws 2"):
            Decided().check(2)


def test_images_of_one_encoding_cannot_have_groups_of_their_own():
    class Late:
        components: dict = {}
        _execution_device = torch.device("cpu")

        def encode_prompt(self, prompt, prompt_embeds=None):
            return [torch.ones(3, 2) for _ in prompt], []

        def __call__(self, prompt=None, num_images_per_prompt=1, prompt_embeds=None):
            return [rows for rows in self.encode_prompt(prompt)[0] for _ in range(num_images_per_prompt)]

    pipe, cells = Late(), [(("gender", "female"),), ()]
    shifts = GroupShifts({"gender": ["female", "male"]}, torch.zeros(2, 1), torch.zeros(2, 1, 2), torch.ones(2, 2))
    with attached(pipe, FairMap(torch.eye(2), shifts=shifts), quota=Decided([("gender",), ()], cells)):
        assert [rows.tolist() for rows in pipe(["a", "b"])] == [[[2.0, 2.0]] * 3, [[1.0, 1.0]] * 3]
        with pytest.raises(ValueError, match="encodes a prompt once for its 2 images"):
            pipe(["a"], num_images_per_prompt=2)
