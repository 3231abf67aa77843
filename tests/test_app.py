"""The web page, served on this machine and asked as a browser would ask it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops
from test_audit import by_hand

import fairmapping
from fairmapping.detect import Detector

pytest.importorskip("gradio")
httpx = pytest.importorskip("httpx")

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    by_hand({"raw": {"nurse": "ffm", "cook": "mm"}}).save(folder / "deep" / "audited")
    for place, text in ((folder / "written", "<p>“a report”</p>"), (folder.parent / "outside", "secret")):
        place.mkdir(exist_ok=True)
        (place / "report.html").write_text(text, encoding="utf-8")
    (folder / "torn").mkdir()
    (folder / "torn" / "audit.json").write_text("{", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def addresses(runs: Path) -> Iterator[list[str]]:
    """Of the page with a map, and of the one without."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(Path(fairmapping.__file__).parents[1]), str(here)])
    command = [sys.executable, "-W", "ignore", str(here / "tiny_app.py"), str(runs)]
    environment = os.environ | {"PYTHONPATH": path, "GRADIO_ANALYTICS_ENABLED": "False"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            yield server.stdout.readline().split()
        finally:
            server.kill()


def asked(address: str, name: str, *values: Any) -> Any:
    """What the page answers. Raises ValueError with its words where it refuses."""
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        started = client.post(f"/gradio_api/call/{name}", json={"data": list(values)})
        text = client.get(f"/gradio_api/call/{name}/{started.json()['event_id']}").text
    event, data = (line.partition(": ")[2] for line in text.strip().splitlines()[-2:])
    if event != "complete":
        raise ValueError(data)
    return json.loads(data)


@pytest.fixture
def ask(addresses: list[str]) -> Ask:
    return lambda name, *values: asked(addresses[0], name, *values)


def test_only_this_machine_is_served(addresses: list[str]) -> None:
    assert len(addresses) == 2
    assert all(address.startswith("http://127.0.0.1:") for address in addresses)


def test_a_prompt_is_explained_as_the_detector_decides(ask: Ask) -> None:
    (said,) = ask("explain", "a *doctor* and her patient | x")
    assert "| gender | left alone |" in said
    assert "“her” settles gender" in said
    assert Detector.default().decide("a doctor and her patient").reason in said


def test_both_arms_are_drawn_on_the_same_seeds(ask: Ask) -> None:
    def differences(prompt: str) -> tuple[list[bool], str]:
        before, after, said = ask("draw", prompt, 2, 3, "even")
        arms = [[Image.open(one["image"]["path"]).convert("RGB") for one in arm] for arm in (before, after)]
        return [ImageChops.difference(*pair).getbbox() is not None for pair in zip(*arms, strict=True)], said

    changed, said = differences("a portrait of a doctor")
    assert changed == [True, True]
    assert "2 of 2 pictures mapped" in said
    changed, said = differences("a nurse shark")
    assert changed == [False, False]
    assert "0 of 2 pictures mapped" in said
    assert "left alone: nobody is named by work" in said


@pytest.mark.parametrize(("prompt", "says"), [(" ", "there is no prompt"), ("a" * 3000, "3,000 characters, more than")])
def test_odd_prompts_are_refused_in_words(ask: Ask, prompt: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ask("draw", prompt, 1, 0, "even")
    with pytest.raises(ValueError, match=says):
        ask("explain", prompt)


def test_reports_below_the_folder_are_shown_and_nothing_else(ask: Ask, runs: Path) -> None:
    (made,) = ask("open", "deep/audited")
    assert made.startswith('<iframe title="Report of deep/audited" sandbox ')
    assert "What by hand draws" in made
    assert not (runs / "deep" / "audited" / "report.html").exists()
    assert "“a report”" in ask("open", "written")[0]
    for place in ("torn", "../outside", "..", str(runs.parent / "outside"), "/etc"):
        with pytest.raises(ValueError, match=r"\w"):
            ask("open", place)


def test_without_a_map_the_page_says_so(addresses: list[str]) -> None:
    page = httpx.get(addresses[1], trust_env=False).text
    assert "no map is given" in page
    assert "no map makes a model free of it" in page
    before, after, said = asked(addresses[1], "draw", "a cook", 1, 0, "even")
    assert (len(before), after) == (1, [])
    assert "without a map" in said
