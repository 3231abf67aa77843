"""A table of labels that somebody gave, as an Audit: of one annotator, or of several whose majority counts."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..lists import attributes as packaged
from ..lock import locked
from ..prompts import Attribute, AttributeSource, resolve_attributes
from ..results import Audit
from ..store import Place
from ..words import count
from .rows import Known, arms_of, as_rows
from .saved import place_for, saved
from .tables import TableSource, column, known_columns, read_table, whole_number
from .votes import NO_AGREEMENT, NO_LABEL, Votes, agreement, majority, votes_of

__all__ = ["audit_labels"]

NO_FACE = "no face"
OTHER = "other"
_SHOWN = 8  # values that are no groups, named in a note


def audit_labels(
    labels: TableSource,
    *,
    out: str | os.PathLike[str],
    attributes: AttributeSource | None = None,
    images: str | os.PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    arms: Sequence[str] | None = None,
    model: str | None = None,
    expected: Mapping[str, Mapping[str, str]] | None = None,
    progress: bool = True,
) -> Audit:
    """An audit of labels that somebody else gave, saved in `out`; no picture is looked at.

    labels: a CSV, TSV, JSON lines or Parquet file, or a DataFrame. Its columns: ``prompt`` and/or ``keyword``; one for
    each attribute, with names of groups or their other words ("woman" for female), whatever their case; optionally
    ``image`` (a name or id; without it every row is an image), ``annotator`` (several rows an image: their agreement is
    Krippendorff's alpha, and the label that most of them give counts), ``arm`` (raw and mapped, before and after, or
    the two names in `arms`), ``seed`` (the same prompt and seed in both arms are a pair) and ``faces``. columns: our
    name -> the table's, where it has another.

    attributes: as :func:`fairmapping.prompts.resolve_attributes` takes them; by default those of gender and race that
    are columns. Their groups are what K counts. Every other value is counted as "other", a tie of annotators as "no
    agreement", an empty cell as "no label", and "no face" as an image without one: none is dropped, and notes tell how
    many there are. images: the folder that the images lie in, so that the report can show them. model: its name in the
    report, by default the table's. expected: as in :func:`fairmapping.audit`.

    Raises FileNotFoundError for a missing table; ValueError for one that cannot be read or lacks columns, for an image
    with two prompts, or labelled twice by the same annotator (or by nobody named) in two ways, or where another audit
    is in `out`.
    """
    started = time.perf_counter()
    table = read_table(labels, columns)
    name = "a DataFrame" if isinstance(labels, pd.DataFrame) else str(Path(labels).resolve())
    asked = _asked(table, attributes)
    of = {"labels": name}
    place_for(Path(out), of)
    table["arm"] = arms_of(column(table, "arm"), arms)
    has_images = "image" in table
    if not has_images:
        table["image"] = [f"row {number + 1}" for number in range(len(table))]
    table, notes = _without_repeats(table, [item.name for item in asked]) if has_images else (table, [])
    units, place = _units(table)
    known = _known(units, images)
    rows, more = as_rows(known, asked, progress=progress)
    answers, groups, agreed = _judged(table, units, place, asked, notes, progress)
    said = {(one.image, one.arm): answer for one, answer in zip(known, answers, strict=True)}
    annotators = len(set(column(table, "annotator")) - {None})
    who = count(annotators, "annotator") if annotators else "whoever made the table"
    short = Path(name).name if name != "a DataFrame" else name
    card = {"domain": f"labels that others gave, read from {short}: {who}", "caution": _caution(agreed, annotators)}
    with locked(Place(out)):
        return saved(
            [row | said[row["image"], row["arm"]] for row in rows],
            Path(out),
            kind="labels",
            of=of,
            notes=[*notes, *more],
            attributes={item.name: item.group_names for item in asked},
            judge={"name": f"labels of {short}", "attributes": groups, "card": card},
            model=model or Path(short).stem,
            expected=expected or {},
            seconds=time.perf_counter() - started,
            annotators=annotators,
            agreement=agreed,
        )


def _asked(table: pd.DataFrame, attributes: AttributeSource | None) -> list[Attribute]:
    if attributes is None:
        attributes = [name for name in packaged() if name in table]
        if not attributes:
            raise ValueError(
                f"no column is called {' or '.join(packaged())}; the table has {', '.join(table.columns)}: say which "
                "attributes to read, or what their columns are called"
            )
    asked = resolve_attributes(attributes)
    lacking = [item.name for item in asked if item.name.casefold() not in table]
    if lacking:
        raise ValueError(f"there is no column {lacking[0]!r}; the table has {', '.join(table.columns)}")
    for item in asked:
        table[item.name] = table[item.name.casefold()]
    if "prompt" not in table and "keyword" not in table:
        raise ValueError(
            f"no column is called {known_columns('prompt')}, or {known_columns('keyword')}; "
            f"the table has {', '.join(table.columns)}"
        )
    return asked


def _without_repeats(table: pd.DataFrame, attributes: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Each annotator's word on an image once. Raises ValueError where they gave two, or the image has two prompts."""
    notes = []
    if nameless := int(table["image"].isna().sum()):
        notes.append(f"Left out: {count(nameless, 'row')} without an image.")
        table = table[table["image"].notna()]
    told = [name for name in ("annotator", "prompt", "keyword", "seed", "faces") if name in table]
    key = ["image", "arm", *([] if "annotator" not in table else ["annotator"])]
    once = table.drop_duplicates(["image", "arm", *told, *attributes])
    if len(once) < len(table):
        notes.append(f"Counted once: {count(len(table) - len(once), 'row')} given again, word for word.")
    for name in ("prompt", "keyword", "seed"):
        if name in once:
            different = once.groupby(["image", "arm"])[name].nunique(dropna=False)
            if (different > 1).any():
                image = different.index[(different > 1).to_numpy()][0][0]
                raise ValueError(f"the image {image!r} has more than one {name}; an image has one in each arm")
    again = once.duplicated(key)
    if again.any():
        image = once.loc[again, "image"].iloc[0]
        whose = "a column annotator says whose each label is" if "annotator" not in table else "by one annotator"
        raise ValueError(f"the image {image!r} is labelled twice, in two ways: {whose}; leave one of the rows out")
    return once.reset_index(drop=True), notes


def _units(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """One row an image and arm, and for each row of the table which it belongs to."""
    keys = pd.MultiIndex.from_frame(table[["arm", "image"]])
    place, _ = pd.factorize(keys)
    first = table.iloc[pd.Series(place).drop_duplicates().index]
    return first.reset_index(drop=True), place


def _known(units: pd.DataFrame, images: str | os.PathLike[str] | None) -> list[Known]:
    cells = zip(*(column(units, name) for name in ("image", "arm", "prompt", "keyword", "seed")), strict=True)
    root = None if images is None else Path(images).resolve()
    if root is not None and not root.is_dir():
        raise FileNotFoundError(f"{images} is no folder; give the one that the images lie in")
    return [
        Known(str(image) if root is None else str(root / str(image)), str(arm), prompt, keyword, whole_number(seed))
        for image, arm, prompt, keyword, seed in cells
    ]


def _judged(
    table: pd.DataFrame,
    units: pd.DataFrame,
    place: np.ndarray,
    asked: Sequence[Attribute],
    notes: list[str],
    progress: bool,
) -> tuple[list[dict[str, Any]], dict[str, list[str]], dict[str, Any]]:
    """For each unit what was said of it; the values there are of each attribute; how far annotators agree. What is
    counted apart goes to `notes`."""
    found: dict[str, np.ndarray] = {}
    groups, agreed = {}, {}
    for item in asked:
        votes = votes_of(place, _in_groups(table[item.name], item, notes), len(units))
        found[item.name] = majority(votes)
        if (votes.counts.sum(1) > 1).any():
            agreed[item.name] = _agreed(votes, progress)
        for value, what in ((NO_AGREEMENT, "on which annotators tie"), (NO_LABEL, "that nobody labelled")):
            if n := int((found[item.name] == value).sum()):
                notes.append(f"Counted as “{value}”: {count(n, 'image')} {what} in {item.name}.")
    faces = _faces(table, place, len(units), found)
    for item in asked:
        labels = found[item.name]
        labels[faces == 0] = None
        extra = [value for value in dict.fromkeys(labels) if value is not None and value not in item.group_names]
        groups[item.name] = [*item.group_names, *extra]
    answers = []
    for i in range(len(units)):
        answer: dict[str, Any] = {"faces": int(faces[i])}
        for name, labels in found.items():
            answer |= {name: labels[i], f"{name}_p": None}
        answers.append(answer)
    return answers, groups, agreed


def _in_groups(labels: pd.Series, attribute: Attribute, notes: list[str]) -> pd.Series:
    """Names of groups for all their words, "no face", and "other" for any other value."""
    words = {word.casefold(): group.name for group in attribute.groups for word in group.words}
    words |= {group.name.casefold(): group.name for group in attribute.groups}
    read = {value: words.get(value.casefold(), _plain(value)) for value in labels.dropna().unique()}
    unknown = Counter(labels[labels.map(read) == OTHER].tolist())
    if unknown and OTHER not in attribute.group_names:
        named = [f"{value} ({n:,})" for value, n in unknown.most_common(_SHOWN)]
        more = f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
        notes.append(
            f"Counted as “{OTHER}”: {count(sum(unknown.values()), 'label')} of {attribute.name} naming none of its "
            f"groups ({', '.join(attribute.group_names)}): {', '.join(named)}{more}."
        )
    return labels.map(read).astype(object).where(labels.notna(), None)


def _plain(value: str) -> str:
    words = " ".join(value.casefold().replace("_", " ").replace("-", " ").split())
    return NO_FACE if words in (NO_FACE, "noface", "no person") else OTHER


def _faces(table: pd.DataFrame, place: np.ndarray, n: int, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n,) faces in each image: the most that anybody counted, in the column of that name; else 0 where every attribute
    says "no face", and 1."""
    if "faces" in table:
        counted = [whole_number(cell) for cell in table["faces"]]
        known = np.array([value is not None for value in counted])
        most = np.full(n, -1)
        np.maximum.at(most, place[known], [value for value in counted if value is not None])
        return np.where(most < 0, 1, most)
    return np.where(np.all([labels == NO_FACE for labels in found.values()], axis=0), 0, 1)


def _agreed(votes: Votes, progress: bool) -> dict[str, Any]:
    alpha = agreement(votes, progress=progress)
    values = {"alpha": alpha.value, "low": alpha.low, "high": alpha.high}
    return {name: None if np.isnan(value) else round(value, 4) for name, value in values.items()} | {"images": alpha.n}


def _caution(agreed: Mapping[str, Mapping[str, Any]], annotators: int) -> str:
    if not agreed:
        return "every image has the labels of one annotator at the most, so how far people agree on them is not known"
    parts = []
    for name, found in agreed.items():
        if found["alpha"] is None:
            parts.append(f"not to be told for {name}, as all labels are one value")
            continue
        ends = "" if found["low"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]"
        over = f"over {count(found['images'], 'image')} with two or more labels"
        parts.append(f"{found['alpha']:.2f}{ends} for {name} {over}")
    who = f"{annotators} annotators" if annotators else "the annotators"
    return f"Krippendorff's alpha of {who} is {', '.join(parts)}; 1 is full agreement, 0 what chance would give"
