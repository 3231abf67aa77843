"""A pipeline and a judge that take no time, for tests of what happens around them, in this process and in others."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image

import fairmapping.draw
import fairmapping.work  # noqa: F401  # so that a process forked from one that has this starts at once
from fairmapping.audit import audit
from fairmapping.cluster import Cluster
from fairmapping.judges import Judgement
from fairmapping.lock import locked
from fairmapping.prompts import neutral
from fairmapping.store import Place

PROMPTS = neutral(["doctor", "nurse", "cook"], ("a portrait of {}",))
OPTIONS: dict[str, Any] = {"images_per_prompt": 14, "batch_size": 4, "attributes": "gender", "progress": False}


class Noise:
    """Grey of 8 x 8 pixels, from each image's own generator."""

    components: dict[str, Any] = {}  # noqa: RUF012
    scheduler = None

    def __init__(self, seconds: float = 0.0, fatal: str | None = None) -> None:
        """seconds: of each call. fatal: a file; the process that finds it there removes it and is killed."""
        self.seconds, self.fatal = seconds, fatal

    def set_progress_bar_config(self, **options: Any) -> None:
        self._progress_bar_config = options

    def encode_prompt(self, prompt: Any, prompt_embeds: Any = None) -> None:
        raise NotImplementedError

    def __call__(self, prompt: Any = None, generator: Any = None, prompt_embeds: Any = None) -> Any:
        time.sleep(self.seconds)
        if self.fatal is not None and os.path.exists(self.fatal):
            os.unlink(self.fatal)
            os.kill(os.getpid(), signal.SIGKILL)
        draws = [torch.randint(256, (8, 8), generator=one, dtype=torch.uint8).numpy() for one in generator]
        return SimpleNamespace(images=[Image.fromarray(draw) for draw in draws])


class Corner:
    """Says of an image what its first pixel is; dark ones have no face."""

    name = "corner"
    attributes = {"gender": ("female", "male"), "cue": ("medical", "food", "plain")}  # noqa: RUF012
    card: dict[str, Any] = {}  # noqa: RUF012

    def __call__(self, images: Any) -> list[Judgement]:
        levels = [image.getpixel((0, 0))[0] for image in images]
        said = [{n: {g[level % len(g)]: 0.75} for n, g in self.attributes.items()} for level in levels]
        return [
            Judgement(1, answer) if level > 20 else Judgement(0) for level, answer in zip(levels, said, strict=True)
        ]


def run(out: str, pipe: Any = None, ray: Cluster | None = None, **options: Any) -> Any:
    return audit(pipe or Noise(), PROMPTS, judge="quick:Corner", out=out, ray=ray, **OPTIONS | options)


def run_slowly(out: str) -> None:
    run(out, Noise(0.1))


def hold(out: str, held: Any) -> None:
    with locked(Place(out)):
        held.set()
        time.sleep(600)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run by its path but audit.json, which has the date."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != "audit.json"}
