"""Accuracy cards: what a judge got right on labelled photographs, as JSON that corrects its shares later.

``make_card`` reads a CSV with the columns image, face (yes or no, optional) and one for each attribute, with the group
that a person sees or nothing where none can be told; ``read_card`` checks a card against the judge that is to carry it.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics import correct_counts, wilson
from ..store import write_text
from . import confusion, records

if TYPE_CHECKING:
    from . import Judge

__all__ = ["make_card", "measured", "read_card", "read_labels"]

CAUTION = "It reads what a picture shows: perceived attributes, never anyone's identity."
_FACE = {"yes": True, "no": False, "": None}


def make_card(
    judge: Judge,
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    domain: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Have `judge` judge the images that the CSV `labels` names in the folder `images`, write what it got right to
    `out`, and return it.

    domain: a sentence on what is in the pictures, printed wherever the card is used. An interrupted call goes on where
    it stopped; answers are kept beside `out`. Raises ValueError, with the line, for a table that does not fit the
    judge; FileNotFoundError for an image that is not there; RuntimeError where another process makes this card.
    """
    folder, out = Path(images), Path(out)
    rows = read_labels(Path(labels), folder, judge.attributes)
    work = out.with_suffix(".judged")
    asked = [{"image": str((folder / row["image"]).resolve()), "prompt": ""} for row in rows]
    judged = records.judge_images(judge, asked, work, progress=progress)
    card = {
        "judge": judge.name,
        "domain": domain or f"the {len(rows)} images labelled in {Path(labels).name}",
        "caution": CAUTION,
        "made": datetime.now(timezone.utc).date().isoformat(),
    } | measured(rows, judged, judge.attributes)
    write_text(out, json.dumps(card, indent=1) + "\n")
    return card


def measured(
    rows: Sequence[Mapping[str, Any]], judged: Sequence[Mapping[str, Any]], attributes: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The figures of a card, from labels and answers in the same order: plain JSON.

    ``faces`` counts answers; ``face`` sets them beside what a person sees. ``confusion``: rows the labelled group,
    columns the judged one, of images with an answer. Where it cannot correct shares (a group never tried, or not told
    from the others) it stands in ``not_corrected`` with the reason, so that an audit gives raw shares and does not
    fail. ``unanswered`` counts labelled images without an answer. ``recall`` and ``accuracy`` are shares of the
    answered, each with Wilson's interval and its n.
    """
    counts = Counter("none" if row["faces"] == 0 else "one" if row["faces"] == 1 else "several" for row in judged)
    card: dict[str, Any] = {
        "images": len(rows),
        "attributes": {},
        "faces": {answer: counts[answer] for answer in ("none", "one", "several")},
    }
    known = [
        (row["face"], answer["faces"] > 0) for row, answer in zip(rows, judged, strict=True) if row["face"] is not None
    ]
    if known:
        table = [[known.count((true, said)) for said in (False, True)] for true in (False, True)]
        card["face"] = {"rows": ["nobody", "face"], "columns": ["said nobody", "said face"], "counts": table}
        card["face_found"] = share(table[1][1], sum(table[1]))
    for name in ("confusion", "not_corrected", "unanswered", "recall", "accuracy"):
        card[name] = {}
    for attribute, groups in attributes.items():
        pairs = [
            (row[attribute], answer[attribute]) for row, answer in zip(rows, judged, strict=True) if row.get(attribute)
        ]
        if not pairs:
            continue
        matrix = [[pairs.count((true, said)) for said in groups] for true in groups]
        card["attributes"][attribute] = list(groups)
        try:
            correct_counts([1.0] * len(groups), matrix)
            card["confusion"][attribute] = matrix
        except ValueError as error:
            card["not_corrected"][attribute] = {"counts": matrix, "why": str(error)}
        card["unanswered"][attribute] = {group: pairs.count((group, None)) for group in groups}
        card["recall"][attribute] = {
            group: share(matrix[i][i], sum(matrix[i])) for i, group in enumerate(groups) if sum(matrix[i])
        }
        card["accuracy"][attribute] = share(int(np.trace(matrix)), int(np.sum(matrix)))
    return card


def share(k: int, n: int) -> dict[str, float]:
    """A share of k in n with its interval, ready for JSON."""
    low, high = wilson(k, n)
    return {"value": round(k / n, 4) if n else 0.0, "low": round(float(low), 4), "high": round(float(high), 4), "n": n}


def read_labels(path: Path, folder: Path, attributes: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The rows of a CSV of labels: image (relative to `folder`), face (True, False, or None where not said), and for
    each attribute that has a column its group or None."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error}); save it as CSV in UTF-8") from error
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        unknown = [name for name in columns if name not in ("image", "face", *attributes)]
        if "image" not in columns or unknown or len(set(columns)) < len(columns):
            named = ", ".join(map(repr, columns))
            raise ValueError(
                f"line 1 of {path}: the columns are {named[:200] or 'missing'}; give image, "
                f"optionally face (yes or no), and what the judge judges: {', '.join(attributes)}"
            )
        asked = [name for name in columns if name in attributes]
        rows: list[dict[str, Any]] = []
        seen: dict[str, int] = {}
        for row in reader:
            line = f"line {reader.line_num} of {path}"
            if None in row or None in row.values():
                raise ValueError(f"{line} does not have {len(columns)} cells, as the first line has")
            cells = {name: " ".join(value.split()) for name, value in row.items()}
            image, face = row["image"].strip(), cells.get("face", "").lower()
            if not image or image in seen:
                before = f"the image {image!r} stands in line {seen[image]} too" if image else "names no image"
                raise ValueError(f"{line}: {before}")
            if not (folder / image).is_file():
                raise FileNotFoundError(f"{line}: there is no file {folder / image}")
            if face not in _FACE:
                raise ValueError(f"{line}: face is {cells['face']!r}; write yes, no, or nothing")
            for attribute in asked:
                group = cells[attribute]
                if group and group not in attributes[attribute]:
                    raise ValueError(
                        f"{line}: the judge has no {attribute} group {group!r}; "
                        f"it has {', '.join(attributes[attribute])}"
                    )
                if group and _FACE[face] is False:
                    raise ValueError(f"{line}: it has a {attribute} group and no face; leave one of them empty")
            seen[image] = reader.line_num
            rows.append({"image": image, "face": _FACE[face]} | {name: cells[name] or None for name in asked})
    if not rows:
        raise ValueError(f"{path} has no line below the first: nothing is labelled")
    return rows


def read_card(source: str | os.PathLike[str] | Mapping[str, Any], judge: Judge) -> dict[str, Any]:
    """A card for `judge`, its confusion matrices in the order of the judge's groups."""
    where = "the card"
    if isinstance(source, (str, os.PathLike)):
        where = f"the card {source}"
        try:
            source = json.loads(Path(source).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{where} is not JSON ({error}); make one with: fairmapping judge-card") from error
    if not isinstance(source, Mapping) or not isinstance(source.get("confusion"), Mapping):
        raise ValueError(f"{where} has no 'confusion'; make one with: fairmapping judge-card")
    if source.get("judge", judge.name) != judge.name:
        raise ValueError(f"{where} is of the judge {source['judge']!r}, not of {judge.name!r}")
    card = dict(source)
    card["confusion"] = {}
    for attribute in source["confusion"]:
        groups = judge.attributes.get(attribute, ())
        order = source.get("attributes", {}).get(attribute, list(groups))
        if not groups or set(order) != set(groups) or len(order) != len(groups):
            raise ValueError(
                f"{where} has the {attribute} groups {', '.join(order)}; "
                f"the judge {judge.name!r} has {', '.join(groups) or 'no such attribute'}"
            )
        matrix = confusion(source, attribute, groups, order)
        card["confusion"][attribute] = np.asarray(matrix).tolist()
    if "attributes" in source:
        card["attributes"] = {
            name: list(judge.attributes.get(name, groups)) for name, groups in source["attributes"].items()
        }
    return card
