"""The settings of an audit of what somebody else made, and the folder that it is kept in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..audit import versions_of
from ..results import SCHEMA_VERSION, Audit, frame

__all__ = ["place_for", "saved"]


def place_for(out: Path, of: Mapping[str, Any]) -> Path:
    """The folder `out`, if no other audit is there. Raises ValueError where one is."""
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
    rows: Iterable[Mapping[str, Any]],
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
    """The audit of these judged rows, written to `out`.

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
    Audit(frame(rows), settings).save(out)
    return Audit.load(out)  # so that a fresh audit holds what a loaded one does
