"""Tables as other people write them: CSV of any spreadsheet, JSON lines, Parquet, or a DataFrame; every cell a string
or None."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

__all__ = ["TableSource", "column", "known_columns", "read_table", "whole_number"]

TableSource: TypeAlias = str | os.PathLike[str] | pd.DataFrame

_NAMES = {  # what a column is called elsewhere
    "image": ("image", "file_name", "filename", "file", "path", "image_path", "image_id", "id"),
    "prompt": ("prompt", "caption", "text"),
    "keyword": ("keyword", "occupation", "profession", "concept"),
    "arm": ("arm", "condition"),
    "seed": ("seed",),
    "annotator": ("annotator", "annotator_id", "rater", "worker", "worker_id", "worker id"),
    "faces": ("faces",),
}


def read_table(source: TableSource, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The table with its columns under our names (image, prompt, keyword, arm, seed, annotator, faces and whatever else
    there is), cells stripped, empty ones None.

    columns: our name -> the table's, where it is none that we know. Raises FileNotFoundError for a missing file,
    ValueError for one that cannot be read, has no rows, or lacks a column that `columns` names.
    """
    table = source.copy() if isinstance(source, pd.DataFrame) else _of_file(Path(source))
    where = "the table" if isinstance(source, pd.DataFrame) else str(source)
    if not len(table):
        raise ValueError(f"{where} has no rows")
    table.columns = [str(name).strip().casefold() for name in table.columns]
    if len(set(table.columns)) < len(table.columns):
        raise ValueError(f"{where} has two columns of one name; it has {', '.join(table.columns)}")
    given = {name: str(theirs).strip().casefold() for name, theirs in (columns or {}).items()}
    if missing := [theirs for theirs in given.values() if theirs not in table.columns]:
        raise ValueError(f"{where} has no column {missing[0]!r}; it has {', '.join(table.columns)}")
    for name, theirs in given.items():
        table[name] = table[theirs]
    for name, others in _NAMES.items():
        if name not in table and (found := next((other for other in others if other in table), None)):
            table[name] = table[found]
    # As objects, or pandas would make a column of strings, with nan for None.
    return pd.DataFrame({name: pd.Series([_cell(cell) for cell in table[name]], dtype=object) for name in table})


def column(table: pd.DataFrame, name: str) -> list[str | None]:
    """The cells of a column, None throughout where there is no such column."""
    return list(table[name]) if name in table else [None] * len(table)


def known_columns(name: str) -> str:
    """What a column may be called, for a message."""
    return " or ".join(_NAMES[name])


def whole_number(text: Any) -> int | None:
    """7 of 7, "7" and "7.0"; None for all but whole numbers from 0 up (a seed of -1 says "random" in many tools)."""
    try:
        number = int(text)  # first, as a seed can have more digits than a float holds
    except (TypeError, ValueError, OverflowError):
        try:
            number = int(float(text)) if float(text).is_integer() else -1
        except (TypeError, ValueError, OverflowError):
            return None
    return number if number >= 0 else None


def _of_file(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path)
        if suffix in (".jsonl", ".ndjson"):
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            # Objects, as a seed of 64 bits does not survive a column of floats.
            return pd.DataFrame([json.loads(line) for line in lines if line.strip()], dtype=object)
        if suffix in (".csv", ".tsv"):
            with path.open(encoding="utf-8-sig") as file:
                head = file.readline()
            between = "\t" if suffix == ".tsv" else max(",;\t", key=head.count)
            # Every cell as it is written: pandas would read "None" and "NA" as missing.
            return pd.read_csv(path, sep=between, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8 ({error.reason}); save it again as UTF-8") from error
    except ImportError as error:
        raise ModuleNotFoundError(f"{path} needs pyarrow to be read: pip install pyarrow, or give a CSV") from error
    except (ValueError, OSError) as error:  # pyarrow's errors are of both kinds
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} cannot be read as a table ({error})") from error
    raise ValueError(f"{path} is no table: the ending is {suffix or 'missing'}; use .csv, .tsv, .jsonl or .parquet")


def _cell(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and value != value) or value is pd.NaT or value is pd.NA:
        return None
    return str(value).strip() or None
