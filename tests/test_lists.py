from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import fairmapping.lists as lists
from fairmapping.prompts import neutral

SECTORS = {
    *("office", "tech", "engineering", "medical", "care", "education", "science", "arts"),
    *("food", "retail", "trades", "transport", "protection", "outdoors", "cleaning", "law"),
}


def test_occupations_are_the_153_of_fair_diffusion() -> None:
    names = lists.occupations()
    assert len(names) == len(set(names)) == 153
    assert names[:3] == ["accountant", "aerospace engineer", "aide"] and names[-1] == "writer"
    assert [row["occupation"] for row in lists.occupation_table()] == names


def test_occupation_table_holds_usable_figures() -> None:
    table = lists.occupation_table()
    for row in table:
        assert 240 <= row["sd15_man"] + row["sd15_woman"] <= 250, row
        assert 180 <= row["fair_diffusion_man"] + row["fair_diffusion_woman"] <= 250, row
        for share in ("women", "white", "black", "asian", "hispanic"):
            assert isinstance(row[share], float) and 0 <= row[share] <= 100, row
    sectors = Counter(row["sector"] for row in table)
    assert set(sectors) == SECTORS and min(sectors.values()) >= 3


def test_occupation_table_against_rows_read_off_the_source() -> None:
    table = {row["occupation"]: row for row in lists.occupation_table()}
    assert table["ceo"]["bls_row"] == "Chief executives"
    shares = ("women", "white", "black", "asian", "hispanic")
    assert [table["ceo"][share] for share in shares] == [29.2, 85.9, 5.9, 6.7, 6.8]
    assert [table["plumber"][share] for share in shares] == [1.1, 83.3, 8.9, 2.2, 28.2]
    assert table["nurse"]["women"] == 87.9 and table["nurse"]["sd15_woman"] == 250
    assert (table["dentist"]["sd15_man"], table["dentist"]["sd15_woman"]) == (150, 100)
    assert (table["welder"]["fair_diffusion_man"], table["welder"]["fair_diffusion_woman"]) == (104, 79)


def test_emotions_are_20_words_in_6_classes() -> None:
    table = lists.emotion_table()
    assert len(table) == 20
    assert {row["class"] for row in table} == {"calm", "happy", "sad", "angry", "surprised", "afraid"}
    assert [row["keyword"] for row in table] == lists.emotions() == [f"{row['word']} person" for row in table]
    assert neutral(["astonished person"], "{}")[0].text == "an astonished person"


def test_attributes() -> None:
    attributes = lists.attributes()
    assert {name: attribute.group_names for name, attribute in attributes.items()} == {
        "gender": ("female", "male"),
        "race": ("asian", "black", "hispanic", "white"),
    }
    # The adjective is the group's own name, so that a table of groups reads like the prompts do.
    assert all(group.words[0] == group.name for attribute in attributes.values() for group in attribute.groups)


def test_split_is_the_standard_one_for_good() -> None:
    fit, report = lists.split()
    assert (len(fit), len(report)) == (103, 50)
    assert report[:5] == ["accountant", "air conditioning installer", "bartender", "butcher", "civil engineer"]
    assert lists.split(seed=1) != (fit, report)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n_fit", [1, 2, 50, 103, 151, 152])
def test_split_is_a_partition_in_list_order(n_fit: int, seed: int) -> None:
    fit, report = lists.split(n_fit, seed)
    assert len(fit) == n_fit
    names = lists.occupations()
    assert sorted(fit + report, key=names.index) == names
    assert fit == sorted(fit, key=names.index) and report == sorted(report, key=names.index)


def test_split_keeps_twins_together() -> None:
    rows = {row["occupation"]: row["bls_row"] for row in lists.occupation_table()}
    for seed in range(20):
        fit, report = lists.split(seed=seed)
        assert not {rows[name] for name in fit} & {rows[name] for name in report}


def test_split_is_no_selection() -> None:
    """Over many seeds every occupation is held out about as often as any other (50 of 153)."""
    held = Counter(name for seed in range(300) for name in lists.split(seed=seed)[1])
    rates = np.array([held[name] / 300 for name in lists.occupations()])
    assert rates.min() > 0.2 and rates.max() < 0.5


@pytest.mark.parametrize("n_fit", [0, -1, 153, 1000])
def test_split_leaves_something_on_both_sides(n_fit: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 152"):
        lists.split(n_fit)


def test_every_packaged_file_is_plain_utf8_and_has_its_source_told() -> None:
    folder = Path(lists.__file__).parent
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for path in [*folder.glob("*.csv"), *folder.glob("*.toml")]:
        assert f"`{path.name}`" in readme
        assert not path.read_bytes().startswith(b"\xef\xbb\xbf") and b"\r" not in path.read_bytes()
    for path in folder.glob("*.csv"):
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        assert len({len(row) for row in rows}) == 1, path.name


def test_tables_are_copies() -> None:
    lists.occupation_table()[0]["women"] = 0
    assert lists.occupation_table()[0]["women"] == 58.8


def test_labour_targets_are_shares() -> None:
    targets = lists.labour_targets()
    assert list(targets) == lists.occupations()
    for word, shares in targets.items():
        assert [list(shares[name]) for name in ("gender", "race")] == [
            ["female", "male"],
            ["asian", "black", "hispanic", "white"],
        ]
        for groups in shares.values():
            assert sum(groups.values()) == pytest.approx(1) and min(groups.values()) >= 0, word
    assert targets["plumber"]["gender"]["female"] == pytest.approx(0.011)
    # white 83.3, black 8.9, asian 2.2, hispanic 28.2; white less .88 * 28.2 is 58.484, and all add to 97.784
    assert targets["plumber"]["race"]["white"] == pytest.approx(58.484 / 97.784)
    assert targets["plumber"]["race"]["hispanic"] == pytest.approx(28.2 / 97.784)
