"""What a run is: a :class:`Row` an image, and the settings that all of its images depend on."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from . import tables
from .store import Place

__all__ = ["COLUMNS", "Row", "compare", "read_rows", "settle", "slug", "to_json"]

SETTINGS = "settings.json"
COLUMNS = (  # of a block as drawn: a Row, with size and digest of the file that holds the image
    "image", "arm", "prompt", "keyword", "template", "groups", "index", "seed", "assigned", "mapped", "bytes", "digest",
)  # fmt: skip
_SHOWN = 12  # differences of settings in one error; two quotas can differ in a hundred keywords


@dataclass(frozen=True)
class Row:
    """One image: what was asked, with which seed, and where it lies (a path within the run, "" in memory).

    ``mapped``: the attributes in which a map moved its prompt; ``assigned``: the groups that a quota drew for it,
    ((attribute, group), ...).
    """

    image: str
    arm: str
    prompt: str
    keyword: str
    template: str
    groups: tuple[tuple[str, str], ...]
    index: int
    seed: int
    assigned: tuple[tuple[str, str], ...] = ()
    mapped: tuple[str, ...] = ()


def slug(text: str) -> str:
    """A folder name that a person can read, one per text: the start of a digest keeps like texts apart."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
    return f"{words}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")


def to_json(row: Row) -> str:
    return json.dumps(asdict(row))


def read_rows(place: Place) -> list[Row]:
    """Every image that was drawn there, by arm and block; each once, also where a grown run drew in other blocks."""
    rows: dict[str, Row] = {}
    for folder in place.names("rows"):
        for name in place.names(folder):
            table = tables.decode(place.read(name), f"{place}/{name}").drop_columns(["bytes", "digest"])
            for row in tables.rows_of(table):
                rows.setdefault(row["image"], Row(**row))
    return list(rows.values())


def settle(place: Place, settings: dict[str, Any], arms: dict[str, Any]) -> None:
    """Write settings.json, or compare with the one that is there. Raises ValueError naming every difference."""
    there = compare(place, settings, arms)
    if not set(arms) <= set(there):
        place.write_text(SETTINGS, json.dumps(settings | {"arms": there | arms}, indent=2) + "\n")


def compare(place: Place, settings: dict[str, Any], arms: dict[str, Any]) -> dict[str, Any]:
    """The arms of the run that is there, if any; ``arms`` are those to be drawn now, each with its map's settings.

    Raises ValueError naming every difference to its settings.
    """
    there: dict[str, Any] = {}
    if not place.exists(SETTINGS):
        return there
    try:
        found = json.loads(place.read(SETTINGS))
        there = dict(found.pop("arms", {}))
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{place}/{SETTINGS} holds no settings of a run ({error}); restore it, or give another folder"
        ) from error
    if place.exists("manifest.jsonl"):
        raise ValueError(
            f"{place} was written before rows were Parquet (it holds a manifest.jsonl); give another folder, and its "
            "images are drawn again from the same seeds"
        )
    differences = _differences(found, settings) + _differences({arm: there.get(arm, arms[arm]) for arm in arms}, arms)
    if differences:
        more = [f"and {len(differences) - _SHOWN} more"] if len(differences) > _SHOWN else []
        raise ValueError(
            f"{place} was made with other settings ({'; '.join(differences[:_SHOWN] + more)}); "
            "give the same settings to go on with it, or another folder"
        )
    return there


def _differences(there: Any, now: Any, name: str = "") -> list[str]:
    """["call.guidance_scale is 7.5 there and 5.0 now", ...]"""
    if isinstance(there, dict) and isinstance(now, dict):
        keys = [*there, *(key for key in now if key not in there)]
        return [d for key in keys for d in _differences(there.get(key), now.get(key), f"{name}.{key}".lstrip("."))]
    return [] if there == now else [f"{name} is {_brief(there)} there and {_brief(now)} now"]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
