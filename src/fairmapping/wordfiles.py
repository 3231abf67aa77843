"""Word lists in files: .txt, .csv, .json and .toml, as people and spreadsheets write them, and words made clean."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "KEYWORD_COLUMNS",
    "attribute_rows",
    "clean",
    "keywords_of_file",
    "number",
    "read_csv",
    "read_table",
    "read_toml",
    "refuse_repeats",
    "singular",
]

KEYWORD_COLUMNS = ("keyword", "occupation", "emotion", "concept")


def keywords_of_file(path: Path) -> list[Any]:
    suffix = path.suffix.lower()
    if suffix == ".txt":
        # A comment begins a line or follows a space: "C# developer" is a keyword.
        lines = (re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip() for line in _read_text(path).splitlines())
        return [line for line in lines if line]
    if suffix == ".csv":
        rows = read_csv(path)
        header = [cell.strip().casefold() for cell in rows[0]] if rows else []
        column = next((header.index(name) for name in KEYWORD_COLUMNS if name in header), None)
        if column is not None:
            return [row[column] if column < len(row) else "" for row in rows[1:]]
        if len(header) > 1:
            raise ValueError(f"{path} has the columns {', '.join(header)}; name the one with the keywords 'keyword'")
        return [row[0] for row in rows]
    table = read_table(path)
    if isinstance(table, Mapping):
        table = table.get("keywords")
    if not isinstance(table, list):
        raise ValueError(f'{path} holds no list of keywords; write keywords = ["doctor", "nurse"]')
    return table


def attribute_rows(path: Path) -> dict[str, dict[str, list[str]]]:
    rows = read_csv(path)
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    if not {"attribute", "group", "word"} <= set(header):
        raise ValueError(f"{path} must have the columns attribute, group and word, got: {', '.join(header) or 'none'}")
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows[1:]:
        cells = dict(itertools.zip_longest(header, (cell.strip() for cell in row), fillvalue=""))
        found.setdefault(cells["attribute"], {}).setdefault(cells["group"], []).append(cells["word"])
    return found


def read_table(path: Path) -> Any:
    """The content of a JSON or TOML file."""
    if path.suffix.lower() == ".toml":
        return read_toml(path)
    if path.suffix.lower() != ".json":
        raise ValueError(f"cannot read {path}: the ending is {path.suffix or 'missing'}; use .csv, .json or .toml")
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error


def read_csv(path: Path) -> list[list[str]]:
    """The rows that hold something; commas, or the semicolons or tabs that spreadsheets also write, part the cells."""
    text = _read_text(path)
    first = text.partition("\n")[0]
    delimiter = next((mark for mark in (",", ";", "\t") if mark in first), ",")
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} is not a valid CSV file: {error}") from error
    return [row for row in rows if any(cell.strip() for cell in row)]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte-order mark
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}: {error.reason}); save it as such") from error


def number(cell: str, where: str) -> float | None:
    """The number in a cell; None for an empty one and for the dashes that tables put where they have no figure."""
    text = cell.removesuffix("%").strip()
    if text.casefold() in ("", "-", "\N{EN DASH}", "\N{EM DASH}", "n/a", "na"):
        return None
    try:
        value = float(re.sub(r"^(\d+),(\d+)$", r"\1.\2", text))  # a decimal comma
    except ValueError:
        raise ValueError(f"{where}: {cell!r} is not a number") from None
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{where}: a number must be 0 or more, got {cell}")
    return value


def clean(value: Any, what: str) -> str:
    """`value` with single spaces, refused when it is not text or there is nothing to read in it."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, got {type(value).__name__} {value!r}")
    text = " ".join(value.split())
    if not text:
        raise ValueError(f"{what} is empty")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError(f"{what} holds a control character: {text[:40]!r}")
    return text


def refuse_repeats(names: Sequence[str], what: str) -> None:
    seen: dict[str, int] = {}
    for i, name in enumerate(names, 1):
        first = seen.setdefault(name.casefold(), i)
        if first != i:
            raise ValueError(f"{what} {name!r} is given twice (as number {first} and number {i}); keep one")


def singular(text: str) -> str:
    """Lower case, single spaces, and the last word in the singular, as far as its ending tells."""
    text = " ".join(text.casefold().replace("_", " ").split())
    for plural, ending in (
        ("men", "man"),
        ("ies", "y"),
        ("sses", "ss"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("xes", "x"),
    ):
        if text.endswith(plural):
            return text.removesuffix(plural) + ending
    return text if text.endswith(("ss", "us", "is")) else text.removesuffix("s")
