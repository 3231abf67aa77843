"""The commands about what somebody else made, and the audit card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_cli import ok, run
from test_sources import BRIGHT, DARK, draw

from fairmapping.results import Audit

SHADE = "test_sources:Shade"


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, level in (("nurse", BRIGHT), ("cook", DARK)):
        for index in range(3):
            draw(tmp_path / "old" / name / f"{index}.png", level)
            draw(tmp_path / "new" / name / f"{index}.png", DARK)
    return tmp_path


def test_a_folder(pictures: Path) -> None:
    said = ok("audit-images", "old", "--judge", SHADE, "--out", "a", "--name", "theirs", "--attributes", "gender")
    assert "name of their folder: 6." in said
    assert "1.00" in said
    assert Audit.load("a").settings["model"]["name"] == "theirs"
    assert "Written" in ok("report", "a")


def test_two_folders(pictures: Path) -> None:
    arguments = ("--judge", SHADE, "--out", "b", "--pair-by", "name")
    said = ok("audit-images", "--before", "old", "--after", "new", *arguments)
    assert "both arms: 6." in said
    assert "before" in said
    assert Audit.load("b").compare("gender").changed.n == 6
    for wrong in (("old", "--after", "new"), ("--before", "old"), ()):
        result = run("audit-images", *wrong, "--judge", SHADE, "--out", "c")
        assert result.exit_code == 2
        assert "either one folder, or both" in result.output


def test_labels(pictures: Path) -> None:
    rows = ["what;look;who"] + [f"cook;{look};{who}" for look in ("man", "odd") for who in "ab"]
    Path("labels.csv").write_text("\n".join(["file;" + rows[0], *(f"{i // 2};{r}" for i, r in enumerate(rows[1:]))]))
    columns = [part for pair in ("gender=look", "keyword=what", "annotator=who") for part in ("--column", pair)]
    said = ok("audit-labels", "labels.csv", "--out", "l", *columns)
    assert "naming none of its groups (female, male): odd (2)" in said
    assert "Krippendorff's alpha of gender: 1.00" in said
    for wrong, says in (("gender", "give NAME=COLUMN"), ("gender=gone", "has no column 'gone'")):
        result = run("audit-labels", "labels.csv", "--out", "m", "--column", wrong)
        assert result.exit_code == 2
        assert says in " ".join(result.output.split())


def test_a_card(pictures: Path) -> None:
    ok("audit-images", "old", "--judge", SHADE, "--out", "a")
    said = ok("card", "a", "--use-case", "News", "--risk-tier", "limited")
    assert "Still to be answered: risk_reason," in said
    assert "> News" in Path("a/card.md").read_text()
    assert json.loads(Path("a/card.json").read_text())["answers"]["risk_tier"] == "limited"
    Path("more.toml").write_text('scenario = "typed by editors"\nuse_case = "Old"')
    ok("card", "a", "--answers", "a/card.json", "--owner", "Editors", "--out", "b.json")
    ok("card", "a", "--answers", "more.toml", "--use-case", "New", "--out", "c.md")
    assert json.loads(Path("b.json").read_text())["answers"]["use_case"] == "News"
    assert "> New" in Path("c.md").read_text()
    for arguments, says in (
        (("gone",), "not an audit"),
        (("a", "--out", "card.html"), "neither .md nor .json"),
        (("a", "--use-case", ""), "is empty"),
        (("a", "--answers", "old/cook/0.png"), "use .csv, .json or .toml"),
    ):
        result = run("card", *arguments)
        assert result.exit_code == 2
        assert says in " ".join(result.output.split())


def test_the_page_is_served_to_this_machine_alone_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from fairmapping import app, pipelines

    asked: list[Any] = []

    class Page:
        def block_thread(self) -> None:
            asked.append("waits")

    def build(pipe: Any, fair_map: Any, **options: Any) -> Page:
        asked.append((pipe, fair_map, options))
        return Page()

    def serve(page: Page, **options: Any) -> str:
        asked.append(options)
        return "http://here"

    monkeypatch.setattr(pipelines, "load", lambda *args, **options: "pipe")
    monkeypatch.setattr(app, "build", build)
    monkeypatch.setattr(app, "serve", serve)
    assert "Open http://here" in ok("app", "--runs", "mine", "--port", "8000")
    built = ("pipe", None, {"strength": 1.0, "runs": Path("mine"), "name": "portraits"})
    assert asked == [built, {"host": "127.0.0.1", "port": 8000, "wait": False}, "waits"]


def test_every_command_is_shown() -> None:
    output = run().output
    for command in ("audit-images", "audit-labels", "card", "app"):
        assert command in output
