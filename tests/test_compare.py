"""Routes side by side: every figure is the audit's own, and what cannot be compared is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from test_audit import by_hand
from test_results import two

from fairmapping.compare import ASSIGNED, comparison, figures_of, markdown
from fairmapping.results import Audit
from fairmapping.targets import Targets

SETS = {"fitted": ["nurse"], "others": ["cook", "clerk"]}
EXPECTED = {"race": {"nurse": "asian", "cook": "white"}}  # any attribute that the judge reads may be expected


def routes() -> dict[str, Audit]:
    raw = {"nurse": "fa fa fa fb", "cook": "mw mw mw 00", "clerk": "mw fa mb fw"}
    text = {"nurse": "fa fa ma fb", "cook": "mw mw fw mw", "clerk": "mw fa mb fw"}
    sampled = {"nurse": "fa ma fb mw", "cook": "mw fw mb fa", "clerk": "mw fa mb fw"}
    first = two({"raw": raw, "mapped": text}, expected=EXPECTED, map={"keywords": ["nurse"], "route": "text"})
    quota: dict[str, Any] = {"keywords": ["nurse"], "route": "sampled", "quota": {"seed": 0}}
    return {"text": first, "sampled": two({"mapped": sampled}, expected=EXPECTED, map=quota)}


def test_one_row_for_each_set_and_route_with_the_audits_figures() -> None:
    audits = routes()
    table = comparison(audits, SETS)
    assert table[["set", "route"]].to_numpy().tolist() == [
        [name, route] for name in SETS for route in ("raw", "text", "sampled")
    ]
    assert table["sampled"].tolist() == [False, False, True] * 2
    assert table["images"].tolist() == [4] * 3 + [8] * 3
    line = table.set_index(["set", "route"]).loc[("others", "sampled")]
    one = audits["sampled"]
    gender = one.summary("gender", keywords=SETS["others"]).set_index("measure").loc["pairwise_bias"]
    race = one.summary("race", keywords=SETS["others"]).set_index("measure").loc["mean_absolute_deviation"]
    joint = one.joint(keywords=SETS["others"]).iloc[0]
    for name, expected in (
        ("gender_pairwise_bias", gender),
        ("race_mean_absolute_deviation", race),
        ("joint_mean_absolute_deviation", joint),
    ):
        for end, column in (("", "value"), ("_low", "low"), ("_high", "high"), ("_floor", "floor")):
            assert line[f"{name}{end}"] == expected[column], (name, end)
    assert line["race_as_expected"] == 2 / 4  # of four cooks two are white, and nothing is expected of clerks
    assert figures_of(table)[-1] == "race_as_expected"


def test_raw_comes_from_the_first_audit_that_drew_it() -> None:
    audits = routes()
    table = comparison(dict(reversed(audits.items())), SETS).set_index(["set", "route"])
    expected = audits["text"].summary("gender", keywords=["nurse"]).set_index(["arm", "measure"])
    value = table.loc[("fitted", "raw"), "gender_pairwise_bias"]
    assert value == expected.loc[("raw", "pairwise_bias"), "value"]
    assert "raw" not in set(comparison({"sampled": audits["sampled"]}, SETS)["route"])


def test_a_route_that_drew_none_of_a_set_has_no_row() -> None:
    audits = routes()
    rows = audits["sampled"].rows
    audits["sampled"] = replace(audits["sampled"], rows=rows[rows["keyword"] == "nurse"])
    table = comparison(audits, SETS)
    assert table[table["set"] == "others"]["route"].tolist() == ["raw", "text"]


def test_with_targets_the_distance_from_them_is_compared() -> None:
    audits = routes()
    targets = Targets({"gender": {"female": 0.25, "male": 0.75}})
    table = comparison(audits, SETS, targets=targets)
    assert figures_of(table) == ["gender_target_deviation", "race_as_expected"]  # race has no target
    line = table.set_index(["set", "route"]).loc[("fitted", "raw")]
    assert line["gender_target_deviation"] == 0.75
    floor = audits["text"].against(targets, "gender", keywords=["nurse"])["floor"].iloc[0]
    assert line["gender_target_deviation_floor"] == floor


def test_markdown_shows_intervals_floors_and_marks_a_quota() -> None:
    table = comparison(routes(), SETS)
    text = markdown(table)
    lines = text.splitlines()
    assert lines[0].startswith("| set | route | keywords | images | gender pairwise bias | chance floor | race mean")
    assert len({line.count("|") for line in lines[:8]}) == 1
    assert lines[4].startswith("| fitted | sampled † | 1 | 4 | 0.000 [")
    assert text.endswith(f"† {ASSIGNED}\n")
    assert "†" not in markdown(table[~table["sampled"]])
    assert "nan" not in text
    odd = table.assign(route="a|b")
    assert "a\\|b" in markdown(odd)
    assert markdown(pd.concat([table, table])).count("\n") == text.count("\n") + 6


def test_no_face_at_all_is_said_not_hidden() -> None:
    found = by_hand({"raw": {"nurse": "ffff"}, "mapped": {"nurse": "0000"}})
    line = comparison({"text": found}, {"all": ["nurse"]}).set_index("route").loc["text"]
    assert line["images"] == 4
    assert pd.isna(line["gender_pairwise_bias"])
    assert "n/a | n/a" in markdown(comparison({"text": found}, {"all": ["nurse"]}))


def test_what_cannot_be_compared_is_refused() -> None:
    audits = routes()
    one, other = audits["text"], audits["sampled"]
    asked = {"attributes": {"gender": ["female", "male"]}}
    cases: list[tuple[dict[str, Audit], dict[str, Any], str]] = [
        ({}, SETS, "nothing to compare"),
        (audits, {}, "nothing to compare"),
        ({"raw": one}, SETS, "name routes otherwise"),
        ({"text": replace(one, rows=one.rows[one.rows["arm"] == "raw"])}, SETS, "no mapped arm"),
        (audits, {"fitted": ["wizard"]}, "'wizard' of 'fitted' was not audited"),
        (audits, {"fitted": "nurse"}, "needs a list"),
        (audits, {"fitted": []}, "needs a list"),
        (audits | {"sampled": replace(other, settings=other.settings | asked)}, SETS, "differ in attributes"),
        (audits | {"sampled": replace(other, settings=other.settings | {"call": {"steps": 3}})}, SETS, "in call"),
        (audits | {"sampled": replace(other, settings=other.settings | {"model": {"name": "b"}})}, SETS, "in model"),
        (audits | {"sampled": replace(other, rows=other.rows.assign(prompt="x"))}, SETS, "not drawn on the same"),
        (
            audits | {"sampled": replace(other, rows=other.rows[other.rows["keyword"] != "cook"])},
            SETS,
            "'a cook' is in",
        ),
    ]
    for given, sets, says in cases:
        with pytest.raises(ValueError, match=says):
            comparison(given, sets)
