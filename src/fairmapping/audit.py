"""Assess: draw images of every prompt, judge each, and keep what was found as an Audit.

A run is a folder, or any address that fsspec knows: the images and their rows (:mod:`fairmapping.generate`),
``judgements/<judge>.parquet`` with a row an image, and ``audit.json`` with the settings. Block by block it goes on
where an interruption left it (:mod:`fairmapping.work`).
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from . import __version__, lists, pipelines
from .judges import Judge, default_judge, load_judge, records
from .lock import locked
from .prompts import Attribute, Prompt
from .results import SCHEMA_VERSION, Audit, Comparison
from .store import Place

if TYPE_CHECKING:
    from .cluster import Cluster
    from .mapping import FairMap
    from .policy import DetectorSource
    from .quota import QuotaSource

__all__ = ["Audit", "Comparison", "asked_of", "audit", "expected_of", "rescore", "versions_of"]


def audit(
    pipe: Any,
    prompts: Sequence[str | Prompt],
    *,
    images_per_prompt: int = 60,
    judge: str | Judge | None = None,
    fair_map: FairMap | None = None,
    out: str | os.PathLike[str],
    attributes: Sequence[str | Attribute] | None = None,
    seed: int = 0,
    strength: float = 1.0,
    quota: QuotaSource | None = None,
    detector: DetectorSource = "auto",
    baseline: bool = True,
    expected: Mapping[str, Mapping[str, str]] | None = None,
    stop_at: float | None = None,
    batch_size: int = 16,
    store: str = "files",
    ray: str | Cluster | None = None,
    progress: bool = True,
    **call_kwargs: Any,
) -> Audit:
    """Draw `images_per_prompt` images of every prompt, judge them, and save the audit in the folder or at the address
    `out`. `pipe`, `out`, `batch_size`, `store` and `ray` are as in :func:`fairmapping.generate`; on a cluster a judge
    is best given by name or import path.

    With `fair_map` both arms are drawn, "raw" and "mapped", on the same seeds. A plain string is taken as a neutral
    prompt and is its own keyword; :func:`fairmapping.prompts.specific` makes prompts that name a group. An
    interrupted run goes on when called again. `quota` is how a map with group shifts draws the groups of the mapped
    images (see :func:`fairmapping.generate`); :meth:`Audit.followed` says how many show them. `detector` decides which
    prompts are mapped, as it will for those of users: "auto" is the map's own, and "off" shows the map by itself.

    stop_at: a half-width, such as 0.1. Images are then drawn in rounds of one block a keyword and arm, and after each
    round those keywords are closed whose shares are known that well, in every arm and attribute asked about
    (:func:`fairmapping.metrics.enough`); `images_per_prompt` is the most. Prompts that name a group stop with their
    keyword. A closed run goes on when called with a smaller `stop_at`, or without.

    baseline=False draws the mapped arm alone, where the raw one is known from another audit.
    judge: by default "portraits" for the embedded model and "photo" for any other (:mod:`fairmapping.judges`).
    attributes: names that the judge knows (all its groups are asked about), or Attribute objects with some of its
    groups; by default those of gender and race that it knows. expected: attribute -> keyword -> group that the image
    should show; by default the sector of a packaged occupation for a judge with an attribute "cue", and the emotion a
    keyword begins with for one with an attribute "expression". call_kwargs go to the pipeline, e.g.
    num_inference_steps=20, guidance_scale=5.0.

    Raises ValueError, before anything is drawn, for no prompts, a prompt given twice, an attribute or group that the
    judge does not know, no judge beside a function that makes the pipeline, a `stop_at` outside (0, 1/2), a map of
    another encoder, a quota that the map cannot follow, or a folder where either arm was made with other settings;
    TypeError for a `stop_at` that is no number; ModuleNotFoundError where the judge is not installed; RuntimeError
    where another process works on the folder.
    """
    if judge is None:
        judge = default_judge(pipelines.draws_portraits(pipe))
    reader = load_judge(judge)
    asked = asked_of(attributes, reader)
    if fair_map is None and not baseline:
        raise ValueError(
            "baseline=False leaves the images without a map out, and no fair_map is given: nothing to draw"
        )

    from . import work  # here, so that reading an audit needs no torch
    from .cluster import hands_of
    from .plan import Order
    from .policy import quota_of
    from .stopping import Stop

    stop = None if stop_at is None else Stop(stop_at, asked)
    place, drawn_by = Place(out), quota_of(fair_map, quota, seed=seed)
    common: dict[str, Any] = {"images_per_prompt": images_per_prompt, "seed": seed, "batch_size": batch_size}
    common |= {"store": store, "call": call_kwargs}
    orders = [Order(prompts, arm="raw", **common)] if baseline else []
    if fair_map is not None:
        mapped: dict[str, Any] = {"fair_map": fair_map, "strength": strength, "quota": drawn_by, "detector": detector}
        orders.append(Order(prompts, arm="mapped", **mapped, **common))
    job = work.Job(tuple(orders), place, judge if ray else reader, stop)
    told = work.run(hands_of(ray, pipe, job), job, progress=progress)
    mapping = None
    if fair_map is not None:
        drawn = told["arms"]["mapped"]
        mapping = asdict(fair_map.config) | {name: drawn.get(name) for name in ("strength", "detector", "quota")}
    keywords = [prompt.keyword for prompt in job.ledgers[0].plan.asked]
    settings = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": told["model"],
        "attributes": asked,
        "judge": records.describe(reader),
        "images_per_prompt": images_per_prompt,
        "stop_at": stop_at,
        "batch_size": batch_size,
        "seed": seed,
        "call": told["call"],
        "map": mapping,
        "expected": expected_of(keywords, reader) if expected is None else expected,
        "seconds": told["seconds"],
        "versions": versions_of(),
    }
    # Through JSON once, so that a fresh audit and a loaded one hold the same plain values.
    result = Audit.of(place, json.loads(json.dumps(settings, default=str)))
    result.save_settings(place)
    return result


def rescore(folder: str | os.PathLike[str], judge: str | Judge | None = None, *, progress: bool = True) -> Audit:
    """Read the audit in `folder`; with a `judge`, have it judge the images anew and save its answers beside the old
    ones.

    Without a judge no torch is needed. Raises FileNotFoundError where there is no audit or its images are gone.
    """
    old = Audit.load(folder)
    if judge is None:
        return old
    judge, place = load_judge(judge), Place(folder)
    settings = old.settings | {"judge": records.describe(judge), "attributes": asked_of(list(old.attributes), judge)}
    settings["expected"] = {name: known for name, known in old.settings["expected"].items() if name in judge.attributes}
    asked = [name for name in records.ASKED if name in old.rows]
    with locked(place):
        records.judge_images(judge, old.rows[asked].to_dict("records"), place, progress=progress)
        result = Audit.of(place, settings)
        result.save_settings(place)
    return result


def asked_of(attributes: Sequence[str | Attribute] | None, judge: Judge) -> dict[str, list[str]]:
    """attribute -> groups, of what is asked of a judge; by default those of gender and race that it knows, or all."""
    if attributes is None:
        attributes = [name for name in ("gender", "race") if name in judge.attributes] or list(judge.attributes)
    asked: dict[str, list[str]] = {}
    for attribute in (attributes,) if isinstance(attributes, (str, Attribute)) else attributes:
        name = attribute if isinstance(attribute, str) else attribute.name
        if name not in judge.attributes:
            raise ValueError(
                f"the judge {judge.name!r} does not judge {name!r}; it judges {', '.join(judge.attributes)}"
            )
        groups = list(judge.attributes[name] if isinstance(attribute, str) else attribute.group_names)
        unknown = [group for group in groups if group not in judge.attributes[name]]
        if unknown:
            raise ValueError(
                f"the judge {judge.name!r} has no {name} group {unknown[0]!r}; "
                f"it has {', '.join(judge.attributes[name])}"
            )
        asked[name] = groups
    if not asked:
        raise ValueError("no attributes to audit; give at least one, such as 'gender'")
    return asked


def expected_of(keywords: Iterable[str], judge: Judge) -> dict[str, dict[str, str]]:
    """What the packaged lists know of these keywords, for a judge that reads cues and expressions."""
    tables: dict[str, dict[Any, Any]] = {
        "cue": {row["occupation"]: row["sector"] for row in lists.occupation_table()},
        "expression": {row["keyword"]: row["class"] for row in lists.emotion_table()},
    }
    found: dict[str, dict[str, str]] = {}
    for attribute, table in tables.items():
        groups = judge.attributes.get(attribute, ())
        known = {keyword: table[keyword] for keyword in keywords if table.get(keyword) in groups}
        if known:
            found[attribute] = known
    return found


def versions_of() -> dict[str, str]:
    found = {"fairmapping": __version__, "python": platform.python_version()}
    for package in ("torch", "diffusers", "transformers", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
