"""What may be said of few keywords and few images: intervals inside their range, and verdicts that need changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_audit import by_hand

from fairmapping import metrics, tables
from fairmapping.estimates import mean_over_keywords, mean_share
from fairmapping.judges import records
from fairmapping.pairs import bias_difference
from fairmapping.report import report
from fairmapping.results import Audit
from fairmapping.store import Place


def test_one_changed_picture_is_no_verdict() -> None:
    found = by_hand({"raw": {"nurse": "fffff"}, "mapped": {"nurse": "ffffm"}}).compare("gender")
    assert found.verdict == "did not measurably change"
    # Two keywords that moved alike have no spread between them, but their images do.
    two = by_hand({"raw": {"nurse": "ffff", "cook": "mmmm"}, "mapped": {"nurse": "fffm", "cook": "mmmf"}})
    found = two.compare("gender")
    assert found.difference.high - found.difference.low > 0.3
    assert found.verdict == "did not measurably change"


def test_a_clear_interval_still_needs_six_changed_pairs() -> None:
    """8 keywords of which 5 lose one image each: clear of 0 over keywords, yet 5 pairs prove no direction."""
    names = [f"k{number}" for number in range(8)]
    raw = dict.fromkeys(names, "ff")
    few = by_hand({"raw": raw, "mapped": {name: "fm" if place < 5 else "ff" for place, name in enumerate(names)}})
    many = by_hand({"raw": raw, "mapped": {name: "fm" if place < 7 else "ff" for place, name in enumerate(names)}})
    assert few.compare("gender").difference.high < 0
    assert few.compare("gender").verdict == "did not measurably change"
    assert many.compare("gender").verdict == "fell"


def test_an_even_change_of_nothing_rarely_gets_a_verdict() -> None:
    """Both arms drawn from one generator: at most about 5 % of comparisons over 3 keywords may find a change."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        raw, mapped = rng.random((2, 3, 20)) < 0.7
        joint = np.stack([[(raw == a) & (mapped == b) for b in (1, 0)] for a in (1, 0)]).sum(-1).transpose(2, 0, 1)
        difference = bias_difference(joint.sum(2), joint.sum(1), joint)
        wrong += difference.low > 0 or difference.high < 0
    assert wrong <= 10


def test_arms_drawn_apart_seldom_differ_by_chance() -> None:
    """Two arms of the same shares without seeds in common: the interval holds 0 in at least 95 % of such audits."""
    rng = np.random.default_rng(0)
    for keywords, images in ((3, 15), (12, 10)):
        wrong = 0
        for _ in range(60):
            women = rng.binomial(images, rng.uniform(0.5, 1, keywords), size=(2, keywords))
            raw, mapped = np.stack([women, images - women], -1)
            difference = bias_difference(raw, mapped, np.zeros((keywords, 2, 2), int))
            wrong += difference.low > 0 or difference.high < 0
        assert wrong <= 3, (keywords, images)


@pytest.mark.parametrize("name", list(metrics.MEASURES))
@pytest.mark.parametrize("counts", [[[1, 0]], [[6, 1]], [[0, 7]], [[3, 0], [0, 3]], [[4, 0, 0, 0]], [[5, 0]] * 9])
def test_intervals_have_a_width_and_stay_in_range(name: str, counts: list[list[int]]) -> None:
    array = np.array(counts)
    measure = metrics.MEASURES[name]
    k = array.shape[1]
    ends = sorted((float(measure(np.eye(k)[0])), float(measure(np.ones(k)))))
    found = mean_over_keywords(array, measure)
    assert found.low < found.high
    assert ends[0] - 1e-12 <= found.low <= found.value <= found.high <= ends[1] + 1e-12


def test_where_one_group_has_all_images_the_interval_is_wilsons() -> None:
    low = float(metrics.wilson(20, 20)[0])
    found = mean_over_keywords(np.array([[20, 0]]), metrics.pairwise_bias)
    assert (found.low, found.high) == (pytest.approx(2 * low - 1), 1)
    # One image tells nothing: the group may as well be drawn half the time.
    one = mean_over_keywords(np.array([[1, 0]]), metrics.pairwise_bias)
    assert (one.low, one.high) == (0, 1)
    assert (mean_share(np.array([[20, 0]]), 0).low, mean_share(np.array([[20, 0]]), 1).high) == pytest.approx(
        (low, 1 - low)
    )


def test_a_plain_prompt_that_holds_a_fitted_keyword_was_fitted() -> None:
    found = by_hand(
        {"raw": {"nurse": "ffmm", "nurse practitioner": "ff", "Cook": "mm"}}, map={"keywords": ["nurse", "cook"]}
    )
    assert [found.was_fitted(keyword) for keyword in found.keywords] == [True, False, True]
    rows = found.rows
    plain = {"nurse": "A portrait of a Nurse, smiling", "nurse practitioner": "a cookery book", "Cook": "a cook"}
    rows = rows.assign(keyword=rows["keyword"].map(plain), prompt=rows["keyword"].map(plain))
    text = replace(found, rows=rows)
    assert [text.was_fitted(keyword) for keyword in text.keywords] == [True, False, True]


def test_a_half_written_file_of_judgements_is_refused(tmp_path: Path) -> None:
    audit = by_hand({"raw": {"nurse": "ffmm"}})
    audit.save(tmp_path)
    records.write(Place(tmp_path), audit.settings["judge"], [tables.from_frame(audit.rows[:2])])
    with pytest.raises(ValueError, match=r"2 judgements of 4 images: judging did not finish"):
        Audit.load(tmp_path)


def test_tables_are_made_once_and_handed_out_as_copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = by_hand({"raw": {"nurse": "ffmm", "cook": "mmmm"}, "mapped": {"nurse": "ffmm", "cook": "ffmm"}})
    made = []
    original = Audit._table
    monkeypatch.setattr(Audit, "_table", lambda self, *key: made.append(key) or original(self, *key))
    first = found.table("gender")
    first["n"] = 0
    assert found.table("gender")["n"].tolist() == [4, 4, 4, 4]
    report(found, tmp_path / "report.html")
    assert len(made) == len(set(made)) <= 2


def test_a_page_of_one_arm_says_neither_before_nor_in_each_arm(tmp_path: Path) -> None:
    text = report(
        by_hand({"raw": {"nurse": "ffffffmm"}}, map={"keywords": ["cook"]}), tmp_path / "report.html"
    ).read_text()
    body = text.split('id="main"')[1]
    for wrong in (
        "before,",
        "sorted by the share before",
        "unevenly before",
        "in each arm",
        "1 keywords",
        "occupation that were",
    ):
        assert wrong not in body, wrong
    assert "over 1 occupation that was not used in fitting" in body
    assert "The 1 keyword that the map" in body


def test_faces_of_groups_not_asked_about_are_said(tmp_path: Path) -> None:
    found = by_hand(
        {"raw": {"nurse": "ffff", "cook": "mmm"}},
        cues={"nurse": "medical", "cook": "food"},
        attributes={"cue": ["medical", "plain"]},
    )
    text = report(found, tmp_path / "report.html").read_text()
    assert "Share of faces perceived as medical, of those perceived as medical or plain; 3 others are left out." in text
    assert "the rest as plain" not in text
    assert ">others</th>" in text


def test_what_stands_against_the_figures_is_said_first(tmp_path: Path) -> None:
    judge = {"name": "portraits", "attributes": {"gender": ["female", "male"]}, "card": {"domain": "64 x 64 drawings"}}
    text = report(by_hand({"raw": {"nurse": "000f"}}, judge=judge), tmp_path / "report.html").read_text()
    places = [text.index(part) for part in ("Its domain: 64 x 64 drawings.", "In 3 of 4 images", "mean pairwise bias")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "answers",
    [
        {"raw": {"nurse": "ffmm", "cook": "mm"}, "mapped": {"nurse": "ffmm"}},
        {"raw": {"nurse": "ffmm"}, "mapped": {"nurse": "ffmm", "cook": "mm"}},
        {"raw": {"nurse": "ffmm"}, "mapped": {"nurse": "0000"}},
        {"raw": {"nurse": "0000"}},
        {"raw": {"nurse": "ff00", "cook": "00"}, "mapped": {"nurse": "00ff", "cook": "mm"}},
        {"raw": {"nurse": "ff", "cook": "00"}, "mapped": {"nurse": "00", "cook": "mm"}},
        {"raw": {"nurse": "0000"}, "mapped": {"nurse": "0000"}},
    ],
)
@pytest.mark.parametrize("attribute", ["gender", "cue"])
def test_arms_need_not_hold_the_same(answers: dict[str, dict[str, str]], attribute: str, tmp_path: Path) -> None:
    groups = {"gender": ["female", "male"], "cue": ["medical", "food", "plain"]}[attribute]
    text = report(by_hand(answers, attributes={attribute: groups}), tmp_path / "report.html").read_text()
    assert "nurse" in text
    assert "nan" not in text.split("</style>")[1]


def test_the_same_run_is_not_reported_twice(tmp_path: Path) -> None:
    by_hand({"raw": {"nurse": "ffmm"}}).save(tmp_path)
    first, second = Audit.load(tmp_path), Audit.load(tmp_path)
    for twice in ([first, first], [first, second]):
        with pytest.raises(ValueError, match="given twice"):
            report(twice, tmp_path / "report.html")


def test_an_interval_clear_of_zero_without_a_verdict_says_why(tmp_path: Path) -> None:
    found = by_hand({"raw": {"nurse": "ffff", "cook": "mmmf"}, "mapped": {"nurse": "fffm", "cook": "mmmf"}})
    assert found.compare("gender").difference.high < 0
    text = report(found, tmp_path / "report.html").read_text()
    assert "did not measurably change" in text
    assert "only 1 of 8 image pairs changed group, too few to tell" in text
