"""Judging a folder of images: one JSON line an image, appended as they are judged, so that an interrupted run goes on
where it stopped."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..progress import progress_bar
from ..runs import read_image, write_text
from . import Judge

__all__ = ["describe", "file_of", "judge_images", "read", "write"]

_CHUNK = 64  # images between two writes: at most this many are judged again after an interruption


def describe(judge: Judge) -> dict[str, Any]:
    """The judge as plain JSON: name, attributes with their groups, card."""
    groups = {name: list(names) for name, names in judge.attributes.items()}
    return json.loads(json.dumps({"name": judge.name, "attributes": groups, "card": judge.card}, default=str))


def file_of(folder: Path, described: Mapping[str, Any]) -> Path:
    """Where a judge's answers live in a run folder; each judge has its own file, so that one does not overwrite
    another."""
    return folder / "judgements" / (re.sub(r"[^A-Za-z0-9._-]+", "-", described["name"]) + ".jsonl")


def judge_images(
    judge: Judge, images: Sequence[Mapping[str, Any]], folder: Path, *, progress: bool = True
) -> list[dict[str, Any]]:
    """Judge every row of `images` (their "image" is a path within `folder`) and return the rows with the answers, in
    the same order.

    Added keys: faces, and for each attribute of the judge its group (None without a face) and ``<attribute>_p``, its
    probability. Images that this very judge answered before, and that have not changed since, are not judged again.
    """
    described = describe(judge)
    path = file_of(folder, described)
    known: dict[str, dict[str, Any]] = {}
    if path.exists():
        found, records = read(path)
        known = {record["image"]: record for record in records} if found == _header(described) else {}
    sizes = [_size(folder, row["image"]) for row in images]
    answers = [known.get(row["image"], {}) for row in images]
    done = [
        answer.get("bytes") == size and answer.get("prompt") == row["prompt"]
        for row, answer, size in zip(images, answers, sizes, strict=True)
    ]
    result = [  # what is said of an image now, and what was judged then
        dict(row) | {name: value for name, value in answer.items() if name not in row} if ready else {}
        for row, answer, ready in zip(images, answers, done, strict=True)
    ]
    write(path, described, known.values())  # drops a torn last line, or all that another version of the judge said
    todo = [index for index, ready in enumerate(done) if not ready]
    bar = progress_bar(f"judging ({judge.name})", len(todo), "images", shown=progress and bool(todo))
    with path.open("a", encoding="utf-8") as log, bar as advance:
        for start in range(0, len(todo), _CHUNK):
            chunk = todo[start : start + _CHUNK]
            judgements = judge([read_image(folder / images[index]["image"]) for index in chunk])
            if len(judgements) != len(chunk):
                raise ValueError(
                    f"the judge {judge.name!r} gave {len(judgements)} judgements for {len(chunk)} images; "
                    "it must give one each"
                )
            for index, judgement in zip(chunk, judgements, strict=True):
                record = dict(images[index]) | {"bytes": sizes[index], "faces": judgement.faces}
                for attribute in judge.attributes:
                    label = judgement.label(attribute)
                    record[attribute] = label
                    record[f"{attribute}_p"] = (
                        None if label is None else round(float(judgement.probabilities[attribute][label]), 4)
                    )
                result[index] = record
                log.write(json.dumps(record) + "\n")
            log.flush()
            advance(len(chunk))
    return result


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and rows of a file of judgements. A last line that an interruption tore is left out; any other broken
    line raises ValueError."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(
                    f"line {number} of {path} is not JSON ({error.msg}): delete the file to judge the images again"
                ) from error
    return (rows[0], rows[1:]) if rows else ({}, [])


def write(path: Path, described: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a judge's answers, whole or not at all."""
    write_text(path, "".join(json.dumps(line) + "\n" for line in (_header(described), *rows)))


def _header(described: Mapping[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
    return {"judge": described["name"], "digest": digest}


def _size(folder: Path, image: str) -> int:
    try:
        return (folder / image).stat().st_size
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"the image {folder / image} is gone, so it cannot be judged; generate it again"
        ) from error
