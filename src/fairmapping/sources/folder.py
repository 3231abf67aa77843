"""The images in a folder, each with what is told of it: by a table, beside it, inside it, or by its folder's name."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..progress import progress_bar
from ..words import count
from .rows import Known
from .tables import TableSource, column, known_columns, read_table, whole_number
from .texts import Told, told_by_json, told_by_png, told_by_text

__all__ = ["Found", "ReadFolder", "pair_by_name", "read_folder", "read_prompts"]

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff")
_BESIDE = (".json", ".txt")  # what tools write beside an image
_NOT_OURS = 8  # endings of other files named in a note


@dataclass(frozen=True)
class Found:
    """An image: its `name` within the folder, where it lies, and what is told of it; None for what is not."""

    name: str
    path: str
    prompt: str | None
    keyword: str | None = None
    arm: str | None = None
    seed: int | None = None

    def known(self, arm: str) -> Known:
        return Known(self.path, arm, self.prompt, self.keyword, self.seed)


@dataclass(frozen=True)
class ReadFolder:
    """The images of a folder that are told of, and in words, what was left out and where the prompts come from."""

    found: list[Found]
    notes: list[str]


def read_prompts(source: TableSource, columns: Mapping[str, str] | None = None) -> list[Found]:
    """The rows of a table of prompts. Raises ValueError for missing columns, or an image with two different rows."""
    table = read_table(source, columns)
    for wanted in (("image",), ("prompt", "keyword")):
        if not any(name in table for name in wanted):
            named = ", or ".join(known_columns(name) for name in wanted)
            raise ValueError(f"no column is called {named}; the table has {', '.join(table.columns)}")
    cells = zip(*(column(table, name) for name in ("image", "prompt", "keyword", "arm", "seed")), strict=True)
    rows = [
        Found(_key(image), "", prompt, keyword, arm, whole_number(seed))
        for image, prompt, keyword, arm, seed in cells
        if image
    ]
    rows = list(dict.fromkeys(rows))
    twice = [name for name, times in Counter(row.name for row in rows).items() if times > 1]
    if twice:
        raise ValueError(f"the table has {twice[0]!r} twice, with different entries; leave one of them out")
    return rows


def read_folder(
    folder: Path, table: Sequence[Found] | None = None, *, skip: Path | None = None, progress: bool = True
) -> ReadFolder:
    """All images below `folder` but those below `skip`, in the order of their names, hidden files left out.

    Raises FileNotFoundError where there is no such folder; ValueError where it holds no image, the table names none of
    them, or a bare name of the table fits several.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; give the one that holds the images")
    entries = None if table is None else {row.name: row for row in table}
    taken: dict[str, str] = {}  # row of the table -> image
    found: list[Found] = []
    unread: list[str] = []
    told_by, others = Counter[str](), Counter[str]()
    with progress_bar("reading the folder", None, "images", shown=progress) as advance:
        for place, names in _walk(folder, skip):
            there = frozenset(names)
            images = [name for name in names if name.lower().endswith(ENDINGS)]
            stems = {Path(name).stem for name in images} | set(images)
            for name in names:
                suffix = Path(name).suffix.lower()
                if suffix not in ENDINGS and not (suffix in _BESIDE and Path(name).stem in stems):
                    others[suffix or "without an ending"] += 1
            for name in images:
                path = place / name
                within = path.relative_to(folder).as_posix()
                advance(1)
                if entries is not None:
                    if (row := _entry(within, folder.name, entries)) is None:
                        told_by["not in the table"] += 1
                        continue
                    if row.name in taken:
                        raise ValueError(
                            f"the table's {row.name!r} fits {taken[row.name]} and {within}; "
                            "write paths within the folder"
                        )
                    taken[row.name] = within
                    found.append(replace(row, name=within, path=str(path)))
                    continue
                source, told = _told(path, there, unread)
                told_by[source] += 1
                found.append(Found(within, str(path), told.prompt, seed=told.seed))
    if not found and not told_by:
        instead = f"; it holds {_listed(others)}" if others else ", nor anything else"
        raise ValueError(f"{folder} holds no image ({', '.join(ENDINGS)}){instead}")
    if not found:
        raise ValueError(
            f"the table names none of the {count(told_by['not in the table'], 'image')} in {folder}; its column of "
            f"images begins with {next(iter(entries or ['']))!r}: write paths within the folder, or names of files"
        )
    return ReadFolder(found, _notes(told_by, others, unread, len(entries or ()) - len(taken)))


def pair_by_name(found: Sequence[Found]) -> list[Found]:
    """Images of the same name within both folders get one seed, whatever else was told."""
    number = {name: i for i, name in enumerate(dict.fromkeys(_key(one.name) for one in found))}
    return [replace(one, seed=number[_key(one.name)]) for one in found]


def _walk(folder: Path, skip: Path | None) -> Iterator[tuple[Path, list[str]]]:
    left_out = None if skip is None else skip.resolve()
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and here / name != left_out)
        yield here, sorted(name for name in names if not name.startswith("."))


def _key(name: str) -> str:
    """A path in one form, whoever wrote it: forward slashes, letters composed with their accents (macOS parts them)."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./").lstrip("/")


def _entry(within: str, folder: str, entries: Mapping[str, Found]) -> Found | None:
    """The table's row of an image: by its path within the folder, with the folder's own name before it, or by its
    name alone, with its ending or without."""
    path = PurePosixPath(_key(within))
    names = (path, PurePosixPath(_key(folder)) / path, path.name, path.with_suffix(""), path.stem)
    return next((entries[str(name)] for name in names if str(name) in entries), None)


def _told(path: Path, there: frozenset[str], unread: list[str]) -> tuple[str, Told]:
    """Where the prompt of an image is told, and what. A file beside it that cannot be read goes to `unread`."""
    for suffix, read in ((".json", told_by_json), (".txt", told_by_text)):
        for name in (f"{path.stem}{suffix}", f"{path.name}{suffix}"):
            if name in there:
                try:
                    if told := read(path.with_name(name)):
                        return f"told by a {suffix} file beside them", told
                except (ValueError, OSError):
                    unread.append(name)
    if path.suffix.lower() == ".png" and (told := told_by_png(path)):
        return "told by the text in them", told
    words = " ".join(path.parent.name.replace("_", " ").replace("-", " ").split())
    return "taken from the name of their folder", Told(words)


def _notes(told_by: Counter[str], others: Counter[str], unread: Sequence[str], unused: int) -> list[str]:
    outside = told_by.pop("not in the table", 0)
    notes = [f"Images with a prompt {source}: {n:,}." for source, n in told_by.most_common()]
    if outside:
        notes.append(f"Left out: {count(outside, 'image')} that the table does not name.")
    if unused > 0:
        notes.append(f"Without an image here: {count(unused, 'row')} of the table.")
    if unread:
        notes.append(f"Not to be read: {count(len(unread), 'file')} beside images, such as {unread[0]}.")
    if others:
        notes.append(f"Left out: {count(sum(others.values()), 'file')} of other kinds ({_listed(others)}).")
    return notes


def _listed(endings: Counter[str]) -> str:
    named = [f"{n:,} {ending}" for ending, n in endings.most_common(_NOT_OURS)]
    return ", ".join(named) + (" and others" if len(endings) > _NOT_OURS else "")
