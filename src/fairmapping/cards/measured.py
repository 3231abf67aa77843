"""What an audit holds, as the measured half of a card: plain JSON, figures with interval, n and chance floor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from .. import lists, portraits
from ..judges import confusion
from ..results import ARMS, Audit
from ..sections import model_name

__all__ = ["measured"]

_UNEVEN = 10  # keywords shown by their shares
_MAP = ("route", "strength", "detector", "solver", "weight", "rank", "steps", "seed")


def measured(audit: Audit) -> dict[str, Any]:
    """Strategy (what was drawn, how it was judged, what is counted) and results of one audit."""
    unseen = [keyword for keyword in audit.keywords if not audit.was_fitted(keyword)]
    reported = unseen or audit.keywords
    return _plain(
        {
            "folder": None if audit.path is None else str(audit.path),
            "created": audit.settings["created"],
            "strategy": _strategy(audit, reported),
            "results": {
                "attributes": [_attribute(audit, name, reported) for name in audit.attributes if reported],
                "cells": _lines(audit.joint(keywords=reported)) if reported and len(audit.attributes) > 1 else [],
                "faces": _lines(audit.faces()),
                "explicit": _lines(audit.obeyed()),
                "assigned": _lines(audit.followed()),
                "kept": _lines(audit.kept()),
            },
        }
    )


def _strategy(audit: Audit, reported: Sequence[str]) -> dict[str, Any]:
    settings = audit.settings
    neutral = audit.neutral()
    fitted = [keyword for keyword in audit.keywords if audit.was_fitted(keyword)]
    embedded = model_name(audit) == "portraits"
    captions = frozenset(lists.occupations()) - portraits.never_captioned()
    judge = settings["judge"]
    return {
        "model": settings["model"],
        "images": len(audit.rows),
        "images_per_prompt": settings["images_per_prompt"],
        "arms": list(audit.arms),
        "stopped_early": audit.stopped_early,
        "attributes": audit.attributes,
        "prompts": int(audit.rows["prompt"].nunique()),
        "neutral_prompts": int(neutral["prompt"].nunique()),
        "templates": [text for text in dict.fromkeys(neutral["template"]) if text],
        "keywords": audit.keywords,
        "keywords_reported": list(reported),
        "keywords_fitted": fitted,
        # Occupations that the embedded model's captions named; None: what the model was trained on is not known
        "keywords_in_captions": [keyword for keyword in reported if keyword in captions] if embedded else None,
        "map": _map(settings.get("map")),
        "judge": {"name": judge["name"], "card": judge["card"], "recall": _recall(audit)},
        "seed": settings["seed"],
        "call": settings["call"],
        "versions": settings["versions"],
        "source": settings.get("source"),
    }


def _map(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not config:
        return None
    found = {name: config[name] for name in _MAP if config.get(name) is not None}
    quota = config.get("quota")
    return found | {"fitted_on": len(config.get("keywords", ())), "quota": bool(quota)}


def _recall(audit: Audit) -> dict[str, dict[str, Any]]:
    """attribute -> group -> how many of its n test images the judge's card says it got right."""
    judge, found = audit.settings["judge"], {}
    for name in audit.attributes:
        groups = judge["attributes"][name]
        matrix = confusion(judge["card"], name, groups, groups)
        if matrix is not None:
            sizes = matrix.sum(1)
            found[name] = {
                group: {"right": float(matrix[i, i]), "n": float(sizes[i])} for i, group in enumerate(groups)
            }
    return found


def _attribute(audit: Audit, name: str, keywords: Sequence[str]) -> dict[str, Any]:
    table = audit.table(name, keywords=keywords)
    first = table[(table["arm"] == audit.arms[0]) & (table["n"] > 0)]
    worst = first.sort_values("pairwise_bias", ascending=False, kind="stable")["keyword"].head(_UNEVEN)
    shown = table[table["keyword"].isin(worst)].sort_values(
        "keyword", key=lambda names: names.map({keyword: i for i, keyword in enumerate(worst)}), kind="stable"
    )
    return {
        "attribute": name,
        "groups": list(audit.attributes[name]),
        "summary": _lines(audit.summary(name, keywords=keywords)),
        "overall": _lines(audit.overall(name, keywords=keywords)),
        "other": int(table["other"].sum()),
        "comparison": _comparison(audit, name, keywords),
        "tests": _tests(audit, name, keywords),
        "most_uneven": _lines(shown.drop(columns=[column for column in shown if "_corrected" in column])),
    }


def _comparison(audit: Audit, name: str, keywords: Sequence[str]) -> dict[str, Any] | None:
    if audit.arms != ARMS:
        return None
    try:
        found = audit.compare(name, keywords=keywords)
    except ValueError:  # no keyword has judged faces in both arms
        return None
    intervals = {part: getattr(found, part) for part in ("raw", "mapped", "difference", "changed")}
    return {"verdict": found.verdict} | {
        part: {"value": one.value, "low": one.low, "high": one.high, "n": one.n} for part, one in intervals.items()
    }


def _tests(audit: Audit, name: str, keywords: Sequence[str]) -> list[dict[str, Any]]:
    """Keyword by keyword, where both arms have pairs on the same seeds."""
    try:
        return _lines(audit.tests(name, keywords=keywords))
    except ValueError:
        return []


def _lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.to_dict("records")


def _plain(value: Any) -> Any:
    """As JSON takes it: numbers of Python, to five digits, None where there is none."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
