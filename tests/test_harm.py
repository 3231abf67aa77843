"""What a detector leaves alone stays as the model draws it, bit for bit, on every kind of pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

import fairmapping as fm
from fairmapping.attach import attached, receipts
from fairmapping.mapping import FairMap, MapConfig
from fairmapping.policy import applied_by, detector_of
from fairmapping.shifts import GroupShifts

OPEN, NAMED, THING = "a portrait of a doctor", "a portrait of a female asian nurse", "a nurse shark in the sea"
MIXED = [THING, OPEN, NAMED, OPEN]
CASES = {
    "sd": ("tiny_sd", {"guidance_scale": 5.0}),
    "sdxl": ("tiny_sdxl", {"guidance_scale": 5.0}),
    "flux": ("tiny_flux", {"height": 8, "width": 8}),
    "bert": ("tiny_distilled", {"guidance_scale": 2.0}),
}


@pytest.fixture(params=CASES)
def case(request):
    name, call = CASES[request.param]
    return request.getfixturevalue(name), {"num_inference_steps": 2, "output_type": "np"} | call


@pytest.fixture(params=["shifts", "map"])
def fair_map_of(request):
    return tiny.sampled_map if request.param == "shifts" else tiny.random_map


def draw(pipe, prompts, call):
    generators = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    return pipe(prompts, generator=generators, **call).images


def test_in_a_mixed_batch_only_the_right_rows_change(case, fair_map_of):
    pipe, call = case
    before = draw(pipe, MIXED, call)
    with attached(pipe, fair_map_of(pipe)):
        after = draw(pipe, MIXED, call)
        assert [bool(receipt.mapped) for receipt in receipts(pipe)] == [False, True, False, True]
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [True, False, True, False]


def test_a_batch_that_is_left_alone_is_the_raw_one(case, fair_map_of):
    pipe, call = case
    prompts = [NAMED, THING, "", "retrato de un doctor", "Marie Curie"]
    before = draw(pipe, prompts, call)
    with attached(pipe, fair_map_of(pipe)):
        assert np.array_equal(draw(pipe, prompts, call), before)


def test_off_maps_every_prompt(case, fair_map_of):
    pipe, call = case
    before = draw(pipe, MIXED, call)
    with attached(pipe, fair_map_of(pipe), detector="off"):
        after = draw(pipe, MIXED, call)
        assert all(receipt.decision is None and receipt.mapped for receipt in receipts(pipe))
    assert not any(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_prompt_that_settles_one_attribute_is_moved_in_the_other_only(tiny_sd):
    fair_map = tiny.sampled_map(tiny_sd)
    quota = fm.Quota("even")
    with attached(tiny_sd, fair_map, quota=quota):
        draw(tiny_sd, ["a black doctor"] * 4, {"num_inference_steps": 1, "output_type": "np"})
        assert [receipt.moved_towards for receipt in receipts(tiny_sd)] == quota.last
    assert sorted(quota.last) == [(("gender", "female"),)] * 2 + [(("gender", "male"),)] * 2


def test_what_is_left_alone_takes_no_turn_of_a_client(tiny_sd):
    quota = fm.Quota("even", scope="client")
    quota.client = "one"
    with attached(tiny_sd, tiny.sampled_map(tiny_sd), quota=quota):
        for prompt in (THING, OPEN, NAMED, OPEN, THING):
            draw(tiny_sd, [prompt], {"num_inference_steps": 1, "output_type": "np"})
    genders = [dict(cell)["gender"] for counts in quota.counts.values() for cell, n in counts.items() for _ in range(n)]
    assert sorted(genders) == ["female", "male"]


def test_a_map_without_shifts_moves_all_of_its_attributes_or_none(tiny_sd):
    both, gender = tiny.random_map(tiny_sd), tiny.random_map(tiny_sd)
    gender.config = MapConfig(attributes={"gender": {"female": "female", "male": "male"}})
    for fair_map, expected in ((both, ()), (gender, ("gender",))):
        assert (
            applied_by(fair_map, fair_map.detector.decide("a black doctor", list(fair_map.detector.attributes)))
            == expected
        )


def test_a_detector_of_the_user_s_own_decides(tiny_sd):
    fair_map = tiny.sampled_map(tiny_sd)
    own = fair_map.detector.extended(protected=["doctor"], keywords=["nurse shark"])
    call = {"num_inference_steps": 1, "output_type": "np"}
    with attached(tiny_sd, fair_map, detector=own):
        draw(tiny_sd, [OPEN, "a nurse"], call)
        assert [bool(receipt.mapped) for receipt in receipts(tiny_sd)] == [False, True]
    with pytest.raises(ValueError, match='give "auto"'):
        detector_of(fair_map, "never")
    with pytest.raises(TypeError, match="give a Detector"):
        detector_of(fair_map, True)
    other = fm.Detector(attributes={"age": {"young": ["young"], "old": ["old"]}})
    with pytest.raises(ValueError, match="knows age, not 'gender'"), attached(tiny_sd, fair_map, detector=other):
        raise AssertionError("not reached")


def test_a_saved_map_brings_its_detector(tiny_sd, tmp_path):
    fair_map = tiny.sampled_map(tiny_sd)
    fair_map.detector = fair_map.detector.extended(protected=["red doctor"], words={"gender": {"female": ["femme"]}})
    again = FairMap.from_pretrained(fair_map.save_pretrained(tmp_path))
    prompts = [OPEN, NAMED, THING, "a red doctor", "a femme doctor", "a doctor, femme"]
    assert again.detector.decide_batch(prompts) == fair_map.detector.decide_batch(prompts)
    assert again.detector.digest == fair_map.detector.digest


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        ("detector.json", b"{}", ValueError, "not the file that config.json was written with"),
        ("detector.json", None, FileNotFoundError, "has no detector.json"),
        ("lexicon.json.gz", None, FileNotFoundError, "has no lexicon.json.gz"),
        ("lexicon.json.gz", b"\x80\x04cposix\nsystem\n", ValueError, "no lexicon of the detector"),
    ],
)
def test_a_tampered_detector_is_refused(tiny_sd, tmp_path, name, content, error, says):
    folder = tiny.sampled_map(tiny_sd).save_pretrained(tmp_path)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(error, match=says):
        FairMap.from_pretrained(folder)


def test_on_the_embedded_model():
    pipe = fm.portraits.load()
    pipe.set_progress_bar_config(disable=True)
    torch.manual_seed(0)
    shifts = GroupShifts(
        {"gender": ["female", "male"]}, torch.zeros(384, 1), torch.zeros(2, 1, 384), torch.randn(2, 384)
    )
    config = MapConfig(attributes={"gender": {"female": "female", "male": "male"}}, route="sampled")
    fair_map = FairMap(torch.eye(384), shifts=shifts, config=config)
    prompts = ["a portrait of a female doctor", "a portrait of a doctor", "a doctor's bag", "a photo of a black nurse"]
    call = {"num_inference_steps": 3, "guidance_scale": 2.0, "output_type": "np"}
    before = draw(pipe, prompts, call)
    with attached(pipe, fair_map):
        after = draw(pipe, prompts, call)
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [True, False, True, False]
