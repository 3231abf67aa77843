"""The commands end to end on a tiny pipeline, errors in one line, and the demo on the embedded model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from fairmapping import demo, lists, pipelines, sections
from fairmapping.cli import app
from fairmapping.mapping import FairMap
from fairmapping.results import Audit

WORDS = ["doctor", "nurse", "judge", "clerk", "cook", "maid"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ok(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.fixture
def tiny(tiny_sd: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Every command gets the tiny pipeline and an empty folder to work in."""
    monkeypatch.setattr(pipelines, "load", lambda *args, **options: tiny_sd)
    monkeypatch.chdir(tmp_path)
    return tiny_sd


def test_without_a_command_it_shows_them_all() -> None:
    output = run().output
    for command in ("lists", "measure", "fit", "generate", "audit", "report", "demo"):
        assert command in output


@pytest.mark.parametrize("command", ["lists", "measure", "fit", "generate", "audit", "report", "demo"])
def test_help_holds_an_example(command: str) -> None:
    output = ok(command, "--help")
    assert "Example" in output
    assert f"fairmapping {command}" in output


def test_lists_shows_and_prints() -> None:
    assert "occupations" in ok("lists")
    assert run("lists", "occupations").output.splitlines() == lists.occupations()
    assert run("lists", "gender").output.startswith("female: female")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lists", "jobs"], "no packaged list is called 'jobs'"),
        (["report", "nowhere"], "nowhere holds no audit.json"),
        (["generate"], "give either prompts or --keywords"),
        (["generate", "a nurse", "--keywords", "nurse"], "give either prompts or --keywords"),
        (["generate", "--keywords", "ocupations"], "did you mean 'occupations'"),
        (["generate", "--keywords", "mine.csv"], "mine.csv"),
        (["measure", "--attributes", "age"], "age"),
        (["audit", "--keywords", "nurse,nurse"], "given twice"),
        (["audit", "--keywords", "nurse", "--judge", "nobody"], "no judge is called 'nobody'"),
        (["audit", "--keywords", "nurse", "--map", "missing"], "missing"),
        (["fit", "--keywords", "nurse,cook", "--holdout", "1.5"], "holdout is 1.5"),
        (["measure", "--keywords", "nurse,cook", "--shares", "gone.csv"], "gone.csv"),
    ],
)
def test_errors_are_one_line(tiny: Any, arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Error:" in result.output
    assert says in result.output
    assert "Traceback" not in result.output


def test_a_traceback_can_be_asked_for() -> None:
    result = run("--traceback", "lists", "jobs")
    assert isinstance(result.exception, ValueError)


def test_measure_fit_generate_audit_report(tiny: Any, tmp_path: Path) -> None:
    words = ",".join(WORDS)
    output = ok("measure", "--keywords", words, "--csv", "bias.csv", "--shares", "sd15", "--template", "a photo of {}")
    assert "Language bias, gender" in output
    assert "Spearman" in output
    assert sorted(pd.read_csv("bias.csv")["keyword"]) == sorted(WORDS)

    output = ok("fit", "--keywords", words, "--attributes", "gender", "--holdout", "cook,maid", "--out", "map")
    assert "4 fitted" in output
    assert "2 held out" in output
    assert FairMap.from_pretrained("map").config.held_out == ["cook", "maid"]

    few = ["--images", 2, "--steps", 1, "--map", "map"]
    assert "2 images" in ok("generate", "a portrait of a nurse", *few, "--out", "g")
    assert len(list((tmp_path / "g").rglob("*.png"))) == 2

    asked = ["--keywords", "cook,nurse", "--attributes", "gender", "--template", "a {words}"]
    output = ok("audit", *asked, *few, "--judge", "test_audit:Shade", "--explicit", "--out", "run")
    assert "before" in output
    assert "explicit gender" in output or "0 of 12" in output
    audit = Audit.load("run")
    assert audit.arms == ("raw", "mapped")
    assert audit.fitted == set(WORDS[:4])
    assert len(audit.rows) == 2 * 2 * (2 + 4)

    assert "Written" in ok("report", "run", "--title", "A title")
    assert "<h1>A title</h1>" in Path("run/report.html").read_text()


def test_shares_need_their_columns(tiny: Any) -> None:
    pd.DataFrame({"keyword": ["nurse"], "women": [0.9]}).to_csv("shares.csv", index=False)
    result = run("measure", "--keywords", "nurse,cook,judge", "--shares", "shares.csv")
    assert result.exit_code == 2
    assert "needs the columns keyword and share" in result.output


def test_one_keyword_needs_no_comma(tiny: Any) -> None:
    ok("generate", "--keywords", "doctor", "--template", "a {words}", "--images", 1, "--steps", 1, "--out", "g")
    assert len(list(Path("g").rglob("*.png"))) == 1


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no model could be loaded"):
        pipelines.load(str(tmp_path))
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        pipelines.load(dtype="int8")


def test_the_demo_on_the_embedded_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The whole road with a handful of images; the second time it takes all from the folder."""
    few = demo.Plan(occupations=2, images=1, explicit=2, explicit_images=1, emotions=10, emotion_images=1)
    monkeypatch.setattr(demo, "QUICK", few)
    monkeypatch.setattr(lists, "split", lambda: (WORDS[:4], WORDS[4:]))
    said = ok("demo", "--quick", "--out", tmp_path)
    assert "Fitting a map on 4 of them" in said
    page = (tmp_path / "report.html").read_text()
    assert "that were not used in fitting" in page
    assert page.count("<img") == 2 * 2
    assert "nearer female" in page
    audit = Audit.load(tmp_path / "occupations")
    assert audit.settings["model"]["name"] == "portraits"
    assert audit.settings["judge"]["card"]
    assert len(audit.rows) == 2 * 4 * 2

    images = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert "Taking the map from" in ok("demo", "--quick", "--out", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == images


def test_reported_occupations_are_spread_over_the_known_shares() -> None:
    _, others = lists.split()
    chosen = demo.occupations_to_report(others, 8)
    known = [sections.sd15_women()[occupation] for occupation in chosen]
    assert len(set(chosen)) == 8
    assert known == sorted(known)
    assert known[0] == min(sections.sd15_women()[occupation] for occupation in others)
    assert known[-1] == max(sections.sd15_women()[occupation] for occupation in others)
    with pytest.raises(ValueError, match="between 2 and 50"):
        demo.occupations_to_report(others, 51)
