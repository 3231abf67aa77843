"""What it takes to make the same figures again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..results import Audit
from ..words import count, listing

__all__ = ["settings"]


def settings(audits: Sequence[Audit]) -> list[tuple[str, str]]:
    """Name and value of each, of the first audit where they all share it."""
    chosen = audits[0].settings
    rows = [("Model", f"{chosen['model']['name']} ({chosen['model']['pipeline']})")]
    for part in audits:
        prompts = part.rows.drop_duplicates("prompt")
        templates = [template for template in dict.fromkeys(prompts["template"]) if template]
        each = part.settings["images_per_prompt"]
        most = "up to " if part.stopped_early else ""
        images = f" × {most}{count(each, 'image')}" if each else f", {count(len(part.rows), 'image')} in all,"
        text = f"{count(len(prompts), 'prompt')}{images} in {count(len(part.arms), 'arm')}"
        text += f", from {listing([repr(template) for template in templates])}" if templates else ""
        rows.append(("Prompts" if part.keywords else "Prompts that name a group", text))
    rows += [(name.replace("_", " ").capitalize(), str(value)) for name, value in chosen["call"].items()]
    rows += [("Seed", str(chosen["seed"]))] if chosen["seed"] is not None else []
    rows.append(("Judge", chosen["judge"]["name"]))
    if chosen.get("map"):
        rows += [(f"Map: {name.replace('_', ' ')}", text) for name, text in _map_settings(chosen["map"])]
        rows += [("Moved by the map", text) for text in _moved(audits)]
    seconds = {stage: sum(part.settings["seconds"][stage] for part in audits) for stage in ("generate", "judge")}
    rows.append(
        ("Time", f"{seconds['generate']:.0f} s to draw and {seconds['judge']:.0f} s to judge, in the last call")
    )
    rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in chosen["versions"].items())))
    return rows


def _moved(audits: Sequence[Audit]) -> list[str]:
    """How many images of each audit the detector let the map move, by attribute; nothing for audits from before."""
    found = []
    for part in audits:
        rows = part.rows[part.rows["arm"] == "mapped"]
        if len(rows) and "mapped" in rows:
            moved = [sum(name in names for names in rows["mapped"]) for name in part.attributes]
            parts = [f"{n:,} in {name}" for n, name in zip(moved, part.attributes, strict=True)]
            found.append(f"{listing(parts)}, of {count(len(rows), 'image')}")
    return found


def _map_settings(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plain values of a map's configuration, keywords and encoder left out."""
    left_out = {"keywords", "encoder", "schema_version", "versions"}
    rows = []
    for name, value in config.items():
        if name not in left_out and isinstance(value, (str, int, float)):
            rows.append((name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    quota = config.get("quota")
    if isinstance(quota, Mapping):
        plain = [f"{name} {value}" for name, value in quota.items() if isinstance(value, (str, int, float))]
        rows.append(("quota", ", ".join(["groups assigned in exact numbers", *plain])))
    return rows
