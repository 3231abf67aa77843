"""Accuracy cards: labels in, figures and confusion matrices out, and tables that do not fit refused by their line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_judges import Shade
from typer.testing import CliRunner

from fairmapping import metrics
from fairmapping.cli import app
from fairmapping.judges import load_judge
from fairmapping.judges.card import make_card, measured, read_labels

LIGHT = {"light": ("day", "night")}


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Path, Path]:
    """Ten pictures; the judge misses the black one and calls the one of brightness 120 night."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = ["image,face,light"]
    for index, (level, light) in enumerate(
        [(0, "night"), (10, "night"), (20, "night"), (120, "day"), *[(200, "day")] * 5]
    ):
        Image.new("L", (4, 4), level).save(folder / f"{index}.png")
        lines.append(f"{index}.png,yes,{light}")
    Image.new("L", (4, 4), 0).save(folder / "empty.png")
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join([*lines, "empty.png,no,"]) + "\n", encoding="utf-8")
    return folder, labels


def test_a_card_says_what_was_right(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    folder, labels = labelled
    card = make_card(Shade(), folder, labels, tmp_path / "card.json", domain="grey squares", progress=False)
    assert card == json.loads((tmp_path / "card.json").read_text())
    assert card["confusion"]["light"] == [[5, 1], [0, 2]]
    assert card["unanswered"]["light"] == {"day": 0, "night": 1}
    assert card["faces"] == {"none": 2, "one": 8, "several": 0}
    assert card["face"]["counts"] == [[1, 0], [1, 8]]
    low, high = metrics.wilson(8, 9)
    assert card["face_found"] == {"value": 0.8889, "low": round(low, 4), "high": round(high, 4), "n": 9}
    assert card["recall"]["light"]["day"]["value"] == pytest.approx(5 / 6, abs=1e-4)
    assert card["accuracy"]["light"]["n"] == 8


def test_a_card_goes_back_into_the_judge_and_corrects(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    folder, labels = labelled
    make_card(Shade(), folder, labels, tmp_path / "card.json", progress=False)
    judge = load_judge(Shade(), card=tmp_path / "card.json")
    # 5 of 6 days and all nights are seen as such: of 60 days and 40 nights it says 50 and 50.
    assert np.allclose(metrics.correct_counts([50, 50], judge.card["confusion"]["light"]), [60, 40])


def test_a_second_call_judges_nothing_again(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = Shade(), Shade()
    make_card(first, *labelled, tmp_path / "card.json", progress=False)
    make_card(second, *labelled, tmp_path / "card.json", progress=False)
    assert (first.seen, second.seen) == (10, 0)


def test_what_nobody_labelled_has_no_figures() -> None:
    card = measured([{"image": "a", "face": None}], [{"faces": 3, "light": "day"}], LIGHT)
    assert card["faces"] == {"none": 0, "one": 0, "several": 1}
    assert card["confusion"] == {}
    assert "face" not in card


def test_a_matrix_that_cannot_correct_is_kept_apart() -> None:
    rows = [{"image": name, "face": None, "light": "day"} for name in "ab"]
    card = measured(rows, [{"faces": 1, "light": "day"}, {"faces": 1, "light": "night"}], LIGHT)
    assert card["confusion"] == {}
    assert card["not_corrected"]["light"]["counts"] == [[1, 1], [0, 0]]
    assert "never tried" in card["not_corrected"]["light"]["why"]
    assert card["accuracy"]["light"]["value"] == 0.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1"),
        ("picture,light\n", "line 1 .* columns are 'picture', 'light'"),
        ("image,light,race\n0.png,day,x\n", "line 1"),
        ("image,image\n", "line 1"),
        ("image,light\n", "no line below the first"),
        ("image,light\n0.png,day\n0.png,day\n", "line 3 .*stands in line 2"),
        ("image,light\n,day\n", "line 2 .*names no image"),
        ("image,light\n0.png,dusk\n", "line 2 .*'dusk'; it has day, night"),
        ("image,light\n0.png\n", "line 2 .*does not have 2 cells"),
        ("image,light\n0.png,day,night\n", "line 2 .*does not have 2 cells"),
        ("image,face\n0.png,maybe\n", "line 2 .*'maybe'"),
        ("image,face,light\n0.png,no,day\n", "line 2 .*no face"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_its_line(labelled: Any, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=says):
        read_labels(path, labelled[0], LIGHT)


def test_an_image_that_is_not_there_is_named(labelled: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("image,light\nné.png,day\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"line 2 .*né\.png"):
        read_labels(tmp_path / "bad.csv", labelled[0], LIGHT)


def test_the_command_writes_a_card(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    def run(*more: str) -> Any:
        given = ["--images", str(labelled[0]), "--labels", str(labelled[1]), "--judge", "test_judges:Shade", *more]
        return CliRunner().invoke(app, ["judge-card", *given])

    done = run("--out", str(tmp_path / "card.json"))
    assert done.exit_code == 0, done.output
    assert "faces found: 88.9%" in done.output
    assert json.loads((tmp_path / "card.json").read_text())["judge"] == "shade"
    assert run("--out", str(tmp_path)).exit_code == 2
