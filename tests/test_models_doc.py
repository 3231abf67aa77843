"""The recipes for well-known models: what README.md and docs/models.md have people type, on tiny stand-ins."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_more
import typer

import fairmapping as fm
from fairmapping import judges, pipelines
from fairmapping.cli import app
from fairmapping.judges import Judgement
from fairmapping.lowrank import LowRank

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("### Your own model")[2].partition("\n## ")[0]
TEXTS = {"README.md": SECTION, "docs/models.md": (ROOT / "docs/models.md").read_text(encoding="utf-8")}
STANDS_FOR = {  # the classes that these repositories name in their model_index.json
    "stable-diffusion-v1-5/stable-diffusion-v1-5": ("StableDiffusionPipeline", tiny.make_sd),
    "stabilityai/stable-diffusion-xl-base-1.0": ("StableDiffusionXLPipeline", tiny.make_sdxl),
    "stabilityai/stable-diffusion-3.5-medium": ("StableDiffusion3Pipeline", tiny_more.make_sd3),
    "black-forest-labs/FLUX.1-dev": ("FluxPipeline", tiny.make_flux),
}
SMALL = {  # what would take long even on a tiny model
    '"num_inference_steps": [0-9]+': '"num_inference_steps": 2',
    r'"(height|width)": 512': r'"\1": 8',
    r"images_per_prompt=15": "images_per_prompt=1",
    r"range\(8\)": "range(2)",
    r"others\[:8\]": "others[:2]",
}


def fenced(language: str) -> list[tuple[str, str]]:
    return [
        (f"{name} {index}", block)
        for name, text in TEXTS.items()
        for index, block in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL))
    ]


BLOCKS, COMMANDS = fenced("python"), [line for _, block in fenced("bash") for line in block.strip().splitlines()]


class Photo:
    """In the place of the judge of photographs, which finds no face in what random weights draw."""

    name = "photo"
    attributes = {"gender": ("female", "male"), "age": ("0-19", "20-39")}
    card: dict[str, Any] = {}

    def __call__(self, images: Any) -> list[Judgement]:
        return [Judgement(1, {name: {groups[0]: 1.0} for name, groups in self.attributes.items()}) for _ in images]


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Models by hub id are tiny ones, fits are short, and everything else is what a user gets."""
    loaded: list[Any] = []
    real_load, real_fit = inspect.signature(pipelines.load), fm.fit

    def load(*args: Any, **options: Any) -> Any:
        given = real_load.bind(*args, **options).arguments
        name, make = STANDS_FOR[given["model"]]
        pipe = make()
        assert type(pipe).__name__ == name and given["device"] == "cuda"
        assert given.get("offload") in (None, "model") and given["dtype"] in ("float16", "bfloat16")
        loaded.append(pipe)
        return pipe

    def fit(pipe: Any, keywords: list[str], *args: Any, **options: Any) -> Any:
        inspect.signature(real_fit).bind(pipe, keywords, *args, **options)
        short = {"images": 4, "batch_size": 2, "steps": 2, "rank": 2}
        options |= {name: value for name, value in short.items() if name in options or name == "steps"}
        options |= {"holdout": options["holdout"][:2]} if "holdout" in options else {}
        return real_fit(pipe, keywords[:4], *args, progress=False, templates=["{}"], **options)

    monkeypatch.setitem(judges._NAMED, "photo", f"{__name__}:Photo")
    monkeypatch.setattr(judges, "_PHOTO_NEEDS", ())
    monkeypatch.setattr(fm, "load", load, raising=False)
    monkeypatch.setattr(fm, "fit", fit, raising=False)
    monkeypatch.chdir(tmp_path)
    return loaded


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_the_python_runs(name: str, block: str, stand_ins: list[Any], tmp_path: Path) -> None:
    for pattern, small in SMALL.items():
        block = re.sub(pattern, small, block)
    told: dict[str, Any] = {"fm": fm, "fitted": fm.lists.split()[0]} if name.startswith("README") else {}
    exec(compile(block, name, "exec"), told)
    assert stand_ins
    fair = told.get("fair") or told["paper"]
    assert fair.config.route == ("sampled" if "fair" in told else "text")
    if "result" in told:
        assert len(told["images"]) >= 2 and set(told["result"].arms) == {"raw", "mapped"}
        assert told["result"].settings["judge"]["name"] == "photo" and list(told["result"].attributes) == ["gender"]
        again = fm.FairMap.from_pretrained(next(tmp_path.glob("*-map")))
        assert again.groups == fair.groups and isinstance(again.weight, LowRank)


def test_there_is_a_recipe_for_each_model() -> None:
    text = TEXTS["docs/models.md"]
    for model in STANDS_FOR:
        assert f'fm.load("{model}"' in text
        used = {shlex.split(line)[1] for line in COMMANDS if f"--model {model}" in line}
        assert used >= {"fit", "generate", "audit"}


@pytest.mark.parametrize("line", COMMANDS, ids=[" ".join(shlex.split(line)[1:5]) for line in COMMANDS])
def test_the_command_lines_are_understood(line: str, tmp_path: Path) -> None:
    program, command, *arguments = shlex.split(line)
    assert program == "fairmapping"
    asked = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    with asked.make_context(command, arguments) as context:
        given = dict(context.params)
    assert given["model"] in STANDS_FOR and given["device"] == "cuda" and str(given["dtype"].value) == "bfloat16"
    assert (given["offload"] is None) == ("--offload" not in line)


def test_every_option_of_a_command_means_the_same_in_python() -> None:
    """Guidance, steps and the size of the recipes are those of both."""
    for model in STANDS_FOR:
        blocks = [block for _, block in BLOCKS if model in block and "guidance_scale" in block]
        scales = {float(scale) for block in blocks for scale in re.findall(r'"guidance_scale": ([0-9.]+)', block)}
        typed = {float(x) for line in COMMANDS if model in line for x in re.findall(r"--guidance ([0-9.]+)", line)}
        steps = {int(count) for block in blocks for count in re.findall(r'"num_inference_steps": ([0-9]+)', block)}
        counts = {int(x) for line in COMMANDS if model in line for x in re.findall(r"-steps ([0-9]+)", line)}
        assert scales == typed and steps == counts and len(scales) == len(steps) == 1
