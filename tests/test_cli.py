"""The commands end to end on a tiny pipeline, errors in one line, and the demo on the embedded model."""

from __future__ import annotations

import errno
import functools
import inspect
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from test_audit import by_hand
from typer.testing import CliRunner, Result

from fairmapping import demo, judges, lists, metrics, pipelines, runs, sections
from fairmapping.cli import app, printing
from fairmapping.generate import generate
from fairmapping.mapping import FairMap, MapConfig
from fairmapping.results import Audit
from fairmapping.shifts import GroupShifts
from fairmapping.store import Place
from fairmapping.text_route import fit_text

SOURCE = str(Path(demo.__file__).parents[1])
ENVIRONMENT = os.environ | {"PYTHONPATH": SOURCE}
WORDS = ["doctor", "nurse", "judge", "clerk", "cook", "aide"]


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


@pytest.fixture
def tiny_sampled(tiny_sd: Any) -> FairMap:
    from tiny import sampled_map

    return sampled_map(tiny_sd)


def test_without_a_command_it_shows_them_all() -> None:
    output = run().output
    for command in ("lists", "measure", "fit", "generate", "advise", "audit", "quality", "report", "demo"):
        assert command in output


@pytest.mark.parametrize(
    "command", ["lists", "measure", "fit", "generate", "advise", "audit", "quality", "report", "demo"]
)
def test_help_holds_an_example(command: str) -> None:
    output = ok(command, "--help")
    assert "Example" in output
    assert f"fairmapping {command}" in output


def test_advise_says_how_many_images() -> None:
    from fairmapping.metrics import advise

    found = advise(0.05, base=0.68)
    assert f"one prompt by itself │ {found.images:,}" in ok("advise", "--base", 0.68)
    output = ok("advise", "--effect", 0.05, "--power", 0.8, "--keywords", 40, "--base", 0.68, "--changed", 0.2)
    found = advise(0.05, base=0.68, keywords=40, changed=0.2)
    assert f"│ {found.each:,} │ {found.each_paired:,}" in output
    assert f"│ {found.together:,} │ {found.together_paired:,}" in output
    assert run("advise", "--base", 1.5).exit_code == 2


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
        (["fit", "--keywords", "nurse,cook", "--holdout", "cook,nurse"], "--holdout names every keyword"),
        (["generate", "a nurse", "--guidance", "nan"], "--guidance is nan"),
        (["generate", "a nurse", "--quota", "even"], "a quota needs a map with group shifts, and there is no map"),
        (["generate", "a nurse", "--strength", "nan", "--map", "missing"], "missing"),
        (["generate", "a nurse", "--template", "a {}"], "--template goes with --keywords"),
        (["audit", "--keywords", "nurse", "--judge", "os:path"], "'os:path' is a module, which cannot be called"),
    ],
)
def test_errors_are_one_line(tiny: Any, arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Error:" in result.output
    assert says in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", "a nurse", "--out", "taken"], "--out taken is a file"),
        (["generate", "a nurse", "--out", "taken/below"], "which is a file"),
        (["generate", "a nurse", "--map", "missing"], "missing"),
        (["generate", "a nurse", "--map", "plain", "--quota", "even"], "fit one with"),
        (["generate", "a nurse", "--map", "sampled", "--quota", "labr"], "labr"),
        (["audit", "--keywords", "nurse", "--map", "sampled", "--quota", "gone.csv"], "gone.csv"),
        (["audit", "--keywords", "nurse", "--out", "taken"], "--out taken is a file"),
        (["audit", "--keywords", "nurse", "--map", "missing"], "missing"),
        (["audit", "--keywords", "nurse", "--template", "a nurse"], "a nurse"),
        (["audit", "--keywords", "nurse", "--judge", "nobody"], "no judge is called 'nobody'"),
        (["measure", "--keywords", "nurse,cook", "--csv", "nowhere/x.csv"], "there is no folder nowhere"),
        (["measure", "--keywords", "nurse,cook", "--template", "a nurse"], "a nurse"),
        (["fit", "--keywords", "nurse,cook", "--out", "taken"], "--out taken is a file"),
        (["fit", "--keywords", "nurse,cook", "--template", "a nurse"], "a nurse"),
        (["demo", "--out", "taken"], "--out taken is a file"),
        (["report", "taken", "--out", "."], "--out . is a folder"),
    ],
)
def test_what_is_mistyped_is_told_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], says: str
) -> None:
    def load(*args: Any, **options: Any) -> None:
        raise AssertionError("loaded the model")

    monkeypatch.setattr(pipelines, "load", load)
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("mine")
    FairMap.identity(3).save_pretrained("plain")
    shifts = GroupShifts({"gender": ["female", "male"]}, torch.zeros(3, 1), torch.zeros(2, 1, 3), torch.zeros(2, 3))
    config = MapConfig(attributes={"gender": {"female": "female", "male": "male"}})
    FairMap(torch.eye(3), shifts=shifts, config=config).save_pretrained("sampled")
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert says in " ".join(result.output.split())
    assert Path("taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "run/a.png"),
            "run/a.png: No space left on device; make room",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "run"), "run: Permission denied; give a place"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), "a/b: Not a directory; part of this path is a"),
        (RuntimeError("process 7 is\nat work on run"), "process 7 is at work on run"),
    ],
)
def test_errors_of_the_system_are_one_line(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(type(tiny), "__call__", functools.wraps(type(tiny).__call__)(fail))
    result = run("generate", "a nurse", "--out", "run")
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.output.splitlines() if "Error:" in line]
    assert says in line


def test_ctrl_c_says_how_to_go_on(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(tiny), "__call__", functools.wraps(type(tiny).__call__)(stop))
    result = run("generate", "a nurse", "--out", "run")
    assert result.exit_code == 130
    assert "Interrupted; the same command goes on where it stopped" in result.output
    monkeypatch.undo()
    assert not list(Path("run").glob(".lock"))


def test_a_broken_image_is_drawn_again(tiny: Any) -> None:
    asked = ["audit", "--keywords", "nurse", "--attributes", "gender", "--template", "a {words}", "--images", 1]
    asked += ["--steps", 1, "--judge", "test_audit:Shade", "--out", "run"]
    ok(*asked)
    (image,) = Path("run").rglob("*.png")
    content = image.read_bytes()
    image.write_bytes(content[:40] + b"nonsense" + content[40:])
    ok(*asked)
    assert image.read_bytes() == content


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--workers", 2], "--workers goes with --ray"),
        (["--out", "nowhere://x"], "'nowhere://x' is no folder or address"),
        (["--store", "zip"], "zip"),
    ],
)
def test_a_place_or_cluster_that_is_none_is_told(tiny: Any, more: list[Any], says: str) -> None:
    result = run("generate", "a nurse", *more)
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())


def test_fit_leaves_the_objective_to_the_library(tiny: Any) -> None:
    """What is not typed is what fairmapping.fit has by default; what is typed goes through."""
    asked = ["fit", "--route", "text", "--keywords", ",".join(WORDS), "--attributes", "gender", "--out", "map"]
    defaults = inspect.signature(fit_text).parameters if ok(*asked) else {}
    config = FairMap.from_pretrained("map").config
    assert (config.weight, config.ridge) == (defaults["weight"].default, defaults["ridge"].default)
    ok(*asked, "--weight", 2, "--ridge", 0.5)
    config = FairMap.from_pretrained("map").config
    assert (config.weight, config.ridge) == (2, 0.5)


def test_fit_through_the_denoiser(tiny: Any) -> None:
    """The default route, its targets and its options; what an unfinished fit would go on from is gone at the end."""
    asked = ["fit", "--keywords", ",".join(WORDS), "--attributes", "gender", "--images", 4, "--steps", 3, "--rank", 2]
    assert "of the difference that naming the groups makes" in ok(*asked, "--targets", "labour", "--out", "map").lower()
    fair = FairMap.from_pretrained("map")
    assert fair.groups == {"gender": ("female", "male")} and fair.config.route == "sampled"
    assert fair.config.targets["by_keyword"]["nurse"]["gender"]["female"] > 0.5
    assert sorted(path.name for path in Path("map").iterdir()) == [
        "README.md",
        "config.json",
        "detector.json",
        "lexicon.json.gz",
        "model.safetensors",
        "picture-0.png",
    ]
    for wrong, says in (
        ([*asked, "--weight", 2], "has no option 'weight'"),
        (["fit", "--route", "text", "--keywords", "nurse,cook", "--targets", "even"], "knows no targets"),
        ([*asked, "--targets", "evn"], "no file of targets"),
    ):
        failed = run(*wrong, "--out", "other")
        assert failed.exit_code == 2 and says in " ".join(failed.output.split())


def test_a_saved_model_is_drawn_with_in_a_fresh_process_without_noise(portraits_pipe: Any, tmp_path: Path) -> None:
    portraits_pipe.save_pretrained(tmp_path / "model")
    code = "from fairmapping.cli import app; app()"
    command = [sys.executable, "-c", code, "generate", "a nurse", "--images", "1", "--steps", "1"]
    done = subprocess.run(
        [*command, "--model", "model", "--out", "g"], cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "g").rglob("*.png"))) == 1
    for noise in ("Loading", "[transformers]", "torchvision", "Warning"):
        assert noise not in done.stdout + done.stderr


def test_print_audit_has_one_format_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    raw = {"raw": {"[red]nurse": "ffff", "cook": "mmmf"}}
    for answers in (raw, raw | {"mapped": {"[red]nurse": "ffmm", "cook": "fmmm"}}):
        found = by_hand(answers)
        printing.print_audit(found)
        shown = " ".join(capsys.readouterr().out.split())
        line = found.summary("gender").set_index(["arm", "measure"]).loc[("raw", "pairwise_bias")]
        interval = metrics.Interval(line["value"], line["low"], line["high"], int(line["keywords"]))
        assert str(interval).split(" ")[0] in shown
        assert str(interval).split(" ")[-1] in shown
        assert "0." not in shown  # the floor is written as the intervals are


def test_a_traceback_can_be_asked_for() -> None:
    result = run("--traceback", "lists", "jobs")
    assert isinstance(result.exception, ValueError)


def test_measure_fit_generate_audit_report(tiny: Any, tmp_path: Path) -> None:
    words = ",".join(WORDS)
    output = ok("measure", "--keywords", words, "--csv", "bias.csv", "--shares", "sd15", "--template", "a photo of {}")
    assert "Language bias, gender" in output
    assert "Spearman" in output
    assert sorted(pd.read_csv("bias.csv")["keyword"]) == sorted(WORDS)

    asked = ("--keywords", words, "--attributes", "gender", "--holdout", "cook,aide", "--out", "map")
    output = ok("fit", "--route", "text", *asked)
    assert "4 fitted" in output
    assert "2 held out" in output
    assert FairMap.from_pretrained("map").config.held_out == ["cook", "aide"]
    assert not FairMap.from_pretrained("map").pictures, "route text draws nothing unless told"
    ok("fit", "--route", "text", *asked, "--card-images", 1)
    found = FairMap.from_pretrained("map")
    assert found.config.pictures["prompts"] == [f"a portrait of a {word}" for word in WORDS[:4]]
    assert len(found.pictures) == 4

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


def test_measure_tests_associations(tiny: Any) -> None:
    output = ok("measure", "--keywords", "nurse,maid", "--versus", "plumber,roofer", "--template", "a photo of {}")
    assert "Nearness to the words of female (gender)" in output
    assert "WEAT, X (nurse, ...) against Y (plumber, ...): d = " in output
    assert "p < .05 for" in output
    words = "nurse,maid,plumber,roofer"
    output = ok("measure", "--keywords", words, "--shares", "sd15", "--association", "--attributes", "gender,race")
    assert "WEAT, X (nurse, ...) against Y (plumber, ...): d = " in output
    assert output.count("WEAT") == 1  # the known shares are of women, and say nothing of race
    assert "Nearness to the words of asian (race)" in output
    result = run("measure", "--keywords", "nurse,maid", "--versus", "maid,cook")
    assert result.exit_code == 2
    assert "'maid' is in --keywords and in --versus" in " ".join(result.output.split())


def test_generate_and_audit_under_a_quota(tiny: Any, tiny_sampled: Any) -> None:
    tiny_sampled.save_pretrained("map")
    Path("shares.csv").write_text("keyword,women\nnurse,100\ncook,0\n")
    few = ["--images", 2, "--steps", 1, "--map", "map", "--quota", "shares.csv"]
    ok("generate", "a portrait of a nurse", *few, "--out", "g")
    assert {dict(row.assigned)["gender"] for row in runs.read_rows(Place("g"))} == {"female"}
    asked = ["--keywords", "cook,nurse", "--attributes", "gender", "--template", "a {words}"]
    output = ok("audit", *asked, *few, "--judge", "test_audit:Shade", "--out", "run")
    assert "mapped, assigned gender" in output
    assert "faces are as the quota drew" in output
    rows = Audit.load("run").rows
    assert [dict(cell)["gender"] for cell in rows.loc[rows["arm"] == "mapped", "assigned"]] == ["male"] * 2 + [
        "female"
    ] * 2


def test_several_maps_become_one_each_with_a_strength(tiny: Any, tiny_sampled: Any) -> None:
    whole, config = tiny_sampled.shifts, tiny_sampled.config
    for place, name in ((slice(2), "gender"), (slice(2, 6), "race")):
        shifts = GroupShifts({name: whole.groups[name]}, whole.down, whole.up[place], whole.bias[place])
        own = replace(config, attributes={name: config.attributes[name]})
        FairMap(torch.eye(32), shifts=shifts, config=own).save_pretrained(name)
    call = ["generate", "a portrait of a nurse", "--images", 4, "--steps", 1, "--map", "gender", "--map", "race"]
    ok(*call, "--out", "all")
    ok(*call, "--strength", 0.5, "--out", "half")
    ok(*call, "--strength", 1, "--strength", 0, "--out", "gender alone")
    drawn = {name: generate(tiny, ["a portrait of a nurse"], images_per_prompt=4, fair_map=tiny_sampled, strength=part,
                            num_inference_steps=1, progress=False).images
             for name, part in (("all", 1.0), ("half", 0.5))}  # fmt: skip
    for name, images in drawn.items():
        found = [np.asarray(Image.open(path)).astype(int) for path in sorted(Path(name).rglob("*.png"))]
        assert np.abs(np.array(found) - np.array([np.asarray(image) for image in images])).max() <= 1
    rows = runs.read_rows(Place("gender alone"))
    assert sorted(dict(row.assigned)["gender"] for row in rows) == ["female", "female", "male", "male"]
    result = run(*call, "--strength", 1, "--strength", 1, "--strength", 1)
    assert "3 of --strength for 2 of --map" in result.output


def test_shares_need_their_columns(tiny: Any) -> None:
    pd.DataFrame({"keyword": ["nurse"], "women": [0.9]}).to_csv("shares.csv", index=False)
    result = run("measure", "--keywords", "nurse,cook,judge", "--shares", "shares.csv")
    assert result.exit_code == 2
    assert "needs the columns keyword and share" in result.output


def test_one_keyword_needs_no_comma(tiny: Any) -> None:
    ok("generate", "--keywords", "doctor", "--template", "a {words}", "--images", 1, "--steps", 1, "--out", "g")
    assert len(list(Path("g").rglob("*.png"))) == 1


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no model could be loaded.*no model_index.json"):
        pipelines.load(str(tmp_path))
    with pytest.raises(ValueError, match="there is no such folder"):
        pipelines.load(str(tmp_path / "missing"))
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ValueError, match="it is a file"):
        pipelines.load(str(tmp_path / "model_index.json"))
    with pytest.raises(ValueError, match="no model could be loaded"):
        pipelines.load(str(tmp_path))
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        pipelines.load(dtype="int8")


def test_the_demo_on_the_embedded_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The whole road with a handful of images; the second time it takes all from the folder."""
    few = demo.Plan(4, 16, occupations=2, images=1, explicit=2, explicit_images=1, emotions=10, emotion_images=1)
    monkeypatch.setattr(demo, "QUICK", few)
    monkeypatch.setattr(lists, "split", lambda: (WORDS[:4], WORDS[4:]))
    said = ok("demo", "--quick", "--out", tmp_path)
    assert "Fitting a shift towards each group on 4 occupations" in said
    assert "The routes side by side" in (tmp_path / "report.html").read_text()
    page = (tmp_path / "report.html").read_text()
    assert "that were not used in fitting" in page
    assert page.count("<img") == 2 * 2
    assert "nearer female" in page
    audit = Audit.load(tmp_path / "occupations")
    assert audit.settings["model"]["name"] == "portraits"
    assert audit.settings["judge"]["card"]
    assert len(audit.rows) == 2 * 4 * 2

    images = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert "Taking the map of route sampled from" in ok("demo", "--quick", "--out", tmp_path)
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


def test_a_card_of_yours_corrects_the_shares(tiny: Any) -> None:
    card = {"judge": "shade", "attributes": {"gender": ["male", "female"]}, "confusion": {"gender": [[8, 2], [1, 9]]}}
    Path("card.json").write_text(json.dumps(card))
    asked = ["--keywords", "nurse", "--template", "a {words}", "--images", 2, "--steps", 1, "--attributes", "gender"]
    named = ["--judge", "test_audit:Shade"]
    ok("audit", *asked, *named, "--judge-card", "card.json", "--out", "run")
    audit = Audit.load("run")
    assert audit.settings["judge"]["card"]["confusion"]["gender"] == [[9, 1], [2, 8]], "in the judge's own order"
    assert "female_corrected" in audit.table("gender")
    ok("audit", *asked, *named, "--out", "plain")
    assert "female_corrected" not in Audit.load("plain").table("gender")
    ok("report", "plain", *named, "--judge-card", "card.json")
    assert "female_corrected" in Audit.load("plain").table("gender")

    for arguments, says in (
        (["report", "plain", "--judge-card", "card.json"], "--judge-card goes with --judge"),
        (["audit", *asked, *named, "--judge-card", "gone.json"], "gone.json"),
        (["audit", *asked, "--judge-card", "card.json"], "of the judge 'shade'"),
    ):
        result = run(*arguments, *([] if arguments[0] == "report" else ["--out", "new"]))
        assert result.exit_code == 2, result.output
        assert says in " ".join(result.output.split())
    assert not Path("new").exists()


def test_the_judge_follows_the_model(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "_PHOTO_NEEDS", ("no_such_package",))
    asked = ["audit", "--keywords", "nurse", "--template", "a {words}", "--images", 1, "--steps", 1]
    result = run(*asked, "--model", "me/model", "--out", "theirs")
    assert result.exit_code == 2
    assert "fairmapping[photo]" in result.output and "no_such_package" in result.output
    assert not Path("theirs").exists()
    ok(*asked, "--out", "ours")
    assert list(Audit.load("ours").attributes) == ["gender", "race"]
    result = run(*asked, "--attributes", "", "--out", "none")
    assert result.exit_code == 2 and "no attributes to audit" in result.output


@pytest.mark.parametrize("answers", [{"raw": {"nurse": "00"}}, {"raw": {"nurse": "ff"}, "mapped": {"nurse": "00"}}])
def test_an_audit_without_faces_is_printed(answers: Any, capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_audit(by_hand(answers))
    said = " ".join(capsys.readouterr().out.split())
    assert "2 of 2 images show no face" in said
    assert "│ gender │ no face │ no face" in said
