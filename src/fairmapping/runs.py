"""The folder of a run: settings.json, manifest.jsonl with a :class:`Row` a line, images/<arm>/<prompt>/<index>.png.

An image counts as done once its line stands in the manifest, and a line is written after the image is whole on disk;
so a run killed at any moment leaves a folder that the same call completes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Row", "append", "read_manifest", "save_image", "settle", "slug", "write_text"]


@dataclass(frozen=True)
class Row:
    """One image: what was asked, with which seed, and where it lies (a path within the folder, "" in memory)."""

    image: str
    arm: str
    prompt: str
    keyword: str
    template: str
    groups: tuple[tuple[str, str], ...]
    index: int
    seed: int


def slug(text: str) -> str:
    """A folder name that a person can read, one per text: the start of a digest keeps like texts apart."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
    return f"{words}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")


def settle(folder: Path, settings: dict[str, Any], arm: str, mapping: dict[str, Any]) -> None:
    """Write settings.json, or compare with the one that is there. Raises ValueError naming every difference."""
    path = folder / "settings.json"
    arms: dict[str, Any] = {}
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        arms = found.pop("arms", {})
        differences = _differences(found, settings) + _differences({arm: arms.get(arm, mapping)}, {arm: mapping})
        if differences:
            raise ValueError(
                f"{folder} was made with other settings ({'; '.join(differences)}); "
                "give the same settings to go on with it, or another folder"
            )
        if arm in arms:
            return
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(settings | {"arms": arms | {arm: mapping}}, indent=2) + "\n")


def _differences(there: Any, now: Any, name: str = "") -> list[str]:
    """["call.guidance_scale is 7.5 there and 5.0 now", ...]"""
    if isinstance(there, dict) and isinstance(now, dict):
        keys = [*there, *(key for key in now if key not in there)]
        return [d for key in keys for d in _differences(there.get(key), now.get(key), f"{name}.{key}".lstrip("."))]
    return [] if there == now else [f"{name} is {json.dumps(there)} there and {json.dumps(now)} now"]


def read_manifest(folder: Path) -> list[Row]:
    """The rows of the manifest, if there is one; a torn last line is cut off. Raises ValueError for any other."""
    path = folder / "manifest.jsonl"
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    rows = []
    for number, line in enumerate(whole.decode().splitlines(), start=1):
        try:
            values = json.loads(line)
            values["groups"] = tuple((name, group) for name, group in values["groups"])
            rows.append(Row(**{field.name: values[field.name] for field in fields(Row)}))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"line {number} of {path} is no row of a manifest ({error!r}); restore or remove it"
            ) from error
    return rows


def append(path: Path, rows: Sequence[Row]) -> None:
    with path.open("ab") as file:  # one write, on disk before the next batch
        file.write("".join(json.dumps(asdict(row)) + "\n" for row in rows).encode())


def save_image(image: Image, path: Path) -> None:
    """The whole image or none of it. What a kill leaves half written has a fixed name, so that drawing the image again
    takes its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    image.save(partial, format="PNG")
    os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    """The whole file or none of it, also where two processes write it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
