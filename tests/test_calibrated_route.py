"""The closed loop, on images whose groups are known: when it stops, that it resumes, and what it reports."""

from __future__ import annotations

import functools
import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch

from fairmapping import judges
from fairmapping.calibrated_route import fit_calibrated
from fairmapping.calibration import directions, logistic
from fairmapping.embed import encode
from fairmapping.judges import Judgement
from fairmapping.mapping import FairMap
from fairmapping.prompts import neutral, resolve_attributes
from fairmapping.targets import resolve_targets

module = sys.modules[fit_calibrated.__module__]
loop = sys.modules[logistic.__module__]
WORDS = ["doctor", "cook", "judge", "nurse", "clerk", "pilot", "baker", "coach", "tailor", "mayor", "guard", "poet"]
TEMPLATES, ATTRIBUTES = ["a photo of {}"], resolve_attributes(["gender"])
GROUPS = {"gender": ("female", "male")}
SETTINGS = {"templates": TEMPLATES, "batch_size": 24, "images": 40, "tolerance": 0.15, "progress": False}


class Seen:
    """A judge that reads an image with ``read``: the name of a gender, or None for no face."""

    name, card, attributes = "seen", {}, GROUPS

    def __init__(self, read):
        self.read = read

    def __call__(self, images):
        found = [self.read(image) for image in images]
        return [Judgement(1, {"gender": {name: 1.0}}) if name else Judgement(0) for name in found]


class World:
    """Stands in for generate(): "images" are genders drawn with log odds 1.5 + 1.2 t + 0.8 z of male against female.

    t is how far the map moves a prompt along the direction of gender, z what sets the keywords apart. ``drawn`` counts.
    """

    def __init__(self, pipe):
        prompts = neutral(WORDS, TEMPLATES)
        self.u = directions(pipe, prompts, ATTRIBUTES[0])[0]
        mean = encode(pipe, prompts).sequence.mean(1)
        self.apart = torch.linalg.svd(mean - mean.mean(0), full_matrices=False)[0][:, 0] * math.sqrt(len(WORDS))
        self.place, self.drawn, self.stop_at = {row.text: i for i, row in enumerate(prompts)}, 0, math.inf

    def generate(self, pipe, prompts, *, fair_map, seed, batch_size, progress, **call):
        if self.drawn >= self.stop_at:
            raise KeyboardInterrupt
        self.drawn += len(prompts)
        found = encode(pipe, prompts)
        t = (fair_map(found.sequence, found.mask) - found.sequence).mean(1) @ self.u / self.u.square().sum()
        z = self.apart[[self.place[prompt.text] for prompt in prompts]]
        male = torch.rand(len(t), generator=torch.Generator().manual_seed(seed)) < (1.5 + 1.2 * t + 0.8 * z).sigmoid()
        return SimpleNamespace(images=["male" if one else "female" for one in male])

    def shares(self, pipe, fair_map):
        """The true share of women of every keyword under the map."""
        found = encode(pipe, neutral(WORDS, TEMPLATES))
        t = (fair_map(found.sequence, found.mask) - found.sequence).mean(1) @ self.u / self.u.square().sum()
        return 1 - (1.5 + 1.2 * t + 0.8 * self.apart).sigmoid()


@pytest.fixture
def world(tiny_distilled, monkeypatch):
    made = World(tiny_distilled)
    monkeypatch.setattr(loop, "generate", made.generate)
    return made


def calibrated(pipe, share=0.5, judge=None, **settings):
    targets = resolve_targets({"gender": {"female": share, "male": 1 - share}}, GROUPS)
    given = SETTINGS | {"start": FairMap.identity(32), "judge": judge or Seen(str)}
    return fit_calibrated(pipe, WORDS, ATTRIBUTES, targets=targets, **(given | settings))


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_it_ends_when_the_targets_are_met(tiny_distilled, world, share):
    before = world.shares(tiny_distilled, FairMap.identity(32))
    fair_map = calibrated(tiny_distilled, share)
    rounds = fair_map.config.rounds
    assert rounds[-1]["high"] <= 0.15 and all(found["high"] > 0.15 for found in rounds[:-1])
    assert 2 <= len(rounds) <= 6
    after = world.shares(tiny_distilled, fair_map)
    assert float((before - share).square().mean().sqrt()) > 0.15
    assert float((after - share).square().mean().sqrt()) < 0.12
    assert [found["round"] for found in rounds] == list(range(len(rounds)))
    assert {found["attribute"] for found in rounds} == {"gender"}
    assert all(found["low"] <= found["deviation"] <= found["high"] for found in rounds)
    assert fair_map.config.images == world.drawn == sum(found["images"] for found in rounds)
    assert (fair_map.config.route, fair_map.config.judge) == ("calibrated", "seen")
    assert fair_map.config.loss == min(found["deviation"] for found in rounds)
    assert fair_map.config.targets["shares"]["gender"]["female"] == share


def test_it_ends_when_nothing_more_is_gained(tiny_distilled, world):
    fair_map = calibrated(tiny_distilled, judge=Seen(lambda image: "female"))
    assert len(fair_map.config.rounds) == 1 + module.PATIENCE
    assert [found["deviation"] for found in fair_map.config.rounds] == [0.5] * 3
    assert torch.equal(fair_map.weight.square(), torch.eye(32)), "of the best round, which was the first"


def test_it_ends_after_its_rounds(tiny_distilled, world):
    assert len(calibrated(tiny_distilled, tolerance=0.001, rounds=2).config.rounds) == 2


def test_a_stopped_calibration_goes_on_from_its_file(tiny_distilled, world, tmp_path):
    few = {"images": 6, "tolerance": 0.001, "rounds": 3}
    whole, drawn = calibrated(tiny_distilled, **few), world.drawn
    state, world.stop_at = tmp_path / "new" / "state.json", drawn + 0.8 * drawn
    with pytest.raises(KeyboardInterrupt):
        calibrated(tiny_distilled, resume=state, **few)
    done = len(json.loads(state.read_text())["seen"])
    assert 0 < done < len(whole.config.rounds)
    world.drawn, world.stop_at = 0, math.inf
    again = calibrated(tiny_distilled, resume=state, **few)
    torch.testing.assert_close(again.weight.square(), whole.weight.square(), atol=1e-3, rtol=1e-3)
    assert again.config.rounds == whole.config.rounds and again.config.images == whole.config.images
    assert 0 < world.drawn < drawn
    for other in ({"images": 7}, {"seed": 1}, {"share": 0.4}):
        with pytest.raises(ValueError, match="left by a calibration with other settings"):
            calibrated(tiny_distilled, resume=state, **(few | other))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": 1}, "images is 1"),
        ({"rounds": 0}, "rounds 0"),
        ({"tolerance": 1.0}, "tolerance 1.0"),
        ({"judge": Seen(lambda image: None)}, "'seen' judged gender in fewer than two images"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(tiny_distilled, world, settings, message):
    with pytest.raises(ValueError, match=message):
        calibrated(tiny_distilled, **settings)


def test_what_the_judge_cannot_tell_is_refused(tiny_distilled, world):
    age = resolve_attributes({"age": ["young", "old"]})
    even = resolve_targets(None, {"age": ("young", "old")})
    with pytest.raises(ValueError, match="the judge 'seen' does not judge age 'old'; give another one"):
        fit_calibrated(tiny_distilled, WORDS, age, targets=even, judge=Seen(str))
    with pytest.raises(ValueError, match="targets hold nothing for gender"):
        fit_calibrated(tiny_distilled, WORDS, ATTRIBUTES, targets=even, judge=Seen(str))
    with pytest.raises(ValueError, match="start has group shifts"):
        calibrated(tiny_distilled, start=tiny.sampled_map(tiny_distilled))
    assert not world.drawn


def test_counts_are_corrected_for_the_judges_errors(tiny_distilled, world):
    """A judge that takes every fifth man for a woman: uncorrected it would ask for too many men."""
    rng = np.random.default_rng(0)
    judge = Seen(lambda image: "female" if image == "male" and rng.random() < 0.2 else image)
    raw = calibrated(tiny_distilled, judge=judge, rounds=1).config.rounds[0]["deviation"]
    rng = np.random.default_rng(0)
    judge.card = {"confusion": {"gender": [[100, 0], [20, 80]]}}
    corrected = calibrated(tiny_distilled, judge=judge, rounds=1).config.rounds[0]["deviation"]
    assert corrected > raw + 0.05, "the mapless model draws mostly men, more than such a judge sees"


def test_it_draws_with_the_pipeline_from_a_fitted_start(tiny_distilled, monkeypatch):
    few = functools.partial(module.fit_denoiser, images=4, steps=2, rank=2, batch_size=4)
    monkeypatch.setattr(module, "fit_denoiser", few)
    bright = Seen(lambda image: "female" if np.asarray(image).mean() > 127 else "male")
    fair_map = fit_calibrated(
        tiny_distilled, WORDS[:2], ATTRIBUTES, targets=resolve_targets(None, GROUPS), templates=TEMPLATES, judge=bright,
        images=4, rounds=2, call={"num_inference_steps": 1}, batch_size=8, progress=False,
    )  # fmt: skip
    assert fair_map.config.images == 4 + 8 * len({found["round"] for found in fair_map.config.rounds})
    assert fair_map.config.rank == 2 and fair_map.width == 32


def test_the_logistic_step_finds_what_drew_the_labels():
    generator = torch.Generator().manual_seed(0)
    phi, t = torch.randn(20_000, 3, generator=generator), torch.randn(20_000, 2, generator=generator)
    level = torch.tensor([[0.5, -1.0], [0.8, 0.0], [0.0, -0.6], [0.3, 0.3]])
    slope = torch.tensor([[1.2, 0.4], [-0.3, 0.9]])
    odds = torch.nn.functional.pad(torch.nn.functional.pad(phi, (1, 0), value=1.0) @ level + t @ slope, (1, 0))
    group = torch.multinomial(odds.softmax(1), 1, generator=generator)[:, 0]
    found = logistic(phi, t, group, 3)
    torch.testing.assert_close(found[0], level, atol=0.1, rtol=0)
    torch.testing.assert_close(found[1], slope, atol=0.1, rtol=0)
    assert not found[0].requires_grad


def test_the_judge_follows_the_model_where_none_is_named(tiny_distilled, world, monkeypatch):
    monkeypatch.setattr(judges, "_PHOTO_NEEDS", ("no_such_package",))
    with pytest.raises(ModuleNotFoundError, match=r"need a judge of photographs.*no_such_package"):
        fit_calibrated(tiny_distilled, WORDS, ATTRIBUTES, targets=resolve_targets("even", GROUPS))
    assert world.drawn == 0
