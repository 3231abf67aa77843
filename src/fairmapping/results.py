"""What the judgements of a run show: an Audit, plain rows and settings that can be saved, read again and scored
without torch.

Shares are among judged faces, and the images without a face are counted beside them. Every figure comes with its
interval, its n and, where it is a measure of bias, the chance floor: what a perfectly even generator scores at this
n. Under a quota groups are assigned in exact numbers: there the floor, which is of independent draws, bounds nothing
from below, and intervals made for independent draws are wider than need be.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import agreement, estimates, metrics, pairs, tables
from .estimates import frame, named
from .judges import confusion, records
from .lock import locked
from .pairs import Comparison
from .store import Place

if TYPE_CHECKING:
    from .targets import Targets

__all__ = ["ARMS", "SCHEMA_VERSION", "Audit", "Comparison", "frame"]

ARMS = ("raw", "mapped")
SCHEMA_VERSION = 1
_SAVED = "audit.json"
_SUMMARY = ["value", "low", "high", "keywords", "images", "floor"]
_Maker = Callable[[str, "frozenset[str] | None"], pd.DataFrame]  # of an attribute and keywords


@dataclass(frozen=True, eq=False)
class Audit:
    """Judged images of one or two arms ("raw", "mapped").

    rows: one per image: arm, prompt, keyword, template, groups (the explicit ones), assigned (those that a quota
    drew), seed, image (path within the folder), faces, and for each attribute of the judge ``<attribute>`` (the
    perceived group, None without a face) and ``<attribute>_p`` (its probability). settings: plain JSON: model,
    attributes asked about, judge with its card, seed, strength, map, call arguments, versions, seconds. Tables are
    made once and kept: change no rows in place.
    """

    rows: pd.DataFrame
    settings: dict[str, Any]
    path: Path | str | None = None
    _made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """The attributes asked about with all their groups: K counts these, whether they were observed or not."""
        return {name: tuple(groups) for name, groups in self.settings["attributes"].items()}

    @cached_property
    def arms(self) -> tuple[str, ...]:
        present = set(self.rows["arm"].unique())
        return tuple(arm for arm in ARMS if arm in present)

    @property
    def keywords(self) -> list[str]:
        """Keywords of the neutral prompts, in the order they were asked."""
        return list(self.neutral()["keyword"].unique())

    @property
    def fitted(self) -> frozenset[str]:
        """Keywords that the map was fitted on (empty without one)."""
        return frozenset((self.settings.get("map") or {}).get("keywords", ()))

    def neutral(self, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """Rows of the prompts that name no group, of all keywords or of these."""
        rows = self.rows if self._neutral.all() else self.rows[self._neutral]
        return rows if keywords is None else rows[rows["keyword"].isin(frozenset(keywords))]

    @property
    def sampled(self) -> bool:
        """Whether a quota assigned the groups of the mapped images, in exact numbers."""
        return (self.settings.get("map") or {}).get("quota") is not None

    @property
    def stopped_early(self) -> bool:
        """Whether drawing was allowed to stop at a half-width (``settings["stop_at"]``): shares then have confidence
        sequences, which hold whenever one stops, in place of Wilson's intervals."""
        return self.settings.get("stop_at") is not None

    def was_fitted(self, keyword: str) -> bool:
        """Whether the map was fitted on this keyword, whatever its case. A plain prompt, which is its own keyword,
        counts as fitted where it holds a fitted keyword as whole words."""
        if keyword in self._plain_prompts:
            return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", keyword, re.IGNORECASE) for word in self.fitted)
        return keyword.casefold() in {word.casefold() for word in self.fitted}

    def table(self, attribute: str, *, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """One row per arm and keyword of the neutral prompts.

        Columns: arm, keyword, images, no_face, several (faces), n (judged as one of the groups), other (judged as a
        group not asked about), per group ``<group>_count``, ``<group>`` (share of n), ``<group>_low``/``_high`` (95 %
        Wilson interval; where :attr:`stopped_early`, a confidence sequence) and, where the judge's card allows,
        ``<group>_corrected`` with ``_low``/``_high``, the share corrected for the judge's errors with a 95 % interval
        over what the images and the card leave open; ``pairwise_bias`` and ``floor``, what a perfectly even generator
        scores at this n by chance. Shares are NaN where no face was judged.
        """
        return self._once("table", self._table, attribute, keywords)

    def _table(self, attribute: str, keywords: frozenset[str] | None) -> pd.DataFrame:
        neutral = self.neutral(keywords)
        interval = metrics.confidence_sequence if self.stopped_early else metrics.wilson
        return estimates.by_keyword(neutral, attribute, self._groups(attribute), self._confusion(attribute), interval)

    def summary(self, attribute: str, *, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """Mean over keywords of every measure, per arm: arm, measure, value, low, high, keywords, images, floor.

        Intervals are 95 % bootstrap intervals over keywords (each keyword's score already carries its sampling
        noise), and of fewer than 8 over their images too, inside the range of the measure. `floor` is the mean over
        keywords of what an even generator scores at their n. With a card, ``pairwise_bias_corrected`` is added,
        its interval holding the uncertainty of the correction, without a floor.
        """
        return self._once("summary", self._summary, attribute, keywords)

    def _summary(self, attribute: str, keywords: frozenset[str] | None) -> pd.DataFrame:
        groups = self._groups(attribute)
        table = self.table(attribute, keywords=keywords)
        lines = []
        for arm, part in table[table["n"] > 0].groupby("arm", sort=False):
            counts = part[[f"{group}_count" for group in groups]].to_numpy()
            sizes = part["n"].to_numpy()
            for name, measure in metrics.MEASURES.items():
                mean = estimates.mean_over_keywords(counts, measure)
                floor = metrics.chance_floor(sizes, len(groups), name)
                lines.append({"arm": arm, "measure": name, **estimates.summed(mean, sizes, floor)})
            if (matrix := self._confusion(attribute)) is not None:
                name, mean = "pairwise_bias_corrected", estimates.corrected_mean(counts, matrix)
                lines.append({"arm": arm, "measure": name, **estimates.summed(mean, sizes, np.nan)})
        return pd.DataFrame(lines, columns=["arm", "measure", *_SUMMARY])

    def overall(self, attribute: str, *, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """Share of each group over all neutral images, per arm: arm, group, count, n, share, low, high (bootstrap
        over keywords)."""
        groups = self._groups(attribute)
        table = self.table(attribute, keywords=keywords)
        lines = []
        for arm, part in table[table["n"] > 0].groupby("arm", sort=False):
            counts = part[[f"{group}_count" for group in groups]].to_numpy()
            for index, group in enumerate(groups):
                size = {"count": int(part[f"{group}_count"].sum()), "n": int(part["n"].sum())}
                lines.append(
                    {"arm": arm, "group": group, **size, **named(estimates.mean_share(counts, index), "share")}
                )
        return pd.DataFrame(lines, columns=["arm", "group", "count", "n", "share", "low", "high"])

    def joint(self, attributes: Sequence[str] | None = None, *, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """Mean absolute deviation from even over all cells of the product of `attributes` (by default all that were
        asked about), per arm: arm, cells (K), value, low, high, keywords, images, floor.

        A cell such as (female, asian) that nobody was judged to be in counts as a 0; images that lack a group of one
        attribute count nowhere. Intervals and floor as in :meth:`summary`.
        """
        names, lines = list(self.attributes if attributes is None else attributes), []
        for arm, table in self._cell_counts(names, keywords).items():
            counts = table[table.sum(axis=1) > 0].to_numpy()
            sizes, k = counts.sum(1), counts.shape[1]
            mean = estimates.mean_over_keywords(counts, metrics.mean_absolute_deviation)
            floor = metrics.target_floor(sizes, np.full(k, 1 / k))
            lines.append({"arm": arm, "cells": k, **estimates.summed(mean, sizes, floor)})
        return pd.DataFrame(lines, columns=["arm", "cells", *_SUMMARY])

    def cells(self, attributes: Sequence[str] | None = None, *, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """The intersectional cells that :meth:`joint` sums up: one row per arm and cell of the product of `attributes`.

        Columns: arm, one per attribute with the cell's group, count, n (images in any cell), share, low, high (the
        mean share over keywords and its bootstrap interval, as in :meth:`overall`), apart (the product of the mean
        shares of its groups: what the share would be if the attributes had nothing to do with each other) and even
        (one in K cells). Unseen cells are there, with a share of 0.
        """
        names, lines = list(self.attributes if attributes is None else attributes), []
        for arm, table in self._cell_counts(names, keywords).items():
            table = table[table.sum(axis=1) > 0]
            counts = table.to_numpy()
            cells = list(table.columns)
            sides = [len(self._groups(name)) for name in names]
            grid = np.nan_to_num(metrics.shares(counts)).mean(0).reshape(sides) if len(counts) else np.zeros(sides)
            apart = estimates.independent(grid).ravel()
            for index, cell in enumerate(cells):
                size = {"count": int(counts[:, index].sum()), "n": int(counts.sum())}
                share = named(estimates.mean_share(counts, index), "share")
                expected = {"apart": float(apart[index]), "even": 1 / len(cells)}
                lines.append({"arm": arm, **dict(zip(names, cell, strict=True)), **size, **share, **expected})
        return pd.DataFrame(lines, columns=["arm", *names, "count", "n", "share", "low", "high", "apart", "even"])

    def _cell_counts(self, names: Sequence[str], keywords: Iterable[str] | None) -> dict[str, pd.DataFrame]:
        if not names:
            raise ValueError("no attributes to count the cells of")
        return estimates.cell_counts(self.neutral(keywords), {name: self._groups(name) for name in names})

    def against(self, targets: Targets, attribute: str, *, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """Mean over keywords and groups of |share - target|, per arm: arm, value, low, high, keywords, images, floor.

        targets: those of each keyword (:class:`fairmapping.targets.Targets`); a plain prompt has those of the keyword
        that it holds. `floor` is what a generator with exactly these shares scores at the keywords' n. Intervals as
        in :meth:`summary`. Raises ValueError where the targets do not name the attribute, or give a share to a group
        that was not asked about.
        """
        groups = self._groups(attribute)
        table = self.table(attribute, keywords=keywords)
        lines = []
        for arm, part in table[table["n"] > 0].groupby("arm", sort=False):
            counts = part[[f"{group}_count" for group in groups]].to_numpy()
            known = [k if k not in self._plain_prompts else targets.keyword_in(k) or k for k in part["keyword"]]
            goal = np.array([estimates.target_shares(targets.of(name), name, attribute, groups) for name in known])
            sizes = part["n"].to_numpy()
            mean = estimates.mean_from_target(counts, goal)
            lines.append({"arm": arm, **estimates.summed(mean, sizes, metrics.target_floor(sizes, goal))})
        return pd.DataFrame(lines, columns=["arm", *_SUMMARY])

    def compare(self, attribute: str, *, keywords: Iterable[str] | None = None) -> Comparison:
        """Pairwise bias, mapped minus raw, paired by keyword on the same seeds. Raises ValueError unless the audit
        holds both arms."""
        self._check_both_arms()
        table = self.table(attribute, keywords=keywords)
        return pairs.compared(table, self.neutral(), attribute, self._groups(attribute))

    def tests(self, attribute: str, *, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """Did the shares of a keyword change? A test for each keyword on the pairs of the same prompt and seed.

        Columns: keyword, n (pairs judged in both arms as groups asked about), changed (pairs whose group changed),
        group (the first of two; of more, the one whose share changed most), gained and lost (pairs that entered and
        left it), effect (the change of its share) with low, high (95 %, Agresti and Min; of K > 2 groups each at
        1 - .05/K, so that it holds for whichever changed most), p (McNemar's exact test; of more groups that of
        Stuart and Maxwell) and p_holm (Holm's correction over these keywords: below .05, the keyword changed
        measurably). Under a quota, which assigns exact numbers, the test is conservative.

        Raises ValueError unless the audit holds both arms with pairs that can be judged.
        """
        self._check_both_arms()
        return self._once("tests", self._tests, attribute, keywords)

    def _tests(self, attribute: str, keywords: frozenset[str] | None) -> pd.DataFrame:
        groups = self._groups(attribute)
        return pairs.tested(estimates.paired(self.neutral(keywords), attribute), attribute, groups)

    def _check_both_arms(self) -> None:
        if self.arms != ARMS:
            raise ValueError(
                f"comparing needs both arms, this audit has {self.arms}: run audit(..., fair_map=...) for the pair"
            )

    def obeyed(self) -> pd.DataFrame:
        """Explicit prompts: of the judged images, how many show what was asked, per arm and attribute.

        Columns: arm, attribute, group ("all" first, then each asked group), images, no_face, n (judged), share, low,
        high (Wilson). Empty where no prompt names a group of an attribute that the judge judges.
        """
        return agreement.as_named(self.rows, self.arms, self.settings["judge"]["attributes"])

    def followed(self) -> pd.DataFrame:
        """Images that a quota drew groups for: how many show them, in the columns of :meth:`obeyed`."""
        return agreement.as_named(self.rows, self.arms, self.settings["judge"]["attributes"], "assigned")

    def kept(self, *, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """What mapping should leave alone: arm, attribute, measure, n, share, low, high, chance.

        "as expected": share of images of the neutral prompts whose judged group is the one known for the keyword
        (``settings["expected"]``: the cue of an occupation's sector, the expression of an emotion). "same as raw":
        share of image pairs on the same seed that the judge reads alike, for every judged attribute that was not
        asked about. `chance` is 1/K.
        """
        judged, neutral = self.settings["judge"]["attributes"], self.neutral(keywords)
        lines = agreement.shown_as_expected(neutral, self.arms, self.settings.get("expected", {}), judged)
        if self.arms == ARMS:
            lines += agreement.same_as_before(neutral, self.attributes, judged)
        return pd.DataFrame(lines)

    def faces(self) -> pd.DataFrame:
        """Per arm: images, no_face, several, with the share without a face and its Wilson interval (share, low,
        high)."""
        return agreement.without_faces(self.rows, self.arms)

    def save(self, folder: str | os.PathLike[str]) -> Path | str:
        """Write ``audit.json`` and ``judgements/<judge>.parquet`` to `folder`, which may be any address that fsspec
        knows, each whole or not at all; the images stay where they are."""
        place = Place(folder)
        with locked(place):
            records.write(place, self.settings["judge"], [tables.from_frame(self.rows)])
            self.save_settings(place)
        return place.path or str(place)

    def save_settings(self, place: Place) -> None:
        """Write ``audit.json``."""
        place.write_text(_SAVED, json.dumps(self.settings | {"rows": len(self.rows)}, indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Audit:
        """Read a finished audit. Raises FileNotFoundError where `folder` holds none, ValueError where its judging did
        not finish, its files are damaged or another version wrote it."""
        place = Place(folder)
        try:
            settings = json.loads(place.read(_SAVED))
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{place} holds no {_SAVED}: not an audit, or one that did not finish (the same call resumes it)"
            ) from error
        except ValueError as error:
            raise ValueError(
                f"{place}/{_SAVED} is damaged ({error}); the same call of audit() writes it again"
            ) from error
        if settings.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"{place} was written with audit schema {settings.get('schema_version')}, "
                f"this version reads {SCHEMA_VERSION}"
            )
        expected = settings.pop("rows", None)
        return cls.of(place, settings, expected)

    @classmethod
    def of(cls, place: Place, settings: dict[str, Any], expected: int | None = None) -> Audit:
        """The answers that lie at `place`, with these settings. Raises ValueError where they are fewer than
        expected."""
        rows = tables.to_frame(records.read(place, settings["judge"])).drop(columns="bytes", errors="ignore")
        if len(rows) < (expected or 0):
            raise ValueError(
                f"{place} holds {len(rows)} judgements of {expected} images: judging did not finish; "
                "the same call of audit() resumes it"
            )
        for name in ("groups", "assigned"):
            if name not in rows:
                rows[name] = pd.Series([()] * len(rows), dtype=object)
        return cls(rows, settings, place.path or str(place))

    def _once(self, name: str, make: _Maker, attribute: str, keywords: Iterable[str] | None) -> pd.DataFrame:
        """A copy of what `make` gave for these groups and keywords, made the first time."""
        chosen = None if keywords is None else frozenset(keywords)
        if (key := (name, attribute, self._groups(attribute), chosen)) not in self._made:
            self._made[key] = make(attribute, chosen)
        return self._made[key].copy()

    @cached_property
    def _neutral(self) -> np.ndarray:
        """Of each row, whether its prompt names no group."""
        return (self.rows["groups"].map(len) == 0).to_numpy()

    @cached_property
    def _plain_prompts(self) -> frozenset[str]:
        return frozenset(self.rows.loc[self.rows["prompt"] == self.rows["keyword"], "keyword"])

    def _groups(self, attribute: str) -> tuple[str, ...]:
        if attribute not in self.attributes:
            raise ValueError(f"{attribute!r} was not asked about; this audit has {', '.join(self.attributes)}")
        return self.attributes[attribute]

    def _confusion(self, attribute: str) -> np.ndarray | None:
        judge = self.settings["judge"]
        return confusion(judge["card"], attribute, self._groups(attribute), judge["attributes"][attribute])
