"""What was typed, as what the library takes."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

__all__ = ["call_of", "holdout_of", "keywords_of", "map_of", "prompts_of", "shares_of", "split"]


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


def map_of(source: str | None) -> Any:
    from ..mapping import FairMap

    return FairMap.from_pretrained(source) if source else None


def call_of(steps: int | None, guidance: float | None) -> dict[str, Any]:
    given = {"num_inference_steps": steps, "guidance_scale": guidance}
    return {name: value for name, value in given.items() if value is not None}


def split(source: str) -> list[str]:
    return [part.strip() for part in source.split(",") if part.strip()]


def prompts_of(texts: list[str] | None, keywords: str | None, templates: list[str] | None) -> list[Any]:
    from .. import prompts

    if bool(texts) == bool(keywords):
        raise ValueError("give either prompts or --keywords")
    if texts:
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
