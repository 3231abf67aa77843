"""The settings of an audit of what somebody else made, and the folder that it is kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..audit import versions_of
from ..results import SCHEMA_VERSION, Audit
from ..store import Place

__all__ = ["place_for", "saved"]


def place_for(out: Path, of: Mapping[str, Any]) -> Path:
    """The folder `out`, if no other audit is there. Raises ValueError where one is, or for what is no local folder."""
    if Place(out).path is None:
        raise ValueError(f"{out} is an address; give a local folder, as the images are found from it")
    if (out / "settings.json").exists():
        raise ValueError(f"{out} holds images that fairmapping drew; give another folder for this audit")
    path = out / "audit.json"
    if path.exists():
        try:
            there = json.loads(path.read_text(encoding="utf-8")).get("source") or {}
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{path} is no audit ({error}); move it away, or give another folder") from error
        if there.get("of") != of:
            raise ValueError(f"{out} holds an audit of {there.get('of', 'a pipeline')}; give another folder for this")
    return out


def saved(
    out: Path,
    *,
    kind: str,
    of: Mapping[str, Any],
    notes: Sequence[str],
    attributes: Mapping[str, Sequence[str]],
    judge: Mapping[str, Any],
    model: str,
    expected: Mapping[str, Mapping[str, str]],
    seconds: float,
    **source: Any,
) -> Audit:
    """The audit of the judge's answers that lie in `out`, with its settings written beside them.

    kind: "images" or "labels". of: where they come from, in plain words of JSON. source: what else is known of them.
    """
    settings = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": {"name": model, "pipeline": f"{kind} made elsewhere"},
        "attributes": attributes,
        "judge": judge,
        "images_per_prompt": None,
        "seed": None,
        "call": {},
        "map": None,
        "expected": expected,
        "seconds": {"generate": 0.0, "judge": round(seconds, 1)},
        "versions": versions_of(),
        "source": {"kind": kind, "of": of, "notes": notes, **source},
    }
    # Through JSON once, as in audit(): a fresh audit and a loaded one hold the same plain values.
    place = Place(out)
    result = Audit.of(place, json.loads(json.dumps(settings, default=str)))
    result.save_settings(place)
    return result
