"""What was typed, as what the library takes."""

from __future__ import annotations

import difflib
import math
import os
from pathlib import Path
from typing import Any

from .options import DType, OffloadMode

__all__ = [
    "attributes_of",
    "call_of",
    "file_of",
    "folder_of",
    "holdout_of",
    "judge_of",
    "keywords_of",
    "map_of",
    "pipe_of",
    "place_of",
    "prompts_of",
    "quota_of",
    "route_of",
    "shares_of",
    "source_of",
    "split",
    "workers_of",
]


def place_of(out: str) -> str:
    """`out`, if it can be a folder that is written to, or is an address of a kind that fsspec knows."""
    from ..store import Place

    place = Place(out)
    if place.path is not None:
        folder_of(place.path)
    return out


def workers_of(ray: str | None, workers: int | None, threads: int) -> Any:
    """The cluster to work on, None for this process alone."""
    from ..cluster import Cluster

    if ray is None and workers is not None:
        raise ValueError("--workers goes with --ray, for instance --ray local")
    return None if ray is None else Cluster(ray, workers=workers, threads=threads)


def folder_of(out: Path) -> Path:
    """`out`, if it can be a folder that is written to: what a run of hours would else find out at its end."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; give a folder, or move the file away")
    there = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ValueError(f"--out {out} lies below {there}, which is a file; give another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"--out {out} cannot be written to: no permission for {there}; give another folder")
    return out


def judge_of(name: str | None, card: Path | None, *, embedded: bool) -> Any:
    """The judge, the default one where none is named: before the model is loaded."""
    from ..judges import default_judge, load_judge

    return load_judge(default_judge(embedded) if name is None else name, card=card)


def attributes_of(source: str | None, judge: Any) -> list[Any]:
    """What a judge is asked about. A name that it knows stands for its groups, which need not be those of the packaged
    attribute."""
    from ..audit import asked_of
    from ..prompts import resolve_attributes

    if source is None:
        return list(asked_of(None, judge))
    return [one for part in split(source) for one in ([part] if part in judge.attributes else resolve_attributes(part))]


def file_of(path: Path, option: str) -> Path:
    """`path`, if a file can be written there."""
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder; give a file")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{option} {path}: there is no folder {path.parent}; make it first, or give another path")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ValueError(f"{option} {path} cannot be written to: no permission; give another path")
    return path


def source_of(
    model: str, device: str | None, dtype: DType, offload: OffloadMode | None, *, text_only: bool = False
) -> Any:
    """What makes the pipeline, without a word."""
    from .. import pipelines

    pipelines.hush()
    where = None if offload is None else offload.value
    return pipelines.Source(model, device, dtype.value, where, "text" if text_only else "all")


def pipe_of(
    model: str, device: str | None, dtype: DType, offload: OffloadMode | None, *, text_only: bool = False
) -> Any:
    """The pipeline, loaded without a word."""
    return source_of(model, device, dtype, offload, text_only=text_only)()


def shares_of(source: str | None) -> dict[str, float]:
    """keyword -> share, from "sd15" or a CSV."""
    if source is None:
        return {}
    if source == "sd15":
        from ..sections import sd15_women

        return sd15_women()
    import pandas as pd

    frame = pd.read_csv(source)
    if not {"keyword", "share"} <= set(frame) or not pd.api.types.is_numeric_dtype(frame["share"]):
        raise ValueError(f"{source} needs the columns keyword and share, a number; it has {', '.join(frame)}")
    return dict(zip(frame["keyword"], frame["share"].astype(float), strict=True))


def holdout_of(source: str | None) -> Any:
    """A fraction, or keywords."""
    try:
        return float(source or 0)
    except ValueError:
        return keywords_of(source or "")


def map_of(sources: list[str] | None, strengths: list[float] | None = None) -> tuple[Any, float]:
    """The map, or all of them as one, and the strength of the whole; (None, 1) where none is given."""
    from ..compose import compose
    from ..mapping import FairMap

    maps, given = [FairMap.from_pretrained(source) for source in sources or ()], strengths or [1.0]
    if len(given) not in (1, len(maps)):
        raise ValueError(f"{len(given)} of --strength for {len(maps)} of --map; give one for all, or one each")
    whole = given[0] if len(given) == 1 else 1.0
    if len(maps) < 2:
        return (maps[0] if maps else None), whole
    return compose(*maps, strengths=given if len(given) > 1 else None), whole


def quota_of(source: str | None, fair_map: Any, seed: int) -> Any:
    """The quota, if the map can follow it: before the model is loaded."""
    from ..policy import quota_of as of_map

    return of_map(fair_map, source, seed=seed)


def route_of(source: str) -> tuple[str, str]:
    """NAME=FOLDER."""
    name, sign, folder = source.partition("=")
    if not (name and sign and folder):
        raise ValueError(f"--route is {source!r}; give NAME=FOLDER, such as text=runs/x")
    return name, folder


def call_of(steps: int | None, guidance: float | None, size: int | None = None) -> dict[str, Any]:
    if guidance is not None and not math.isfinite(guidance):
        raise ValueError(f"--guidance is {guidance}; give a finite number")
    given = {"num_inference_steps": steps, "guidance_scale": guidance, "height": size, "width": size}
    return {name: value for name, value in given.items() if value is not None}


def split(source: str) -> list[str]:
    return [part.strip() for part in source.split(",") if part.strip()]


def prompts_of(texts: list[str] | None, keywords: str | None, templates: list[str] | None) -> list[Any]:
    from .. import prompts

    if bool(texts) == bool(keywords):
        raise ValueError("give either prompts or --keywords")
    if texts:
        if templates:
            raise ValueError("--template goes with --keywords; prompts are taken as they are")
        return list(texts)
    return prompts.neutral(keywords_of(keywords or ""), templates or prompts.DEFAULT_TEMPLATES)


def keywords_of(source: str) -> list[str]:
    """ "a,b" is a list; otherwise a packaged list, a file, or, where it looks like neither, one keyword."""
    from .. import prompts

    if "," in source:
        return prompts.resolve_keywords(split(source))
    near = difflib.get_close_matches(source, ("occupations", "emotions"), 1)
    if near or "." in source or "/" in source or Path(source).exists():
        return prompts.resolve_keywords(source)
    return prompts.resolve_keywords([source])
