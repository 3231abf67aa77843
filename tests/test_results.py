"""Several attributes jointly, and shares against targets: held to hand counts, exact floors and what chance gives."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats
from test_audit import by_hand

from fairmapping import metrics
from fairmapping.estimates import cell_counts, mean_from_target
from fairmapping.results import Audit, frame
from fairmapping.targets import Targets

JUDGE = {
    "name": "hand",
    "attributes": {"gender": ["female", "male"], "race": ["asian", "black", "white"]},
    "card": {},
}
LETTERS = {"f": "female", "m": "male", "a": "asian", "b": "black", "w": "white"}


def two(answers: Mapping[str, Mapping[str, str]], **settings: Any) -> Audit:
    """An audit of gender and race: of each image two letters, or "00" for no face, with a space between images."""
    rows = []
    for arm, keywords in answers.items():
        for keyword, images in keywords.items():
            for seed, letters in enumerate(images.split()):
                labels = [LETTERS.get(letter) for letter in letters]
                row = {"image": f"{arm}/{keyword}/{seed}.png", "arm": arm, "prompt": f"a {keyword}", "groups": ()}
                row |= {"keyword": keyword, "template": "a {}", "seed": seed, "faces": int(labels[0] is not None)}
                rows.append(row | {"gender": labels[0], "race": labels[1]})
    plain = by_hand({"raw": {"x": "f"}}).settings
    asked = {"attributes": JUDGE["attributes"], "judge": JUDGE}
    return Audit(frame(rows), plain | asked | settings)


def test_every_cell_counts_and_unseen_ones_are_zero() -> None:
    found = two({"raw": {"nurse": "fa fa fb 00", "cook": "mw mw mw mw mw mw"}}).joint()
    nurse, cook = [2, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 6]
    line = found.iloc[0]
    assert (line["arm"], line["cells"], line["keywords"], line["images"]) == ("raw", 6, 2, 9)
    assert line["value"] == pytest.approx(metrics.mean_absolute_deviation([nurse, cook]).mean())
    assert line["low"] <= line["value"] <= line["high"]
    even = np.full(6, 1 / 6)
    assert line["floor"] == pytest.approx((metrics.target_floor(3, even) + metrics.target_floor(6, even)) / 2)


def test_marginals_may_be_even_where_cells_are_not() -> None:
    """All women asian and all men white: gender is even, and half of the four cells are never drawn."""
    found = two(
        {"raw": {"nurse": "fa fa mw mw"}}, attributes={"gender": ["female", "male"], "race": ["asian", "white"]}
    )
    assert found.table("gender")["pairwise_bias"].item() == found.table("race")["pairwise_bias"].item() == 0
    assert found.joint()["value"].item() == 0.25


def test_an_image_without_an_asked_group_is_in_no_cell() -> None:
    asked = {"gender": ["female", "male"], "race": ["asian", "white"]}
    found = two({"raw": {"nurse": "fa fb mw", "ghost": "00 00"}}, attributes=asked)
    assert (found.joint()["images"].item(), found.joint()["keywords"].item()) == (2, 1)
    counts = cell_counts(found.neutral(), asked)["raw"]
    assert counts.loc["nurse"].tolist() == [1, 0, 0, 1]
    assert counts.columns.tolist() == list(itertools.product(*asked.values()))


def test_one_attribute_alone_is_its_deviation_and_keywords_may_be_chosen() -> None:
    found = two({"raw": {"nurse": "fa fa fb", "cook": "mw fw"}, "mapped": {"nurse": "fa ma mb", "cook": "00 00"}})
    race = found.summary("race").set_index(["arm", "measure"])
    alone = found.joint(["race"]).set_index("arm")
    for arm in ("raw", "mapped"):
        expected = race.loc[(arm, "mean_absolute_deviation")]
        assert alone.loc[arm, "value"] == pytest.approx(expected["value"])
        assert alone.loc[arm, "floor"] == pytest.approx(expected["floor"], abs=0.01)  # that one by Monte Carlo
    assert found.joint(keywords=["nurse"])["keywords"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="not asked about"):
        found.joint(["gender", "age"])
    with pytest.raises(ValueError, match="no attributes"):
        found.joint([])


def test_shares_are_held_against_each_keywords_own_target() -> None:
    found = by_hand({"raw": {"nurse": "fffm", "cook": "fmmm", "ghost": "00"}})
    targets = Targets({"gender": {"female": 0.5, "male": 0.5}}, {"nurse": {"gender": {"female": 0.75, "male": 0.25}}})
    line = found.against(targets, "gender").iloc[0]
    assert line["value"] == pytest.approx((0 + 0.25) / 2)
    assert (line["keywords"], line["images"]) == (2, 8)
    assert line["low"] <= line["value"] <= line["high"]
    assert line["floor"] == pytest.approx(
        np.mean([metrics.target_floor(4, [0.75, 0.25]), metrics.target_floor(4, [0.5, 0.5])])
    )
    assert found.against(targets, "gender", keywords=["nurse"])["value"].item() == 0


def test_a_plain_prompt_has_the_target_of_the_keyword_it_holds() -> None:
    found = by_hand({"raw": {"nurse": "ffff"}})
    text = "an oil painting of a nurse in the rain"
    plain = Audit(found.rows.assign(keyword=text, prompt=text), found.settings)
    targets = Targets({"gender": {"female": 0.5, "male": 0.5}}, {"nurse": {"gender": {"female": 1.0, "male": 0.0}}})
    assert plain.against(targets, "gender")["value"].item() == 0


def test_targets_must_be_of_what_was_asked() -> None:
    found = two({"raw": {"nurse": "fa mw"}}, attributes={"gender": ["female", "male"], "race": ["asian", "white"]})
    with pytest.raises(ValueError, match="name no shares of gender for 'nurse'"):
        found.against(Targets({"race": {"asian": 0.5, "white": 0.5}}), "gender")
    with pytest.raises(ValueError, match="'black' a share"):
        found.against(Targets({"race": {"asian": 0.5, "black": 0.2, "white": 0.3}}), "race")
    spared = Targets({"race": {"asian": 0.5, "black": 0.0, "white": 0.5}})
    assert found.against(spared, "race")["value"].item() == 0


def test_one_group_only_still_has_an_interval() -> None:
    """Drawn anew, 40 images of one group each way would never change; the true share may yet be lower."""
    counts, target = np.array([[20, 0], [0, 20]]), np.array([[0.9, 0.1], [0.1, 0.9]])
    found = mean_from_target(counts, target)
    least = float(metrics.wilson(40, 40)[0])
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high) == (pytest.approx(least - 0.9), pytest.approx(0.1))
    assert 0 < found.low < found.high


def test_the_interval_against_a_target_covers_what_it_estimates() -> None:
    """12 keywords of 40 images, each with a share of its own: the mean |share - target| at this n."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(150):
        truth = rng.uniform(0.3, 0.9, 12)
        first = rng.binomial(40, truth)
        found = mean_from_target(np.stack([first, 40 - first], -1), np.tile([0.5, 0.5], (12, 1)))
        x = np.linspace(0.3, 0.9, 61)[:, None]  # over the keywords that might have been asked
        expected = (stats.binom.pmf(np.arange(41), 40, x) * np.abs(np.arange(41) / 40 - 0.5)).sum(1).mean()
        hits += found.low <= expected <= found.high
    assert hits >= 128  # 85 %: a bootstrap over 12 keywords falls a little short of 95 %


@pytest.mark.parametrize("target", [[0.5, 0.5], [0.03, 0.97], [1.0, 0.0], [0.1, 0.2, 0.3, 0.4]])
@pytest.mark.parametrize("n", [1, 7, 24, 250])
def test_the_floor_of_a_target_by_summing_over_the_binomial(target: list[float], n: int) -> None:
    counts = np.arange(n + 1)[:, None]
    expected = (stats.binom.pmf(counts, n, target) * np.abs(counts / n - target)).sum(0).mean()
    assert metrics.target_floor(n, target) == pytest.approx(expected, abs=1e-12)


def test_floor_of_even_targets_and_bad_ones() -> None:
    assert metrics.target_floor(250, [0.5, 0.5]) == pytest.approx(metrics.chance_floor(250, 2) / 2)
    several = metrics.target_floor([0, 10], [[0.5, 0.5], [0.2, 0.8]])
    assert np.isnan(several[0])
    assert several[1] == metrics.target_floor(10, [0.2, 0.8])
    assert metrics.target_deviation([[3, 1], [0, 0]], [0.5, 0.5])[0] == 0.25
    for wrong, says in (([0.5, 0.6], "add up to 1"), ([1.0], "two or more"), ([-0.5, 1.5], "not negative")):
        with pytest.raises(ValueError, match=says):
            metrics.target_floor(10, wrong)
    with pytest.raises(ValueError, match="needs 2 shares"):
        metrics.target_deviation([3, 1], [0.2, 0.3, 0.5])
    with pytest.raises(ValueError, match="whole numbers"):
        metrics.target_floor(2.5, [0.5, 0.5])


def test_a_quota_is_told_from_the_settings() -> None:
    answers = {"raw": {"nurse": "ff"}, "mapped": {"nurse": "fm"}}
    assert by_hand(answers, map={"keywords": [], "quota": {"seed": 0}}).sampled
    assert not by_hand(answers, map={"keywords": [], "quota": None}).sampled
    assert not by_hand(answers, map={"keywords": []}).sampled
    assert not by_hand(answers).sampled


def test_the_table_of_cells_by_hand() -> None:
    asked = {"gender": ["female", "male"], "race": ["asian", "white"]}
    found = two({"raw": {"nurse": "fa fa fa mw", "cook": "mw mw fb 00"}}, attributes=asked).cells()
    shares = found.set_index(["gender", "race"])["share"]
    assert shares.to_dict() == pytest.approx(
        {("female", "asian"): 0.375, ("female", "white"): 0, ("male", "asian"): 0, ("male", "white"): 0.625}
    )
    assert found["count"].tolist() == [3, 0, 0, 3]
    assert set(found["n"]) == {6} and set(found["even"]) == {0.25}
    assert found["apart"].tolist() == pytest.approx([0.375**2, 0.375 * 0.625, 0.625 * 0.375, 0.625**2])
    assert (found["low"] <= found["share"]).all() and (found["share"] <= found["high"]).all()
    by_race = two({"raw": {"nurse": "fa fa fa mw"}}, attributes=asked).cells(["race"])
    assert by_race[["race", "share"]].values.tolist() == [["asian", 0.75], ["white", 0.25]]


def test_cells_of_nothing() -> None:
    found = two({"raw": {"nurse": "00 00"}})
    assert found.cells()["n"].tolist() == [0] * 6
    assert found.cells()["share"].isna().all()
    assert not len(found.cells(keywords=[]))
    with pytest.raises(ValueError, match="no attributes"):
        found.cells([])


def test_every_keyword_is_tested_and_holms_correction_is_applied() -> None:
    raw = {"nurse": "f" * 30, "cook": "m" * 20, "clerk": "ffmm0", "ghost": "00"}
    mapped = {"nurse": "f" * 15 + "m" * 15, "cook": "m" * 17 + "f" * 3, "clerk": "ffmmf", "ghost": "ff"}
    found = by_hand({"raw": raw, "mapped": mapped}).tests("gender").set_index("keyword")
    assert found[["n", "changed", "gained", "lost"]].values.tolist() == [[30, 15, 0, 15], [20, 3, 3, 0], [4, 0, 0, 0]]
    assert found["effect"].tolist() == [-0.5, 0.15, 0]
    assert found["p"].tolist() == pytest.approx([2 * 0.5**15, 0.25, 1])
    assert found["p_holm"].tolist() == pytest.approx([3 * 2 * 0.5**15, 0.5, 1])
    assert ((found["low"] < found["effect"]) & (found["effect"] < found["high"])).all()
    one = by_hand({"raw": raw, "mapped": mapped}).tests("gender", keywords=["nurse"])
    assert one["p_holm"].tolist() == one["p"].tolist()
    with pytest.raises(ValueError, match="needs both arms"):
        by_hand({"raw": raw}).tests("gender")
    with pytest.raises(ValueError, match="cannot be tested"):
        by_hand({"raw": {"nurse": "ff"}, "mapped": {"nurse": "00"}}).tests("gender")


def test_of_several_groups_the_one_that_changed_most_is_named() -> None:
    found = two({"raw": {"nurse": "fw " * 12}, "mapped": {"nurse": "fa " * 7 + "fb " * 2 + "fw " * 3}})
    line = found.tests("race").iloc[0]
    assert (line["group"], line["gained"], line["lost"], line["changed"]) == ("white", 0, 9, 9)
    # Of the 512 ways round that the 9 changes may have gone, 4 are as far out: all from white to each race, or back.
    assert line["p"] == pytest.approx(4 * 0.5**9)


def test_after_early_stopping_shares_have_confidence_sequences() -> None:
    answers = {"raw": {"nurse": "f" * 30 + "m" * 10}}
    plain, early = by_hand(answers), by_hand(answers, stop_at=0.1)
    assert (plain.stopped_early, early.stopped_early) == (False, True)
    ends = early.table("gender")[["female_low", "female_high"]].iloc[0]
    assert tuple(ends) == pytest.approx(metrics.confidence_sequence(30, 40))
    assert tuple(plain.table("gender")[["female_low", "female_high"]].iloc[0]) == pytest.approx(metrics.wilson(30, 40))
