"""Folders of images that somebody else made, judged and kept as an Audit."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..audit import asked_of, expected_of
from ..judges import Judge, load_judge, records
from ..lock import locked
from ..progress import progress_bar
from ..prompts import Attribute
from ..results import Audit
from ..store import Place
from ..words import count
from .folder import Found, pair_by_name, read_folder, read_prompts
from .rows import Known, arms_of, as_rows
from .saved import place_for, saved
from .tables import TableSource

__all__ = ["audit_images"]

_NAMED = 5  # files named in a note
_PAIRS = ("seed", "name")
Folder = str | os.PathLike[str]


def audit_images(
    images: Folder | Mapping[str, Folder],
    *,
    judge: str | Judge = "photo",
    out: str | os.PathLike[str],
    prompts: TableSource | None = None,
    attributes: Sequence[str | Attribute] | None = None,
    columns: Mapping[str, str] | None = None,
    arms: Sequence[str] | None = None,
    pair_by: str = "seed",
    model: str | None = None,
    expected: Mapping[str, Mapping[str, str]] | None = None,
    progress: bool = True,
) -> Audit:
    """Judge the images of a folder and save the audit in `out`. The images stay where they are, and are only read.

    images: a folder, read with all its folders, or two: {"before": folder, "after": folder} (or "raw" and "mapped", or
    the names in `arms`). prompts: a table (as in :func:`audit_labels`) with the columns ``image``, ``prompt`` and/or
    ``keyword``, and optionally ``arm`` and ``seed``; only images that it names are audited. Without one, a prompt is
    what a tool wrote beside the image (JSON or text of the same name) or into it (text of a PNG), else the name of its
    folder. The keyword is the table's, or the one that the detector finds in the prompt, or the whole prompt; prompts
    that name a group are explicit, not neutral.

    pair_by: "seed" takes images of the same prompt and seed in both arms as a pair; "name" those of the same path in
    both folders, which only you can know to be drawn from the same noise. attributes: as in
    :func:`fairmapping.audit`, by default those of gender and race that the judge knows. model: its name in the report,
    by default the folder's.

    An interrupted call goes on where it stopped. What cannot be used (broken images, other files, images that the
    table does not name) is counted in ``settings["source"]["notes"]``. Raises FileNotFoundError for a missing folder
    or table; ValueError for a folder without images, none that can be read, a table that contradicts itself or names
    none of the images, an attribute that the judge does not know, or another audit in `out`.
    """
    if pair_by not in _PAIRS:
        raise ValueError(f"pair_by is {pair_by!r}; give {' or '.join(map(repr, _PAIRS))}")
    started = time.perf_counter()
    judge, out = load_judge(judge), Path(out)
    if isinstance(attributes, (str, Attribute)):
        attributes = [attributes]
    asked = asked_of(attributes, judge)
    given = dict(images) if isinstance(images, Mapping) else {"raw": images}
    folders = {name: Path(folder).resolve() for name, folder in given.items()}
    of: dict[str, Any] = {"images": {name: str(folder) for name, folder in folders.items()}}
    if isinstance(prompts, (str, os.PathLike)):
        of["prompts"] = str(Path(prompts).resolve())
    place_for(out, of)
    table = None if prompts is None else read_prompts(prompts, columns)
    known, notes = _known(folders, table, out, arms, pair_by, progress)
    rows, more = as_rows(known, list(asked) if attributes is None else attributes, progress=progress)
    with locked(Place(out)):
        judged, broken = _judged(judge, rows, out, progress)
        if broken:
            named = ", ".join(Path(path).name for path in broken[:_NAMED])
            named += f" and {len(broken) - _NAMED:,} more" if len(broken) > _NAMED else ""
            more.append(f"Left out: {count(len(broken), 'image')} that cannot be read ({named}).")
        return saved(
            judged,
            out,
            kind="images",
            of=of,
            notes=[*notes, *more],
            attributes=asked,
            judge=records.describe(judge),
            model=model or " and ".join(folder.name for folder in folders.values()),
            expected=expected_of([row["keyword"] for row in judged], judge) if expected is None else expected,
            seconds=time.perf_counter() - started,
            unreadable=broken,
        )


def _known(
    folders: Mapping[str, Path],
    table: Sequence[Found] | None,
    out: Path,
    arms: Sequence[str] | None,
    pair_by: str,
    progress: bool,
) -> tuple[list[Known], list[str]]:
    """The images of all folders with their arms, and notes on the reading."""
    two = len(folders) > 1
    if len(folders) > 2 or len(set(folders.values())) < len(folders):
        raise ValueError(f"{len(folders)} folders are given; give one, or two that differ: before and after")
    if two and table is not None and any(entry.arm for entry in table):
        raise ValueError("two folders and a column arm both say which arm an image is of; give one of them")
    if arms is not None and table is None and not two:
        raise ValueError("arms say what two folders or a column arm are called; there are neither")
    read = {name: read_folder(folder, table, skip=out, progress=progress) for name, folder in folders.items()}
    found = [one for part in read.values() for one in part.found]
    told = [name if two else one.arm for name, part in read.items() for one in part.found]
    if pair_by == "name":
        found = pair_by_name(found)
    notes = [f"{name}: {note}" if two else note for name, part in read.items() for note in part.notes]
    return [one.known(arm) for one, arm in zip(found, arms_of(told, arms), strict=True)], notes


def _judged(
    judge: Judge, rows: list[dict[str, Any]], out: Path, progress: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """The judged rows, and the images that cannot be read.

    Judging reads every image anyway, so they are all read beforehand only where that has failed: whoever has none that
    is broken does not wait for it, and what was judged by then is kept.
    """
    try:
        return records.judge_images(judge, rows, out, progress=progress), []
    except ValueError:
        broken = _unreadable([row["image"] for row in rows], out, progress)
        if not broken:
            raise
    if len(broken) == len(rows):
        raise ValueError(f"none of the {count(len(rows), 'image')} can be read, such as {broken[0]}")
    left_out = frozenset(broken)
    whole = [row for row in rows if row["image"] not in left_out]
    return records.judge_images(judge, whole, out, progress=progress), broken


def _unreadable(paths: Sequence[str], out: Path, progress: bool) -> list[str]:
    place = Place(out)

    def is_broken(path: str) -> bool:
        try:
            place.image(path)
        except (ValueError, FileNotFoundError):
            return True
        return False

    bar = progress_bar("looking for broken images", len(paths), "images", shown=progress)
    broken = []
    with ThreadPoolExecutor() as pool, bar as advance:
        for path, bad in zip(paths, pool.map(is_broken, paths), strict=True):
            advance(1)
            broken += [path] if bad else []
    return broken
