"""Rounds, and keywords that are closed: what is drawn depends on the answers alone, however often a run was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import quick
from quick import PROMPTS, Corner, Noise, contents

from fairmapping import metrics
from fairmapping.audit import audit
from fairmapping.layout import ByRound
from fairmapping.plan import Order, Plan
from fairmapping.prompts import Attribute, Group, Prompt, neutral, specific
from fairmapping.results import Audit
from fairmapping.stopping import Stop
from fairmapping.store import Place
from fairmapping.work import Job

WIDTH, CAP = 0.27, 60


class Sized(Noise):
    """As Noise, and the first pixel says what was asked: bright and odd for a doctor, chance for all others."""

    def __call__(self, prompt: Any = None, generator: Any = None, prompt_embeds: Any = None) -> Any:
        drawn = super().__call__(prompt, generator, prompt_embeds)
        for text, image in zip(prompt, drawn.images, strict=True):
            if "doctor" in text:
                image.putpixel((0, 0), 101)
            if "ghost" in text:
                image.putpixel((0, 0), 0)
        return drawn


def run(out: Path | str, pipe: Any = None, **options: Any) -> Audit:
    options = {"stop_at": WIDTH, "images_per_prompt": CAP} | options
    return quick.run(str(out), pipe or Sized(), **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return run(tmp_path_factory.mktemp("whole"))


def images(found: Audit) -> dict[str, int]:
    return found.table("gender").set_index("keyword")["images"].to_dict()


def counts(found: Audit, keyword: str, least: int | None = None) -> np.ndarray:
    rows = found.rows[found.rows["keyword"] == keyword][:least]
    return np.array([(rows["gender"] == group).sum() for group in ("female", "male")])


def test_a_keyword_closes_at_the_first_round_that_is_enough(whole: Audit) -> None:
    drawn = images(whole)
    assert drawn["doctor"] < drawn["nurse"] < CAP  # one group only is known sooner than a coin
    for keyword, number in drawn.items():
        assert number % 4 == 0
        assert metrics.enough(counts(whole, keyword), WIDTH)
        assert not metrics.enough(counts(whole, keyword, number - 4), WIDTH)
    table = whole.table("gender").set_index("keyword").loc["nurse"]
    wanted = metrics.confidence_sequence(table["female_count"], table["n"])
    assert (table["female_low"], table["female_high"]) == pytest.approx(wanted)
    assert (whole.settings["stop_at"], whole.settings["batch_size"]) == (WIDTH, 4)
    assert Audit.load(whole.path).stopped_early


def test_a_prompt_without_faces_goes_on_to_the_most(tmp_path: Path) -> None:
    found = audit(Sized(), ["a ghost", "a doctor"], judge="quick:Corner", out=tmp_path, stop_at=0.3, **SMALL)
    assert images(found)["a ghost"] == SMALL["images_per_prompt"] > images(found)["a doctor"]


SMALL: dict[str, Any] = {"images_per_prompt": 30, "batch_size": 4, "attributes": "gender", "progress": False}


@pytest.mark.parametrize("kind", ["files", "webdataset"])
def test_interrupted_anywhere_it_ends_as_undisturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    original, left = Place.write, [0]
    run(tmp_path / "whole", store=kind)
    wanted = contents(tmp_path / "whole")

    def stopped(self: Place, name: str, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        original(self, name, data)

    monkeypatch.setattr(Place, "write", stopped)
    for writes in (3, 17, 40):
        interruptions = 0
        folder = tmp_path / f"{writes}"
        while True:
            left[0] = writes
            try:
                run(folder, store=kind)
                break
            except KeyboardInterrupt:
                interruptions += 1
        assert interruptions >= 1
        assert contents(folder) == wanted


def test_closed_it_draws_no_more_and_goes_on_when_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path)
    before = contents(tmp_path)
    with monkeypatch.context() as context:
        context.setattr(Noise, "__call__", lambda self, prompt, generator, prompt_embeds=None: 1 / 0)
        context.setattr(Corner, "__call__", lambda self, images: 1 / 0)
        assert run(tmp_path).rows.equals(first.rows)
        assert contents(tmp_path) == before
    narrow = run(tmp_path, stop_at=WIDTH - 0.09)
    assert all(images(narrow)[keyword] > number for keyword, number in images(first).items())
    after = contents(tmp_path)
    assert all(after[name] == data for name, data in before.items() if name != "judgements/corner.parquet")
    # What a wider one does not need is not in it: the same call gives the same audit, whatever else lies there.
    assert run(tmp_path).rows.equals(first.rows)
    full = run(tmp_path, stop_at=None)
    assert set(images(full).values()) == {CAP}
    assert not full.stopped_early
    grown = contents(tmp_path)
    assert all(grown[name] == data for name, data in after.items() if name.endswith(".png"))


def test_every_template_arm_and_explicit_prompt_of_a_keyword_stops_with_it(tmp_path: Path) -> None:
    gender = Attribute("gender", (Group("female", ("woman",)), Group("male", ("man",))))
    rows = neutral(["doctor", "nurse"], ("{}", "one {words}")) + specific(["doctor", "clerk"], gender, ("{}",))
    options = SMALL | {"batch_size": 8, "attributes": gender}
    found = audit(Sized(), rows, judge="quick:Corner", out=tmp_path, stop_at=0.3, **options)
    per = found.rows.groupby(["keyword", "prompt"]).size().groupby("keyword").agg(set).to_dict()
    assert per["clerk"] == {30}  # no neutral prompt tells when it is enough
    assert len(per["doctor"]) == len(per["nurse"]) == 1
    assert max(per["doctor"]) < max(per["nurse"]) <= 30
    assert found.obeyed()["n"].min() > 0


def test_all_arms_and_attributes_must_be_known() -> None:
    """Worked by hand: an arm or attribute that is not known keeps a keyword open."""

    class Told:
        def __init__(self, letters: dict[int, str]) -> None:
            self.plan, self.letters = Plan(Order(["one", "two"], 20, batch_size=10), in_rounds=True), letters

        def answers(self, numbers: list[int]) -> Any:
            from fairmapping import tables

            for number in numbers:
                rows = [
                    {"keyword": row.keyword, "groups": row.groups, "a": self.letters[number][0], "b": letter}
                    for row, letter in zip(self.plan.block(number), self.letters[number], strict=True)
                ]
                yield tables.decode(tables.encode(rows, tables.schema(["keyword", "groups", "a", "b"])), "answers")

    from fairmapping.stopping import rounds

    sure, unsure = "x" * 10, "xyxyxyxyxy"
    groups = {"a": ["x", "y"], "b": ["x", "y"]}
    assert metrics.enough([10, 0], 0.2)
    assert not metrics.enough([5, 5], 0.2)
    cases: list[tuple[list[dict[int, str]], list[int]]] = [
        ([{0: sure, 1: sure}, {0: sure, 1: sure}], []),
        ([{0: sure, 1: sure}, {0: sure, 1: unsure}], [3]),
        ([{0: unsure, 1: sure}, {0: sure, 1: sure}], [2]),
    ]
    for letters, wanted in cases:
        ledgers: Any = [Told(of | {2: sure, 3: sure}) for of in letters]
        steps = list(rounds(ledgers, Stop(0.2, groups)))
        second = steps[1][0] if len(steps) > 1 else []
        assert second == [(order, number) for order in (0, 1) for number in wanted]
        assert steps[0] == ([(0, 0), (0, 1), (1, 0), (1, 1)], "images, 2 of 2 keywords open")


@pytest.mark.parametrize(("templates", "size"), [(1, 4), (2, 4), (3, 4), (3, 16), (5, 4)])
def test_rounds_hold_every_image_once_and_no_block_two_keywords(templates: int, size: int) -> None:
    keywords = [keyword for _ in range(templates) for keyword in ("doctor", "nurse")] + ["cook"]
    layout = ByRound(keywords, 14, size)
    blocks = [layout.within(number) for number in layout.blocks]
    assert sorted(at for block in blocks for at in block) == [(p, i) for p in range(len(keywords)) for i in range(14)]
    assert all(0 < len(block) <= size for block in blocks)
    for number, block in enumerate(blocks):
        assert {keywords[prompt] for prompt, _ in block} == {layout.keyword(number)}
    assert [layout.find(row) for row in range(14 * len(keywords))] == [
        (number, place) for number, block in enumerate(blocks) for place in range(len(block))
    ]
    for turn in layout.rounds:  # all prompts of a round have as many images
        drawn = [at for number in layout.round(turn) for at in blocks[number]]
        assert len({sum(prompt == number for prompt, _ in drawn) for number in range(len(keywords))}) == 1
    more = ByRound(keywords, 99, size)
    full = 14 // layout.each * len(layout.round(0))
    assert [more.within(number) for number in range(full)] == blocks[:full]


def test_a_plan_in_rounds_is_a_sequence() -> None:
    rows = Plan(Order(PROMPTS, 14, batch_size=4), in_rounds=True)
    assert list(rows) == [rows[number] for number in range(42)]
    assert [(row.keyword, row.index) for row in rows[2:6]] == [
        ("doctor", 2),
        ("doctor", 3),
        ("nurse", 0),
        ("nurse", 1),
    ]
    by_prompt = {(row.prompt, row.index): row.seed for row in Plan(Order(PROMPTS, 14, batch_size=4))}
    assert {(row.prompt, row.index): row.seed for row in rows} == by_prompt


@pytest.mark.parametrize("wrong", [0, 0.0, -0.1, 0.5, 1, float("nan"), float("inf"), True])
def test_widths_that_are_none_are_refused_before_anything_is_drawn(tmp_path: Path, wrong: float) -> None:
    with pytest.raises(ValueError, match=r"width is .*; give the half-width to stop at, between 0 and 0.5"):
        run(tmp_path / "run", stop_at=wrong)
    assert not (tmp_path / "run").exists()


def test_what_cannot_stop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"stop_at is '0.1'; give the half-width"):
        run(tmp_path / "run", stop_at="0.1")
    with pytest.raises(ValueError, match="this job has no judge"):
        Job((Order([Prompt("a nurse", "nurse")], 2),), Place(tmp_path), None, Stop(0.1, {"gender": ["female", "male"]}))
    assert not (tmp_path / "run").exists()
