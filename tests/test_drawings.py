from __future__ import annotations

from collections import Counter

import pytest
import torch

from fairmapping.drawings import GUIDANCE, Plan, draw, plans
from fairmapping.embed import encode
from fairmapping.prompts import resolve_attributes, specific

ATTRIBUTES = resolve_attributes({"gender": ["female", "male"], "race": ["white", "black", "asian"]})
WORDS, TEMPLATES = ["doctor", "cook", "judge"], ["a portrait of {}", "{words} at work"]


def planned(count=300, shares=None, seed=0, attributes=ATTRIBUTES):
    return plans(WORDS, attributes, TEMPLATES, count, shares, seed)


def test_every_text_says_what_its_plan_says():
    texts = {(): set()}
    for row in [*specific(WORDS, ATTRIBUTES, TEMPLATES), *specific(WORDS, ATTRIBUTES, TEMPLATES, joint=True)]:
        texts.setdefault(row.groups, set()).add(row.text)
    for plan in planned():
        assert plan.text in texts[plan.cell]
        assert set(plan.named) <= set(plan.cell)
        assert (plan.partly in texts[plan.named]) if plan.named else (plan.partly == plan.open)
        assert not {"female", "male", "white", "black", "asian"} & set(plan.open.split())
    example = next(plan for plan in planned() if plan.cell == (("gender", "female"), ("race", "asian")))
    assert "asian female" in example.text


def test_keywords_are_drawn_evenly_and_everything_occurs():
    found = planned()
    assert all(sum(word in plan.open for plan in found) == 100 for word in WORDS)
    sizes = Counter(len(plan.cell) for plan in found)
    assert sizes[2] > sizes[1] > 60, "most of both attributes, some of one alone"
    assert len({plan.cell for plan in found}) == 6 + 5
    assert len({plan.open for plan in found}) == len(WORDS) * len(TEMPLATES)
    assert {len(plan.named) for plan in found} == {0, 1, 2}


def test_plans_follow_from_the_seed():
    assert planned() == planned() != planned(seed=1)
    assert len(planned(5)) == 5
    assert all(len(plan.cell) == 1 for plan in planned(attributes=ATTRIBUTES[:1]))


def test_shares_are_those_of_the_target():
    female, male = (("gender", "female"), ("race", "asian")), (("gender", "male"),)
    found = planned(900, lambda word: {female: 0.2, male: 0.8} if word == "cook" else {female: 1.0})
    share = Counter(plan.cell for plan in found if "cook" in plan.open)
    assert share[female] + share[male] == 300
    assert share[female] == pytest.approx(60, abs=25)
    assert {plan.cell for plan in found if "cook" not in plan.open} == {female}


def recorded(pipe, count, **settings):
    wanted = planned(count)
    given = {"batch_size": 2, "seed": 0, "call": {"num_inference_steps": 2}, "vary": True, "progress": False}
    return wanted, draw(pipe, wanted, **(given | settings))


def test_batches_hold_their_plans_prompts_and_calls(tiny_sd):
    wanted, batches = recorded(tiny_sd, 3)
    assert [list(batch.plans) for batch in batches] == [wanted[:2], wanted[2:]]
    last = batches[1]
    assert [len(part) for part in (last.open, last.partly, last.calls)] == [1, 1, 2]
    for part, text in ((last.open, wanted[2].open), (last.partly, wanted[2].partly)):
        torch.testing.assert_close(part.sequence, encode(tiny_sd, [text]).sequence, atol=1e-5, rtol=1e-4)
    _, again = recorded(tiny_sd, 3)
    assert all(torch.equal(a.calls[0].output, b.calls[0].output) for a, b in zip(batches, again, strict=True))


def test_guidance_varies_where_the_denoiser_is_told_it(tiny_distilled):
    def told(**settings):
        _, batches = recorded(tiny_distilled, 3, batch_size=1, **settings)
        return {tuple(_guidance(batch.calls[0]).flatten().tolist()) for batch in batches}

    assert len(GUIDANCE) >= 3
    assert len(told()) == 3
    assert len(told(vary=False)) == 1


def test_progress_is_shown(tiny_sd, capsys):
    recorded(tiny_sd, 1, progress=True)
    assert "recording" in capsys.readouterr().err


def test_a_pipeline_that_pads_each_call_otherwise_is_refused(tiny_sd, monkeypatch):
    plan = Plan("a female doctor", (("gender", "female"),), "a doctor", "a doctor", ())
    module = __import__("sys").modules[draw.__module__]
    longer = encode(tiny_sd, ["a", "b"])
    longer = type(longer)(longer.sequence.repeat(1, 2, 1), longer.mask.repeat(1, 2))
    monkeypatch.setattr(module, "encode", lambda *_: longer)
    settings = {"batch_size": 1, "seed": 0, "vary": False, "progress": False}
    with pytest.raises(TypeError, match=r"pads prompts to 96 tokens here and 48 there.*use route='text'"):
        draw(tiny_sd, [plan], call={"num_inference_steps": 1}, **settings)


def _guidance(call):
    """timestep_cond, the one argument that is 8 wide."""
    return next(leaf for leaf in call.leaves if isinstance(leaf, torch.Tensor) and leaf.shape == (1, 8))
