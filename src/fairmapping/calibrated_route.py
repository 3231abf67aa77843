"""Route "calibrated": draw, judge, adjust, until the judged shares meet their targets or nothing more is gained.

The images of each round are judged, and what the judge saw in all rounds so far says how the map should move
(:mod:`fairmapping.calibration`).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .calibration import Calibration, Round, Seen
from .denoiser_route import fit_denoiser
from .judges import Judge, default_judge, load_judge
from .mapconfig import MapConfig, versions
from .mapping import FairMap
from .pipelines import draws_portraits
from .prompts import VARIED_TEMPLATES, Attribute, adjectives, neutral
from .store import write_text

if TYPE_CHECKING:
    from .targets import Targets

__all__ = ["fit_calibrated"]

PATIENCE = 2  # rounds without a measurable gain


def fit_calibrated(
    pipe: Any,
    keywords: Sequence[str],
    attributes: Sequence[Attribute],
    *,
    targets: Targets,
    templates: Sequence[str] = VARIED_TEMPLATES,
    start: FairMap | None = None,
    judge: str | Judge | None = None,
    images: int = 12,
    rounds: int = 8,
    tolerance: float = 0.05,
    call: Mapping[str, Any] | None = None,
    resume: Path | None = None,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = True,
) -> FairMap:
    """One affine map, adjusted until ``judge`` sees the ``targets`` among ``images`` a keyword.

    start: the map to adjust; by default one of route "denoiser" for the same keywords and targets.
    It ends when the interval of the deviation (see :class:`fairmapping.calibration.Round`) is below ``tolerance`` for
    every attribute, when two rounds in a row bring no measurable gain, or after ``rounds``; the config's ``rounds`` say
    which, and the map is that of the best round. Judged counts are corrected for the judge's confusion where its card
    has it. The judge is by default "portraits" for the embedded model and "photo" for any other.

    Raises ValueError where the judge does not judge an attribute, or where ``resume`` was left by another calibration.
    """
    reader = load_judge(default_judge(draws_portraits(pipe)) if judge is None else judge)
    for item in attributes:
        if any(item.name not in targets.of(word) for word in keywords):
            raise ValueError(f"targets hold nothing for {item.name}; name it there, or leave it out of attributes")
        if missing := set(item.group_names) - set(reader.attributes.get(item.name, ())):
            raise ValueError(f"the judge {reader.name!r} does not judge {item.name} {min(missing)!r}; give another one")
    if images < 2 or rounds < 1 or not 0 < tolerance < 1:
        raise ValueError(
            f"images is {images}, rounds {rounds} and tolerance {tolerance}; "
            "they must be at least 2, at least 1, and between 0 and 1"
        )
    if start is not None and start.groups:
        raise ValueError(
            "start has group shifts, and a calibration adjusts one map without a draw; give one of route 'denoiser', "
            "or none"
        )
    started = time.perf_counter()
    if start is None:
        start = fit_denoiser(
            pipe, keywords, attributes, targets=targets, templates=templates, call=call, seed=seed,
            resume=None if resume is None else resume.with_suffix(".start.safetensors"), progress=progress,
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    prompts = [neutral([word], (templates[int(rng.integers(len(templates)))],))[0] for word in keywords]
    loop = Calibration(pipe, prompts, attributes, targets, start, reader, seed)
    told = {"keywords": list(keywords), "templates": list(templates), "targets": targets.to_dict(), "seed": seed,
            "images": images, "judge": reader.name, "call": dict(call or {})}  # fmt: skip
    loop.seen = _read(resume, told)
    found: list[Round] = []
    best: tuple[float, FairMap] = (math.inf, start)
    since = 0
    for number in range(rounds):
        fair_map = loop.map()
        if number == len(loop.seen):
            loop.draw(images, batch_size, dict(call or {}), progress)
            _write(resume, told, loop.seen)
        scores = loop.score(number)
        found += scores
        worst = max(score.deviation for score in scores)
        gained = worst < best[0] and not (best[0] < math.inf and max(score.low for score in scores) >= best[0])
        if worst < best[0]:
            best = (worst, fair_map)
        since = 0 if gained else since + 1
        if all(score.high <= tolerance for score in scores) or since >= PATIENCE:
            break
        loop.learn(number + 1)
    config = MapConfig(
        route="calibrated",
        attributes=adjectives(attributes),
        keywords=list(keywords),
        templates=list(templates),
        targets=targets.to_dict(),
        judge=reader.name,
        images=(start.config.images or 0) + sum(len(part.prompt) for part in loop.seen),
        rounds=[asdict(score) for score in found],
        rank=start.config.rank,
        loss=best[0],
        seconds=round(time.perf_counter() - started, 1),
        versions=versions(),
    )
    result = best[1]
    result.config = config
    return result


def _read(file: Path | None, told: dict[str, Any]) -> list[Seen]:
    if file is None or not file.exists():
        return []
    saved = json.loads(file.read_text(encoding="utf-8"))
    if saved.get("told") != told:
        raise ValueError(f"{file} was left by a calibration with other settings; delete it, or give another file")
    return [Seen(**seen) for seen in saved["seen"]]


def _write(file: Path | None, told: dict[str, Any], seen: Sequence[Seen]) -> None:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps({"told": told, "seen": [asdict(part) for part in seen]}))
