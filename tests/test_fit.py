"""fit(): which route is asked, what it is given, and what is refused before anything is drawn."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
import torch

from fairmapping.fingerprint import fingerprint
from fairmapping.fit import fit
from fairmapping.mapping import FairMap
from fairmapping.prompts import VARIED_TEMPLATES
from fairmapping.record import Call

module = sys.modules[fit.__module__]
regression = sys.modules["fairmapping.regress"]
WORDS = ["doctor", "cook", "judge", "nurse", "clerk", "pilot", "baker", "coach"]
TINY = {
    "templates": "a photo of {}",
    "images": 4,
    "batch_size": 4,
    "rank": 2,
    "steps": 6,
    "call": {"num_inference_steps": 2},
    "progress": False,
}


@pytest.fixture
def asked(monkeypatch):
    """What the routes were called with; they return the identity."""
    seen = {}

    def stand_in(name, own):
        def route(pipe, keywords, attributes, **given):
            seen.update(given, route=name, keywords=keywords, attributes=[item.name for item in attributes])
            return FairMap.identity(32)

        route.__signature__ = inspect.signature(own)
        return route

    routes = {name: stand_in(name, own) for name, own in module._ROUTES.items()}
    monkeypatch.setattr(module, "_ROUTES", routes)
    return seen


def test_groups_are_sampled_unless_another_route_is_chosen(tiny_sd, asked):
    fit(tiny_sd, WORDS)
    assert (asked["route"], asked["attributes"], asked["seed"]) == ("sampled", ["gender", "race"], 0)
    assert asked["keywords"] == WORDS and asked["resume"] is None
    assert "templates" not in asked, "the route's own"
    for route in ("denoiser", "calibrated", "text"):
        fit(tiny_sd, WORDS, route=route)
        assert asked["route"] == route


def test_targets_are_resolved_and_even_by_default(tiny_sd, asked):
    fit(tiny_sd, WORDS, "gender", route="denoiser")
    assert asked["targets"].of("cook") == {"gender": {"female": 0.5, "male": 0.5}}
    fit(tiny_sd, WORDS, "gender", targets={"cook": {"gender": {"female": 0.9}}}, resume="state", rank=3)
    assert asked["targets"].of("cook")["gender"]["female"] == pytest.approx(0.9)
    assert (asked["resume"], asked["rank"]) == (Path("state"), 3)


def test_templates_are_checked(tiny_sd, asked):
    fit(tiny_sd, WORDS, templates="a photo of {}")
    assert asked["templates"] == ("a photo of {}",)
    with pytest.raises(ValueError, match="must hold"):
        fit(tiny_sd, WORDS, templates=["a photo"])
    defaults = inspect.signature(module._ROUTES["sampled"]).parameters
    assert defaults["templates"].default == VARIED_TEMPLATES


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"route": "magic"}, ValueError, "route is 'magic'; choose sampled, denoiser, calibrated, text"),
        ({"route": "text", "targets": "even"}, ValueError, "it knows no targets and no resume"),
        ({"route": "text", "resume": "state"}, ValueError, "it knows no targets and no resume"),
        ({"route": "text", "images": 3}, TypeError, "route 'text' has no option 'images'; it has .*solver, distance"),
        ({"solver": "exact"}, TypeError, "route 'sampled' has no option 'solver'; it has .*images, rank, steps"),
        ({"judge": "x"}, TypeError, "no option 'judge'"),
        ({"targets": {"age": {"old": 1.0}}}, ValueError, "age"),
        ({"attributes": "gendr"}, FileNotFoundError, "did you mean 'gender'"),
        ({"holdout": 1.0}, ValueError, "holdout is 1.0"),
        ({"holdout": -0.1}, ValueError, "holdout is -0.1"),
        ({"holdout": ["cook"]}, ValueError, "'cook' is both in keywords and in holdout"),
    ],
)
def test_what_cannot_be_fitted_is_refused(tiny_sd, asked, settings, error, message):
    with pytest.raises(error, match=message):
        fit(tiny_sd, WORDS, **settings)
    assert not asked


def test_no_pipeline_is_refused():
    with pytest.raises(TypeError, match="has no method encode_prompt"):
        fit(object(), WORDS)


def test_a_fraction_is_held_out_by_seed(tiny_sd, asked):
    def held(seed):
        fair_map = fit(tiny_sd, WORDS, ["gender"], seed=seed, holdout=0.25)
        assert fair_map.config.seed == seed
        assert sorted([*asked["keywords"], *fair_map.config.held_out]) == sorted(WORDS)
        return fair_map.config.held_out

    assert held(0) == held(0) and len(held(0)) == 2
    assert len({tuple(held(seed)) for seed in range(5)}) > 1
    assert fit(tiny_sd, WORDS, holdout=["clown"]).config.held_out == ["clown"]


def test_the_map_knows_its_encoder(tiny_distilled):
    fair_map = fit(tiny_distilled, WORDS[:2], "gender", **TINY)
    assert fair_map.config.encoder == fingerprint(tiny_distilled)
    assert fair_map.config.route == "sampled" and fair_map.groups == {"gender": ("female", "male")}
    assert fair_map.config.targets["shares"] == {"gender": {"female": 0.5, "male": 0.5}}


def test_a_stopped_fit_is_resumed_from_its_file(tiny_distilled, tmp_path, monkeypatch):
    monkeypatch.setattr(regression, "SAVE_EVERY", 2)
    state, replay, count = str(tmp_path / "state"), Call.replay, 0
    parts = regression.TOGETHER // TINY["batch_size"]
    whole = fit(tiny_distilled, WORDS[:2], "gender", route="denoiser", **TINY)

    def stopping(call, *rest):
        nonlocal count
        count += 1
        if count == parts * (regression.MEASURED + 3) + 1:  # in the fourth step, the second being saved
            raise KeyboardInterrupt
        return replay(call, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Call, "replay", stopping)
        fit(tiny_distilled, WORDS[:2], "gender", route="denoiser", resume=state, **TINY)
    assert Path(state).exists()
    again = fit(tiny_distilled, WORDS[:2], "gender", route="denoiser", resume=state, **TINY)
    assert torch.equal(again.weight.square(), whole.weight.square()) and torch.equal(again.bias, whole.bias)
    assert again.config.loss == whole.config.loss
    others = TINY | {"call": {"num_inference_steps": 3}}
    with pytest.raises(ValueError, match="left by a fit with other settings"):
        fit(tiny_distilled, WORDS[:2], "gender", route="denoiser", resume=state, **others)
