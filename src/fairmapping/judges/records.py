"""A judge's answers as Parquet: a small file for each lot as it is judged, so that an interrupted run goes on where it
stopped, and in the end one file of all rows, which is what an audit is read from."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import tables
from ..lock import locked
from ..progress import progress_bar
from ..store import Place
from . import Judge

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

__all__ = ["ASKED", "answered", "columns", "describe", "file_of", "judge_images", "parts_of", "read", "write"]

ASKED = ("image", "arm", "prompt", "keyword", "template", "groups", "seed", "assigned", "mapped")  # of a Row
_CHUNK = 64  # images between two writes: at most this many are judged again after an interruption


def describe(judge: Judge) -> dict[str, Any]:
    """The judge as plain JSON: name, attributes with their groups, card."""
    groups = {name: list(names) for name, names in judge.attributes.items()}
    return json.loads(json.dumps({"name": judge.name, "attributes": groups, "card": judge.card}, default=str))


def file_of(described: Mapping[str, Any]) -> str:
    """Where all answers of a judge lie within a run; each judge has its own file, so that one does not overwrite
    another."""
    return f"judgements/{_plain_name(described)}.parquet"


def parts_of(described: Mapping[str, Any]) -> str:
    """The folder of what this very version of a judge answered so far."""
    return f"judgements/{_plain_name(described)}-{_digest(described)}"


def columns(asked: Iterable[str], described: Mapping[str, Any]) -> pa.Schema:
    """Of judged rows with these columns before they were judged."""
    answers = [name for attribute in described["attributes"] for name in (attribute, f"{attribute}_p")]
    return tables.schema([*asked, "bytes", "faces", *answers])


def answered(judge: Judge, rows: Sequence[Mapping[str, Any]], images: Sequence[Image]) -> list[dict[str, Any]]:
    """The rows of these images with the judge's answers: faces, and for each attribute its group (None without a face)
    and ``<attribute>_p``, its probability."""
    judgements = judge(images)
    if len(judgements) != len(rows):
        raise ValueError(
            f"the judge {judge.name!r} gave {len(judgements)} judgements for {len(rows)} images; it must give one each"
        )
    found = []
    for row, judgement in zip(rows, judgements, strict=True):
        record = dict(row) | {"faces": judgement.faces}
        for attribute in judge.attributes:
            label = judgement.label(attribute)
            sure = None if label is None else round(float(judgement.probabilities[attribute][label]), 4)
            record |= {attribute: label, f"{attribute}_p": sure}
        found.append(record)
    return found


def judge_images(
    judge: Judge, images: Sequence[Mapping[str, Any]], folder: str | os.PathLike[str] | Place, *, progress: bool = True
) -> list[dict[str, Any]]:
    """Judge every row of `images` (their "image" is a path within `folder`) and return the rows with the answers, in
    the same order; the judge's file of all answers is written.

    Images that this very judge answered before, and that have not changed since, are not judged again.
    """
    place, described = Place(folder), describe(judge)
    with locked(place):
        lots = f"{parts_of(described)}-lots"
        known, sizes = _known(place, described, lots), [place.size(row["image"]) for row in images]
        result: list[dict[str, Any]] = []
        for row, size in zip(images, sizes, strict=True):
            if size is None:
                raise FileNotFoundError(
                    f"the image {place}/{row['image']} is gone, so it cannot be judged; generate it again"
                )
            answer = known.get(row["image"], {})
            same = answer.get("bytes") == size and answer.get("prompt") == row.get("prompt")
            # What is said of an image now, and what was judged then.
            result.append(dict(row) | {name: answer[name] for name in answer if name not in row} if same else {})
        todo = [index for index, row in enumerate(result) if not row]
        kept = columns(dict.fromkeys(name for row in images for name in row), described)
        with progress_bar(f"judging ({judge.name})", len(todo), "images", shown=progress and bool(todo)) as advance:
            for start in range(0, len(todo), _CHUNK):
                chunk = todo[start : start + _CHUNK]
                rows = [dict(images[index]) | {"bytes": sizes[index]} for index in chunk]
                new = answered(judge, rows, [place.image(row["image"]) for row in rows])
                listed = "\n".join(f"{row['image']} {row['bytes']}" for row in rows)
                name = hashlib.sha256(listed.encode()).hexdigest()[:16]
                place.write(f"{lots}/{name}.parquet", tables.encode(new, kept))
                for index, record in zip(chunk, new, strict=True):
                    result[index] = record
                advance(len(chunk))
        if result:
            write(place, described, [tables.decode(tables.encode(result, kept), "the answers")])
        place.remove(lots)
    return result


def read(place: Place, described: Mapping[str, Any]) -> pa.Table:
    """All answers of this very version of a judge.

    Raises FileNotFoundError where there are none, ValueError where they are damaged or of another version.
    """
    name = file_of(described)
    try:
        table = tables.decode(place.read(name), f"{place}/{name}")
    except FileNotFoundError as error:
        old = place.exists(name.removesuffix(".parquet") + ".jsonl")
        why = "it was written before rows were Parquet; audit into another folder" if old else _AGAIN
        raise FileNotFoundError(f"{place} holds no {name}: {why}") from error
    except ValueError as error:
        raise ValueError(f"{error}: {_AGAIN}") from error
    if tables.about(table).get("digest") != _digest(described):
        raise ValueError(f"{place}/{name} is of another version of the judge: {_AGAIN}")
    return table


_AGAIN = "the same call of audit() writes it again, and draws and judges nothing twice"


def write(place: Place, described: Mapping[str, Any], answers: Iterable[pa.Table]) -> int:
    """Write all answers of a judge, whole or not at all, and return how many rows they are."""
    about = {"judge": described["name"], "digest": _digest(described)}
    return tables.write_all(place, file_of(described), answers, about)


def _known(place: Place, described: Mapping[str, Any], lots: str) -> dict[str, dict[str, Any]]:
    """image -> its row, of what this version of the judge answered there and can be read."""
    known: dict[str, dict[str, Any]] = {}
    for name in [file_of(described), *place.names(lots)]:
        try:
            table = read(place, described) if name == file_of(described) else tables.decode(place.read(name), name)
        except (ValueError, FileNotFoundError):
            continue
        known |= {row["image"]: row for row in tables.rows_of(table)}
    return known


def _plain_name(described: Mapping[str, Any]) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", described["name"])


def _digest(described: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
