"""What a map does to the pictures themselves: do they still show the prompt, how unlike are those of one group, and how
far are all of them from reference images? Every figure before and after on the same prompts and seeds, with its
interval.

Figures of different feature extractors or CLIP models have nothing to do with each other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import metrics
from .estimates import over_keywords, paired
from .features import Extractor, features_of
from .kid import LEAST, discrepancy, kid
from .metrics import Interval
from .progress import progress_bar
from .results import ARMS, Audit
from .store import Place

if TYPE_CHECKING:
    from .clip import Clip

__all__ = ["Quality", "quality"]

WEIGHT = 2.5  # Hessel et al., section 3
FILE = "quality.json"
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
_COLUMNS = ["measure", "of", "arm", "value", "low", "high", "n"]


@dataclass(frozen=True, eq=False)
class Quality:
    """table: measure, of (what of: "" for all images, else "gender: female"), arm ("raw", "mapped", and "difference",
    mapped less raw), value, low, high, n. settings: what they were made with. notes: what stands against them."""

    table: pd.DataFrame
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``quality.json`` to a run's folder or address, whole or not at all."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        told = {"settings": self.settings, "notes": self.notes, "rows": rows}
        Place(folder).write_text(FILE, json.dumps(told, indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Quality:
        """Raises FileNotFoundError where there is none."""
        found = json.loads(Place(folder).read(FILE))
        table = pd.DataFrame(found["rows"], columns=_COLUMNS)
        numbers = table[["value", "low", "high"]].astype(float)
        return cls(table.assign(**numbers), found["settings"], tuple(found["notes"]))


def quality(
    audit: Audit,
    *,
    features: Extractor | None = None,
    clip: Clip | str | os.PathLike[str] | None = None,
    reference: str | os.PathLike[str] | None = None,
    batch_size: int = 64,
    device: str | None = None,
    progress: bool = True,
) -> Quality:
    """Of the images of an audit's neutral prompts.

    - "clip_score": 2.5 max(cos(image, prompt), 0), the mean over keywords (Hessel et al., EMNLP 2021), and
      "human_clip", the same against the prompt with "person" in the keyword's place (Li et al., 2023). They need
      `clip`, a model or where it lies. A prompt without a template has no second.
    - "within_group": the mean distance, 1 - cosine, of the features of two images of one keyword that were judged to
      be of one group; the mean over the keywords with two such images. "within_keyword": of any two of its images.
    - "fid" and "kid", the distances of all images from those in the folder `reference` (Heusel et al., NeurIPS 2017;
      Bińkowski et al., ICLR 2018); the latter needs torchmetrics. Features are scaled to a mean square of 1 among
      those of the reference, as extractors differ in size. Their intervals are of drawing these prompts' images
      anew; those of the others of drawing the keywords anew, and of fewer than 8 their images too.

    features: images to (N, F), any extractor; by default the embeddings of `clip`, else on the embedded model what its
    judge reads. They are kept in the run's folder: an interrupted call goes on. Raises ValueError where there is
    nothing to compute them with, for an audit without a folder, or with fewer than 20 images beside a reference.
    """
    if audit.path is None:
        raise ValueError("this audit was never saved, so it has no images to look at")
    rows = audit.neutral()
    if not len(rows):
        raise ValueError("the audit has no neutral prompts, whose images these figures are of")
    others = [] if reference is None else _references(Path(reference), rows)
    model = _loaded(clip, device)
    name, extract = _extractor(audit, features, model)
    place, files = Place(audit.path), list(rows["image"])
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    # What a function gives is not kept: it may change and keep its name.
    own = options | {"name": name, "cache": place if features is None else None}
    found = features_of(extract, place, files, **own)
    lines, notes = list(_within(audit, rows, found)), []
    if model is not None:
        seen = found
        if features is not None:
            seen = features_of(model.images, place, files, name=model.name, cache=place, **options)
        lines = [*_scores(rows, seen, model), *lines]
    if reference is not None:
        far = features_of(extract, Place(reference), others, **own)
        lines += _distances(rows, found, far, progress)
        notes = _few(rows, found, far)
    settings = {
        "features": name,
        "width": found.shape[1],
        "clip": None if model is None else model.name,
        "reference": None if reference is None else {"folder": os.fspath(reference), "images": len(others)},
        "audit": audit.settings.get("created"),
    }
    return Quality(pd.DataFrame(lines, columns=_COLUMNS), settings, tuple(notes))


def _loaded(clip: Clip | str | os.PathLike[str] | None, device: str | None) -> Clip | None:
    if not isinstance(clip, (str, os.PathLike)):
        return clip
    from .clip import Clip  # here, so that figures can be read again without torch

    return Clip(clip, device)


def _extractor(audit: Audit, features: Extractor | None, model: Clip | None) -> tuple[str, Extractor]:
    if features is not None:
        return str(getattr(features, "__name__", type(features).__name__)), features
    if model is not None:
        return model.name, model.images
    if audit.settings["model"]["name"] == "portraits":
        from .portraits.judge import PortraitsJudge

        judge = PortraitsJudge()
        return "portraits judge", judge.features
    raise ValueError(
        f"nothing here reads features of the images of {audit.settings['model']['name']}: give clip, a folder or hub "
        "id of a CLIP model with safetensors, or features, a function of images"
    )


def _scores(rows: pd.DataFrame, seen: np.ndarray, model: Clip) -> Iterator[dict[str, Any]]:
    """CLIP-Score and Human-CLIP."""
    # By template, of which there are few: "a portrait of a person", and nothing where there is none.
    templates = rows["template"].fillna("")
    human = {text: text.replace("{words}", "person").replace("{}", "a person") for text in templates.unique()}
    for measure, texts in (("clip_score", rows["prompt"]), ("human_clip", templates.map(human))):
        known = texts.to_numpy() != ""
        if not known.any():
            continue
        words = pd.Index(pd.unique(texts[known]))
        directions = np.concatenate([model.texts(words[start : start + 256]) for start in range(0, len(words), 256)])
        place = words.get_indexer(texts[known])
        cosine = np.einsum("nd,nd->n", seen[known], directions[place])
        lengths = np.linalg.norm(seen[known], axis=1) * np.linalg.norm(directions, axis=1)[place]
        scored = rows[known].assign(score=WEIGHT * np.maximum(cosine / lengths, 0))
        yield from _by_arm(measure, "", _scored(scored))


def _scored(rows: pd.DataFrame) -> dict[str, Interval]:
    found = {}
    for arm, part in rows.groupby("arm", sort=False):
        found[str(arm)] = _mean_of(part, "score")
    both = paired(rows, "score")
    if len(both):
        found["difference"] = _mean_of(both.assign(score=both["mapped"] - both["raw"]), "score")
    return found


def _mean_of(rows: pd.DataFrame, column: str) -> Interval:
    """The mean over keywords of their mean; n is the number of images."""
    by = rows.groupby("keyword", sort=False)[column]
    sizes = by.size().to_numpy()
    errors = by.std().to_numpy() / np.sqrt(sizes)
    return replace(over_keywords(by.mean().to_numpy(), errors), n=len(rows))


def _within(audit: Audit, rows: pd.DataFrame, features: np.ndarray) -> Iterator[dict[str, Any]]:
    """Distances inside a group, and inside a keyword."""
    keywords = pd.Index(rows["keyword"].unique())
    keyword = keywords.get_indexer(rows["keyword"])
    wanted = [("within_keyword", "", np.ones(len(rows), bool))]
    for attribute, groups in audit.attributes.items():
        labels = rows[attribute].to_numpy()
        wanted += [("within_group", f"{attribute}: {group}", labels == group) for group in groups]
    for measure, of, chosen in wanted:
        found, cells = {}, {}
        for arm in audit.arms:
            inside = chosen & (rows["arm"] == arm).to_numpy()
            value, error, n = cells[arm] = metrics.mean_distances(features[inside], keyword[inside], len(keywords))
            if (n >= 2).any():
                found[arm] = replace(over_keywords(value[n >= 2], error[n >= 2]), n=int(n[n >= 2].sum()))
        if set(cells) == set(ARMS):
            before, after = cells["raw"], cells["mapped"]
            both = (before[2] >= 2) & (after[2] >= 2)
            if both.any():
                error = np.hypot(before[1], after[1])
                change = over_keywords((after[0] - before[0])[both], error[both])
                found["difference"] = replace(change, n=int((before[2] + after[2])[both].sum()))
        yield from _by_arm(measure, of, found)


def _distances(rows: pd.DataFrame, found: np.ndarray, far: np.ndarray, progress: bool) -> Iterator[dict[str, Any]]:
    """FID and KID of each arm, and their differences on the same prompts and seeds."""
    # The cubic kernel was made for features of about this size, and others may be of any.
    scale = float(np.sqrt((far.astype(float) ** 2).mean())) or 1.0
    found, far = found / scale, far / scale
    jobs: list[tuple[str, str, Callable[[], Interval]]] = []
    for arm in (arm for arm in ARMS if (rows["arm"] == arm).any()):
        own = found[(rows["arm"] == arm).to_numpy()]
        jobs += [("fid", arm, partial(metrics.frechet, own, far, resamples=100)), ("kid", arm, partial(kid, own, far))]
    pairs = paired(rows.assign(row=np.arange(len(rows))), "row")
    if len(pairs) >= LEAST:
        before, after = found[pairs["raw"]], found[pairs["mapped"]]
        jobs.append(("fid", "difference", partial(metrics.frechet_difference, after, before, far, resamples=100)))
        jobs.append(("kid", "difference", partial(kid, after, far, before=before)))
    made: dict[str, dict[str, Interval]] = {"fid": {}, "kid": {}}
    with progress_bar("comparing with the reference", len(jobs), "figures", shown=progress) as advance:
        for measure, arm, job in jobs:
            made[measure][arm] = job()
            advance(1)
    for measure, intervals in made.items():
        yield from _by_arm(measure, "", intervals)


def _by_arm(measure: str, of: str, found: dict[str, Interval]) -> Iterator[dict[str, Any]]:
    for arm, interval in found.items():
        figures = {"value": interval.value, "low": interval.low, "high": interval.high, "n": interval.n}
        yield {"measure": measure, "of": of, "arm": arm, **figures}


def _references(folder: Path, rows: pd.DataFrame) -> list[str]:
    """The reference images, if there are enough of them and of the audit's: found out before anything is computed."""
    discrepancy()
    if not folder.is_dir():
        raise FileNotFoundError(f"the reference {folder} is no folder; give one of images")
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix.lower() in _ENDINGS)
    smallest = int(rows["arm"].value_counts().min())
    if min(smallest, len(found)) < LEAST:
        raise ValueError(
            f"{len(found)} reference images and {smallest} images in an arm: a distance between them needs at least "
            f"{LEAST} of each, and thousands to mean much"
        )
    return found


def _few(rows: pd.DataFrame, found: np.ndarray, far: np.ndarray) -> list[str]:
    n, width = min(int(rows["arm"].value_counts().min()), len(far)), found.shape[1]
    if n >= 10 * width:
        return []
    return [
        f"FID rests on {n:,} images for {width:,} features and is biased upwards with so few (10 times as many images "
        "as features is a fair start; papers take 10,000 and more): compare it with figures of the same numbers only. "
        "KID has no such bias."
    ]
