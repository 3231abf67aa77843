"""What an audit says of its judgements, held to hand counts and to metrics; drawing, resuming, saving and rescoring."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairmapping import judges, metrics
from fairmapping.audit import asked_of, audit, rescore
from fairmapping.judges import Judgement
from fairmapping.prompts import Attribute, Group, Prompt, neutral, specific
from fairmapping.results import Audit, Comparison, frame

JUDGE = {
    "name": "hand",
    "attributes": {"gender": ["female", "male"], "cue": ["medical", "food", "plain"]},
    "card": {"confusion": {"gender": [[90, 10], [20, 80]]}},
}
Answers = Mapping[str, Mapping[str, str]]  # arm -> keyword -> one letter an image: f, m, 0 (no face)
LABELS = {"f": "female", "m": "male", "0": None}


def by_hand(answers: Answers, *, cues: Mapping[str, str] | None = None, **settings: Any) -> Audit:
    """An audit with these judgements. Every cue is "plain" unless `cues` has one for the keyword."""
    rows = []
    for arm, keywords in answers.items():
        for keyword, letters in keywords.items():
            for seed, letter in enumerate(letters):
                gender = LABELS[letter]
                cue = None if gender is None else (cues or {}).get(keyword, "plain")
                row = {"image": f"images/{arm}/{keyword}/{seed}.png", "arm": arm, "prompt": f"a {keyword}"}
                row |= {"keyword": keyword, "template": "a {}", "groups": (), "seed": seed, "faces": int(letter != "0")}
                rows.append(row | {"gender": gender, "gender_p": 0.9 if gender else None, "cue": cue})
    plain = {
        "schema_version": 1,
        "created": "2026-01-05T10:11:12+00:00",
        "model": {"name": "by hand", "pipeline": "None"},
        "attributes": {"gender": ["female", "male"]},
        "judge": JUDGE,
        "images_per_prompt": 4,
        "seed": 0,
        "call": {},
        "map": None,
        "expected": {},
        "seconds": {"generate": 0.0, "judge": 0.0},
        "versions": {},
    }
    return Audit(frame(rows), plain | settings)


@pytest.fixture
def pair() -> Audit:
    return by_hand(
        {
            "raw": {"nurse": "ffff", "cook": "mmm0", "clerk": "ffmm"},
            "mapped": {"nurse": "ffmm", "cook": "fmmm", "clerk": "ffmm"},
        },
        cues={"nurse": "medical"},
        expected={"cue": {"nurse": "medical", "cook": "food"}},
    )


def test_shares_are_among_judged_faces_and_the_others_are_counted(pair: Audit) -> None:
    table = pair.table("gender").set_index(["arm", "keyword"])
    cook = table.loc[("raw", "cook")]
    assert (cook["images"], cook["no_face"], cook["several"], cook["n"], cook["other"]) == (4, 1, 0, 3, 0)
    assert (cook["female"], cook["male"], cook["pairwise_bias"]) == (0, 1, 1)
    assert (cook["male_low"], cook["male_high"]) == pytest.approx(metrics.wilson(3, 3))
    assert cook["floor"] == pytest.approx(metrics.chance_floor(3, 2))
    assert table.loc[("mapped", "nurse"), "pairwise_bias"] == 0
    corrected = metrics.correct_counts([2, 2], [[90, 10], [20, 80]]) / 4
    assert table.loc[("mapped", "nurse"), "female_corrected"] == pytest.approx(corrected[0])


def test_a_keyword_without_any_face_has_no_share(pair: Audit) -> None:
    found = by_hand({"raw": {"ghost": "000", "nurse": "ffm"}})
    ghost = found.table("gender").set_index("keyword").loc["ghost"]
    assert ghost["n"] == 0
    assert ghost["no_face"] == 3
    assert np.isnan(list(ghost[["female", "female_low", "pairwise_bias", "floor"]].astype(float))).all()
    summary = found.summary("gender").set_index("measure")
    assert summary.loc["pairwise_bias", "keywords"] == 1
    assert summary.loc["pairwise_bias", "value"] == pytest.approx(1 / 3)


def test_groups_asked_about_count_even_if_never_seen() -> None:
    """K is the number asked about: only women among two groups is the worst there is, not a perfect score."""
    found = by_hand({"raw": {"nurse": "ffff"}})
    assert found.table("gender")["pairwise_bias"].item() == 1
    assert found.summary("gender").set_index("measure").loc["normalised_entropy", "value"] == 0


def test_a_group_that_was_not_asked_about_is_counted_apart(pair: Audit) -> None:
    pair.settings["attributes"] = {"cue": ["medical", "food"]}
    table = pair.table("cue").set_index(["arm", "keyword"])
    assert (table.loc[("raw", "clerk"), "n"], table.loc[("raw", "clerk"), "other"]) == (0, 4)
    assert (table.loc[("raw", "nurse"), "n"], table.loc[("raw", "nurse"), "other"]) == (4, 0)


def test_the_summary_is_the_mean_over_keywords(pair: Audit) -> None:
    summary = pair.summary("gender").set_index(["arm", "measure"])
    raw = summary.loc[("raw", "pairwise_bias")]
    assert raw["value"] == pytest.approx((1 + 1 + 0) / 3)
    assert raw["low"] <= raw["value"] <= raw["high"]
    assert (raw["keywords"], raw["images"]) == (3, 11)
    assert raw["floor"] == pytest.approx(np.mean([metrics.chance_floor(n, 2) for n in (4, 3, 4)]))
    for measure in metrics.MEASURES:
        counts = [[4, 0], [0, 3], [2, 2]]
        assert summary.loc[("raw", measure), "value"] == pytest.approx(np.mean(metrics.MEASURES[measure](counts)))
    one = pair.summary("gender", keywords=["nurse"])
    assert set(one["keywords"]) == {1}


def test_overall_shares(pair: Audit) -> None:
    overall = pair.overall("gender").set_index(["arm", "group"])
    assert overall.loc[("raw", "female"), "share"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert overall.loc[("raw", "female"), "count"] == 6
    assert overall["n"].tolist() == [11, 11, 12, 12]


def test_arms_are_compared_on_the_same_seeds(pair: Audit) -> None:
    compared = pair.compare("gender")
    assert compared.raw.value == pytest.approx(2 / 3)
    assert compared.mapped.value == pytest.approx((0 + 0.5 + 0) / 3)
    assert compared.difference.value == pytest.approx(compared.mapped.value - compared.raw.value)
    assert compared.difference.n == 3
    # nurse changes two of four; of cook three pairs have both faces, of which one changes; clerk none
    assert (compared.changed.value, compared.changed.n) == (pytest.approx(3 / 11), 11)


def test_a_single_keyword_is_compared_by_its_image_pairs() -> None:
    found = by_hand({"raw": {"nurse": "f" * 40}, "mapped": {"nurse": "f" * 20 + "m" * 20}})
    difference = found.compare("gender").difference
    assert difference.value == -1
    assert -1.5 < difference.low < -0.5 < 0
    assert found.compare("gender").verdict == "fell"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.2, -0.1, "fell"), (0.1, 0.2, "rose"), (-0.1, 0.1, "did not measurably change")],
)
def test_the_verdict_needs_an_interval_clear_of_zero(low: float, high: float, verdict: str) -> None:
    middle = metrics.Interval((low + high) / 2, low, high, 9)
    changed = metrics.Interval(0.3, 0.2, 0.4, 40)
    assert Comparison("gender", middle, middle, middle, changed).verdict == verdict


def test_comparing_needs_both_arms_and_a_known_attribute(pair: Audit) -> None:
    with pytest.raises(ValueError, match="needs both arms"):
        by_hand({"raw": {"nurse": "ff"}}).compare("gender")
    with pytest.raises(ValueError, match="no keyword has judged faces in both arms"):
        by_hand({"raw": {"nurse": "ff"}, "mapped": {"nurse": "00"}}).compare("gender")
    with pytest.raises(ValueError, match="'age' was not asked about"):
        pair.table("age")


def test_explicit_prompts_are_kept_apart_and_scored(pair: Audit) -> None:
    rows = pair.rows.copy()
    asked = {"nurse": (("gender", "male"),), "cook": (("gender", "male"),), "clerk": ()}
    rows["groups"] = rows["keyword"].map(asked)
    found = Audit(rows, pair.settings)
    assert found.keywords == ["clerk"]
    obeyed = found.obeyed().set_index(["arm", "group"])
    assert tuple(obeyed.loc[("raw", "all"), ["images", "no_face", "n"]]) == (8, 1, 7)
    assert obeyed.loc[("raw", "all"), "share"] == pytest.approx(3 / 7)
    assert obeyed.loc[("mapped", "male"), "share"] == pytest.approx(5 / 8)
    assert not len(pair.obeyed())


def test_assigned_groups_are_scored_apart_from_explicit_ones(pair: Audit) -> None:
    rows = pair.rows.copy()
    genders = {"nurse": "female", "cook": "male"}  # clerks are assigned nothing
    mapped = (rows["arm"] == "mapped") & rows["keyword"].isin(genders)
    rows["assigned"] = [
        (("gender", genders[word]),) if chosen else () for word, chosen in zip(rows["keyword"], mapped, strict=True)
    ]
    followed = Audit(rows, pair.settings).followed().set_index(["arm", "group"])
    assert tuple(followed.loc[("mapped", "all"), ["images", "no_face", "n"]]) == (8, 0, 8)
    assert followed.loc[("mapped", "all"), "share"] == pytest.approx(5 / 8)  # ff of ffmm, mmm of fmmm
    line = followed.loc[("mapped", "male")]
    assert (line["share"], line["low"], line["high"]) == pytest.approx((3 / 4, *metrics.wilson(3, 4)))
    assert set(followed.reset_index()["arm"]) == {"mapped"}
    assert not len(pair.followed())


def test_what_was_kept(pair: Audit) -> None:
    kept = pair.kept().set_index(["arm", "measure"])
    # nurse shows its cue, cook does not; one cook has no face
    assert kept.loc[("raw", "as expected"), "share"] == pytest.approx(4 / 7)
    assert kept.loc[("mapped", "as expected"), "share"] == pytest.approx(4 / 8)
    assert kept.loc[("mapped", "same as raw"), "share"] == 1
    assert set(kept["chance"]) == {1 / 3}


def test_faces_are_counted_per_arm(pair: Audit) -> None:
    faces = pair.faces().set_index("arm")
    assert faces.loc["raw", "no_face"] == 1
    assert faces.loc["mapped", "no_face"] == 0
    assert faces.loc["raw", "low"] < 1 / 12 < faces.loc["raw", "high"]


def test_saved_and_loaded_it_is_the_same(pair: Audit, tmp_path: Path) -> None:
    pair.save(tmp_path)
    again = Audit.load(tmp_path)
    assert again.settings == pair.settings
    assert again.rows["groups"].tolist() == pair.rows["groups"].tolist()
    for table in ("table", "summary", "overall"):
        assert getattr(again, table)("gender").equals(getattr(pair, table)("gender"))
    assert again.compare("gender") == pair.compare("gender")
    assert rescore(tmp_path).kept().equals(pair.kept())


def test_loading_says_what_is_wrong(pair: Audit, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no audit.json"):
        Audit.load(tmp_path)
    pair.save(tmp_path)
    settings = json.loads((tmp_path / "audit.json").read_text())
    (tmp_path / "audit.json").write_text(json.dumps(settings | {"schema_version": 99}))
    with pytest.raises(ValueError, match="schema 99"):
        Audit.load(tmp_path)


def test_scoring_a_folder_again_loads_no_torch(pair: Audit, tmp_path: Path) -> None:
    pair.save(tmp_path)
    code = (
        "import sys; from fairmapping.audit import audit, rescore; rescore(sys.argv[1]).summary('gender');"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


class Shade:
    """Reads the red of a picture as gender and its green as "cue"; a picture of dark corners has no face."""

    name = "shade"
    attributes = {"gender": ("female", "male"), "cue": ("medical", "food", "plain")}  # noqa: RUF012
    card: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: Any) -> list[Judgement]:
        self.seen += len(images)
        found = []
        for image in images:
            red, green, blue = np.asarray(image).reshape(-1, 3).mean(0) / 255
            gender = {"female": red, "male": 1 - red}
            cue = {"medical": green, "food": (1 - green) / 2, "plain": (1 - green) / 2}
            found.append(Judgement(1, {"gender": gender, "cue": cue}) if blue > 0.3 else Judgement(0))
        return found


def test_an_audit_draws_judges_and_saves(tiny_sd: Any, tmp_path: Path) -> None:
    prompts = [*neutral(["doctor", "nurse"], ("a portrait of {}",)), *specific(["nurse"], "gender", ("a photo of {}",))]
    judge = Shade()
    options = {"images_per_prompt": 2, "attributes": ("gender",), "num_inference_steps": 1, "progress": False}
    result = audit(tiny_sd, prompts, judge=judge, out=tmp_path, **options)
    assert judge.seen == len(result.rows) == 4 * 2
    assert result.arms == ("raw",)
    assert result.keywords == ["doctor", "nurse"]
    assert all((tmp_path / image).exists() for image in result.rows["image"])
    assert result.settings["call"] == {"num_inference_steps": 1}
    assert result.settings["model"]["pipeline"] == "StableDiffusionPipeline"
    assert Audit.load(tmp_path).summary("gender").equals(result.summary("gender"))

    again = Shade()
    repeated = audit(tiny_sd, prompts, judge=again, out=tmp_path, **options)
    assert again.seen == 0
    assert repeated.rows.equals(result.rows)


def test_a_quota_is_recorded_and_followed(tiny_sd: Any, tmp_path: Path) -> None:
    import tiny

    options = {"images_per_prompt": 2, "judge": Shade(), "attributes": ("gender",), "num_inference_steps": 1}
    options |= {"fair_map": tiny.sampled_map(tiny_sd), "progress": False, "seed": 3}
    prompts = [*neutral(["doctor"], ("a photo of {}",)), *specific(["nurse"], "gender", ("a photo of {}",))]
    shares = {"gender": {"female": 0.5, "male": 0.5}}
    result = audit(tiny_sd, prompts, out=tmp_path, quota=shares, **options)
    by_arm = {arm: rows["assigned"].tolist() for arm, rows in result.rows.groupby("arm")}
    assert by_arm["raw"] == [()] * 6
    assert sorted(by_arm["mapped"][:2]) == [(("gender", "female"),), (("gender", "male"),)]
    assert by_arm["mapped"][2:] == [()] * 4
    recorded = {"targets": {"shares": shares, "by_keyword": {}}, "scope": "prompt", "seed": 3}
    assert result.settings["map"]["quota"] == recorded
    followed = result.followed()
    assert len(followed) == 3
    assert Audit.load(tmp_path).followed().equals(followed)
    assert rescore(tmp_path, Shade(), progress=False).followed().equals(followed)

    seen = options["judge"].seen
    assert audit(tiny_sd, prompts, out=tmp_path, quota=shares, **options).rows.equals(result.rows)
    assert options["judge"].seen == seen
    with pytest.raises(ValueError, match=r"mapped\.quota\.targets"):
        audit(tiny_sd, prompts, out=tmp_path, **options)
    with pytest.raises(ValueError, match="there is no map"):
        audit(tiny_sd, prompts, out=tmp_path / "new", quota="even", **options | {"fair_map": None})
    assert not (tmp_path / "new").exists()


def test_judgements_of_before_there_were_quotas_are_read(pair: Audit, tmp_path: Path) -> None:
    Audit(pair.rows.drop(columns="assigned"), pair.settings).save(tmp_path)
    again = Audit.load(tmp_path)
    assert again.rows["assigned"].tolist() == [()] * len(pair.rows)
    assert not len(again.followed())


def test_a_plain_string_is_its_own_keyword(tiny_sd: Any, tmp_path: Path) -> None:
    result = audit(
        tiny_sd,
        ["a doctor", "a nurse"],
        judge=Shade(),
        out=tmp_path,
        images_per_prompt=1,
        attributes="gender",
        num_inference_steps=1,
        progress=False,
    )
    assert result.keywords == ["a doctor", "a nurse"]


def test_what_keywords_should_show_comes_from_the_packaged_lists(tiny_sd: Any, tmp_path: Path) -> None:
    result = audit(
        tiny_sd,
        [Prompt("a chef", "chef"), Prompt("a wizard", "wizard")],
        judge=Shade(),
        out=tmp_path,
        images_per_prompt=1,
        attributes=["gender"],
        num_inference_steps=1,
        progress=False,
    )
    assert set(result.settings["expected"].get("cue", {})) <= {"chef"}


def test_another_judge_reads_the_same_images(tiny_sd: Any, tmp_path: Path) -> None:
    options = {"images_per_prompt": 2, "attributes": ("gender",), "num_inference_steps": 1, "progress": False}
    first = audit(tiny_sd, ["a doctor"], judge=Shade(), out=tmp_path, **options)

    class Contrary(Shade):
        name = "contrary"

        def __call__(self, images: Any) -> list[Judgement]:
            return [Judgement(1, {"gender": {"female": 0.0, "male": 1.0}}) for _ in images]

    second = rescore(tmp_path, Contrary(), progress=False)
    assert second.table("gender")["male"].item() == 1
    assert Audit.load(tmp_path).settings["judge"]["name"] == "contrary"
    assert second.rows["image"].tolist() == first.rows["image"].tolist()
    assert {path.name for path in (tmp_path / "judgements").glob("*.parquet")} == {"shade.parquet", "contrary.parquet"}


@pytest.mark.parametrize(
    ("prompts", "options", "error", "says"),
    [
        ([], {}, ValueError, "no prompts"),
        (["a nurse", "a nurse"], {}, ValueError, "given twice"),
        ("a nurse", {}, TypeError, "give a list"),
        (["a nurse"], {"attributes": ["age"]}, ValueError, "does not judge 'age'"),
        (["a nurse"], {"attributes": []}, ValueError, "no attributes"),
        (["a nurse"], {"judge": "nobody"}, ValueError, "no judge is called"),
        (
            ["a nurse"],
            {"attributes": [Attribute("gender", (Group("female", ("female",)), Group("nonbinary", ("nonbinary",))))]},
            ValueError,
            "no gender group 'nonbinary'",
        ),
        (["a nurse"], {"images_per_prompt": 0}, ValueError, "images_per_prompt"),
    ],
)
def test_bad_input_is_refused_before_anything_is_drawn(
    tiny_sd: Any, tmp_path: Path, prompts: Any, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    arguments = {"judge": Shade(), "attributes": ["gender"], "progress": False} | options
    with pytest.raises(error, match=says):
        audit(tiny_sd, prompts, out=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_what_the_mapped_arm_is_refused_for_is_told_before_the_raw_one_is_drawn(
    tiny_sd: Any, tiny_sdxl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tiny

    options = {"images_per_prompt": 1, "judge": Shade(), "attributes": "gender", "progress": False}
    options |= {"num_inference_steps": 1, "fair_map": tiny.random_map(tiny_sd)}
    audit(tiny_sd, ["a nurse"], out=tmp_path / "there", **options)

    def draw(*args: Any) -> None:
        raise AssertionError("drew an image")

    monkeypatch.setattr(sys.modules["fairmapping.draw"], "_draw", draw)
    for changed, says in (
        ({"fair_map": tiny.random_map(tiny_sdxl)}, "wide"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"guidance_scale": float("inf")}, "guidance_scale is inf"),
    ):
        with pytest.raises(ValueError, match=says):
            audit(tiny_sd, ["a nurse"], out=tmp_path / "new", **options | changed)
        assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match=r"mapped\.strength is 1\.0 there and 0\.5 now"):
        audit(tiny_sd, ["a nurse", "a cook"], out=tmp_path / "there", **options | {"strength": 0.5})


def test_the_judge_follows_the_model_where_none_is_named(
    tiny_sd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(judges._NAMED, "photo", "test_audit:Shade")
    monkeypatch.setattr(judges, "_PHOTO_NEEDS", ())
    options: dict[str, Any] = {"images_per_prompt": 1, "num_inference_steps": 1, "progress": False}
    found = audit(tiny_sd, ["a nurse"], out=tmp_path / "theirs", **options)
    assert found.settings["judge"]["name"] == "shade"
    assert list(found.attributes) == ["gender"], "what it knows of gender and race"
    found = audit("portraits", ["a nurse"], out=tmp_path / "ours", **options)
    assert found.settings["judge"]["name"] == "portraits"
    assert list(found.attributes) == ["gender", "race"]

    with pytest.raises(ValueError, match="name a judge"):
        audit(lambda: tiny_sd, ["a nurse"], out=tmp_path / "none", **options)
    monkeypatch.setattr(judges, "_PHOTO_NEEDS", ("no_such_package",))
    with pytest.raises(ModuleNotFoundError, match=r"fairmapping\[photo\].*missing here: no_such_package"):
        audit(tiny_sd, ["a nurse"], out=tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()


def test_what_is_asked_by_default_is_what_the_judge_knows() -> None:
    class Tones(Shade):
        attributes = {"cue": ("medical", "plain"), "tone": ("light", "dark")}  # noqa: RUF012

    assert asked_of(None, Shade()) == {"gender": ["female", "male"]}
    assert asked_of(None, Tones()) == {"cue": ["medical", "plain"], "tone": ["light", "dark"]}
