from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import fairmapping.lists as lists
from fairmapping.targets import Targets, resolve_targets

GENDER = {"gender": ("female", "male")}
RACE = {"race": ("asian", "black", "hispanic", "white")}
BOTH = {**GENDER, **RACE}
EVEN_RACE = {"asian": 0.25, "black": 0.25, "hispanic": 0.25, "white": 0.25}
HALVES = {"female": 0.5, "male": 0.5}
BLS = Path(__file__).parents[2] / "shared" / "data" / "bls_cps_table11_2022.csv"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("source", [None, "even"])
def test_even(source: str | None) -> None:
    targets = resolve_targets(source, BOTH)
    assert targets == Targets({"gender": HALVES, "race": EVEN_RACE})
    assert targets.of("nurse") == {"gender": HALVES, "race": EVEN_RACE}


def test_attributes_that_are_not_named_are_not_assigned() -> None:
    targets = resolve_targets({"gender": {"female": 0.4, "male": 0.6}}, BOTH)
    assert targets.of("nurse") == {"gender": {"female": 0.4, "male": 0.6}}
    assert list(targets.cells("nurse")) == [(("gender", "female"),), (("gender", "male"),)]
    assert resolve_targets({"race": "even"}, BOTH).of("") == {"race": EVEN_RACE}


def test_keywords_go_before_attributes_and_the_others_are_even() -> None:
    targets = resolve_targets({"Nurse": {"gender": {"female": 0.9, "male": 0.1}}}, BOTH)
    assert targets.of("nurse") == targets.of("NURSES") == {"gender": {"female": 0.9, "male": 0.1}}
    assert targets.of("doctor") == targets.of("") == {"gender": HALVES}
    mixed = resolve_targets({"nurse": {"race": {"white": 1}}, "gender": {"female": 0.4}}, BOTH)
    assert mixed.of("nurse") == {
        "gender": {"female": 0.4, "male": 0.6},
        "race": {"asian": 0.0, "black": 0.0, "hispanic": 0.0, "white": 1.0},
    }
    assert mixed.of("doctor") == {"gender": {"female": 0.4, "male": 0.6}, "race": EVEN_RACE}


def test_cells_are_the_product_without_empty_ones() -> None:
    targets = resolve_targets({"gender": {"female": 0.4}, "race": {"white": 0.75, "asian": 0.25}}, BOTH)
    assert targets.cells("") == pytest.approx(
        {
            (("gender", "female"), ("race", "asian")): 0.1,
            (("gender", "female"), ("race", "white")): 0.3,
            (("gender", "male"), ("race", "asian")): 0.15,
            (("gender", "male"), ("race", "white")): 0.45,
        }
    )


def test_one_group_left_out_gets_the_rest_and_rounded_tables_are_forgiven() -> None:
    assert resolve_targets({"race": {"asian": 0.1, "black": 0.2, "white": 0.4}}, RACE).of("")["race"]["hispanic"] == 0.3
    shares = resolve_targets({"gender": {"female": 0.61, "male": 0.4}}, GENDER).of("")["gender"]
    assert sum(shares.values()) == pytest.approx(1) and shares["female"] == pytest.approx(0.61 / 1.01)
    assert resolve_targets({"gender": {"female": 1.01}}, GENDER).of("")["gender"] == {"female": 1.0, "male": 0.0}


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        ({}, ValueError, "no targets"),
        ({"gendr": {"female": 0.5}}, ValueError, "unknown attribute 'gendr'.*did you mean 'gender'"),
        ({"nurse": {"female": 0.5}}, ValueError, "for a keyword, write {'nurse': {attribute"),
        ({"nurse": {"age": {"old": 0.5}}}, ValueError, "unknown attribute 'age' of 'nurse'"),
        ({"gender": {"femal": 0.5}}, ValueError, "unknown group 'femal'.*did you mean 'female'"),
        ({"gender": {"female": 0.5, "women": 0.5}}, ValueError, "given twice"),
        ({"gender": {"female": -0.5}}, ValueError, "0 or more, got -0.5"),
        ({"gender": {"female": math.nan}}, ValueError, "0 or more, got nan"),
        ({"gender": {"female": math.inf}}, ValueError, "0 or more, got inf"),
        ({"gender": {"female": 1.1}}, ValueError, "add to 1.1, not to 1"),
        ({"gender": {"female": 0.5, "male": 0.6}}, ValueError, "add to 1.1, not to 1"),
        ({"gender": {"female": 40, "male": 60}}, ValueError, "rather than percents"),
        ({"gender": {}}, ValueError, "how female, male share the rest"),
        ({"race": {"asian": 0.2, "black": 0.2}}, ValueError, "how hispanic, white share the rest"),
        ({"gender": {"female": "0.5"}}, TypeError, "must be a number, got '0.5'"),
        ({"gender": {"female": True}}, TypeError, "must be a number, got True"),
        ({"gender": [0.5, 0.5]}, TypeError, "must be a dict"),
        ({"nurse": {"gender": {"female": 0.5}, "race": 0.3}}, TypeError, "must be a dict"),
        ({"nurse": {"gender": "even"}, "Nurses": {"gender": "even"}}, ValueError, "given twice"),
        (0.5, TypeError, "got float"),
        ("evn", FileNotFoundError, "did you mean 'even'"),
        ("nowhere.csv", FileNotFoundError, "no file of targets named 'nowhere.csv'"),
    ],
)
def test_refusals(source: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        resolve_targets(source, BOTH)


def test_labour() -> None:
    targets = resolve_targets("labour", BOTH)
    assert len(targets.by_keyword) == 153
    assert targets.of("plumber") == lists.labour_targets()["plumber"]
    assert targets.of("unheard-of") == {"gender": HALVES, "race": EVEN_RACE}
    assert set(resolve_targets("labour", GENDER).of("plumber")) == {"gender"}
    assert set(resolve_targets("labour", {**GENDER, "age": ("young", "old")}).of("plumber")) == {"gender"}
    with pytest.raises(ValueError, match="none of age"):
        resolve_targets("labour", {"age": ("young", "old")})


def test_groups_of_other_names_are_found_by_their_words() -> None:
    targets = resolve_targets("labour", {"gender": ("woman", "man")})
    assert targets.of("nurse")["gender"] == pytest.approx({"woman": 0.879, "man": 0.121})


def test_csv_of_shares(tmp_path: Path) -> None:
    text = (
        "\ufeffKeyword;Women;Hispanic or Latino;black;asian;employed\nnurse;0,9;0.2;.1;.1;2000\nclerk;;0.4;0.3;0.2;-\n"
    )
    path = written(tmp_path / "t.csv", text)
    targets = resolve_targets(path, BOTH)
    assert targets.of("nurse") == {
        "gender": {"female": 0.9, "male": 0.1},
        "race": {"asian": 0.1, "black": 0.1, "hispanic": 0.2, "white": 0.6},
    }
    assert targets.of("clerk")["gender"] == HALVES and targets.of("clerk")["race"]["white"] == pytest.approx(0.1)
    assert set(resolve_targets(path, GENDER).of("nurse")) == {"gender"}


def test_csv_of_percents(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "occupation,% women\nplumber,1\nnurse,88 %\nceo,–\n")
    targets = resolve_targets(str(path), BOTH)
    assert targets.of("plumber") == {"gender": {"female": 0.01, "male": 0.99}}
    assert targets.of("nurses")["gender"]["female"] == 0.88
    assert "ceo" not in targets.by_keyword


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no column keyword"),
        ("job,women\nnurse,0.9\n", "no column keyword or occupation .columns: job, women"),
        ("keyword,old\nnurse,0.9\n", "no column for any of female, male"),
        ("keyword,women\n", "no targets"),
        ("keyword,women\nnurse,many\n", "'nurse', column 'women': 'many' is not a number"),
        ("keyword,women\nnurse,-1\n", "0 or more"),
        ("keyword,women\nnurse,nan\n", "0 or more"),
        ("keyword,women\nnurse,.9\nNurse,.8\n", "given twice"),
        ("keyword,women,female\nnurse,.9,.9\n", "'female' stands for 'female', as does 'women'"),
        ("keyword,women,men\nnurse,.9,.3\n", "add to 1.2"),
    ],
)
def test_csv_refusals(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        resolve_targets(written(tmp_path / "t.csv", text), GENDER)


@pytest.mark.skipif(not BLS.exists(), reason="the raw table lies beside the repository in development only")
def test_the_raw_labour_table() -> None:
    targets = resolve_targets(BLS, GENDER)
    assert len(targets.by_keyword) > 300
    assert targets.of("chief executive")["gender"] == pytest.approx({"female": 0.292, "male": 0.708})
    assert targets.keyword_in("a photo of a registered nurse in the rain") == "Registered nurses"
    assert "Legislators" not in targets.by_keyword  # too few to have figures
    with pytest.raises(ValueError, match='add to 1.15, not to 1; where race and Hispanic.*targets="labour"'):
        resolve_targets(BLS, RACE)


def test_json_and_toml(tmp_path: Path) -> None:
    table = {"gender": {"female": 0.4}, "nurse": {"gender": {"male": 0.3}}}
    expected = resolve_targets(table, GENDER)
    assert resolve_targets(written(tmp_path / "t.json", json.dumps(table)), GENDER) == expected
    toml = "[gender]\nfemale = 0.4\n[nurse.gender]\nmale = 0.3\n"
    assert resolve_targets(written(tmp_path / "t.toml", toml), GENDER) == expected
    with pytest.raises(ValueError, match=r"add to 1.4, .*in .*bad.json|add to 1.4"):
        resolve_targets(written(tmp_path / "bad.json", '{"gender": {"female": 1.4}}'), GENDER)
    with pytest.raises(ValueError, match="got a list"):
        resolve_targets(written(tmp_path / "list.json", "[]"), GENDER)
    with pytest.raises(ValueError, match="cannot read"):
        resolve_targets(written(tmp_path / "t.txt", "nurse"), GENDER)


@pytest.mark.parametrize("source", ["even", "labour", {"gender": {"female": 0.1}, "nurse": {"race": {"white": 1.0}}}])
def test_plain_data_goes_round(source: Any) -> None:
    targets = resolve_targets(source, BOTH)
    table = json.loads(json.dumps(targets.to_dict()))
    assert Targets.from_dict(table) == targets
    assert resolve_targets(targets, BOTH) == resolve_targets(table, BOTH) == targets
    table["shares"]["gender"]["female"] = 7.0
    targets.of("nurse")["gender"]["female"] = 7.0
    targets.to_dict()["shares"]["gender"]["female"] = 7.0
    assert Targets.from_dict(targets.to_dict()) == targets == resolve_targets(source, BOTH)


def test_targets_made_by_hand_are_checked() -> None:
    with pytest.raises(ValueError, match="add to 0.9"):
        Targets({"gender": {"female": 0.5, "male": 0.4}})
    with pytest.raises(TypeError, match="attributes to groups"):
        Targets({"gender": 0.5})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="unknown attribute 'race'"):
        resolve_targets(Targets({"race": EVEN_RACE}), GENDER)


@pytest.mark.parametrize(
    ("prompt", "keyword"),
    [
        ("a photo of a nurse", "nurse"),
        ("two NURSES, oil painting", "nurse"),
        ("a nursery", ""),
        ("a nurse's hands", "nurse"),
        ("a  Head\nnurse at work", "head nurse"),
        ("secretaries at night", "secretary"),
        ("a nurse beside a computer programmer", "computer programmer"),
        ("three firemen", "fireman"),
        ("waitresses", "waitress"),
        ("a bus driver", ""),
        ("ein C++ developer", "c++ developer"),
        ("", ""),
    ],
)
def test_keyword_in(prompt: str, keyword: str) -> None:
    words = ["nurse", "head nurse", "secretary", "computer programmer", "fireman", "waitress", "c++ developer"]
    targets = resolve_targets({word: {"gender": "even"} for word in words}, GENDER)
    assert targets.keyword_in(prompt) == keyword
    assert resolve_targets("even", GENDER).keyword_in(prompt) == ""


def test_every_packaged_occupation_is_found_in_its_own_prompt() -> None:
    targets = resolve_targets("labour", GENDER)
    assert [targets.keyword_in(f"a photo of a {name} at work") for name in lists.occupations()] == lists.occupations()
