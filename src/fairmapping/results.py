"""What the judgements of a run show: an Audit, plain rows and settings that can be saved, read again and scored
without torch.

Shares are among judged faces, and the images without a face are counted beside them. Every figure comes with its
interval, its n and, where it is a measure of bias, the chance floor: what a perfectly even generator scores at this
n.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import metrics
from .estimates import Comparison, bias_difference, group_share, mean_over_keywords, named, share_of
from .judges import confusion, records
from .metrics import Interval
from .runs import write_text

__all__ = ["ARMS", "SCHEMA_VERSION", "Audit", "Comparison", "frame"]

ARMS = ("raw", "mapped")
SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class Audit:
    """Judged images of one or two arms ("raw", "mapped").

    rows: one per image: arm, prompt, keyword, template, groups (the explicit ones), seed, image (path within the
    folder), faces, and for each attribute of the judge ``<attribute>`` (the perceived group, None without a face) and
    ``<attribute>_p`` (its probability). settings: plain JSON: model, attributes asked about, judge with its card,
    seed, strength, map, call arguments, versions, seconds.
    """

    rows: pd.DataFrame
    settings: dict[str, Any]
    path: Path | None = None

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """The attributes asked about with all their groups: K counts these, whether they were observed or not."""
        return {name: tuple(groups) for name, groups in self.settings["attributes"].items()}

    @property
    def arms(self) -> tuple[str, ...]:
        present = set(self.rows["arm"])
        return tuple(arm for arm in ARMS if arm in present)

    @property
    def keywords(self) -> list[str]:
        """Keywords of the neutral prompts, in the order they were asked."""
        return list(dict.fromkeys(self._neutral()["keyword"]))

    @property
    def fitted(self) -> frozenset[str]:
        """Keywords that the map was fitted on (empty without one)."""
        return frozenset((self.settings.get("map") or {}).get("keywords", ()))

    def table(self, attribute: str, *, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """One row per arm and keyword of the neutral prompts.

        Columns: arm, keyword, images, no_face, several (faces), n (judged as one of the groups), other (judged as a
        group not asked about), per group ``<group>_count``, ``<group>`` (share of n), ``<group>_low``/``_high`` (95 %
        Wilson interval) and, where the judge's card allows, ``<group>_corrected``; ``pairwise_bias`` and ``floor``,
        what a perfectly even generator scores at this n by chance. Shares are NaN where no face was judged.
        """
        groups = self._groups(attribute)
        neutral = self._neutral()
        if keywords is not None:
            neutral = neutral[neutral["keyword"].isin(set(keywords))]
        by = neutral.groupby(["arm", "keyword"], sort=False)
        table = by.agg(
            images=("image", "size"),
            no_face=("faces", lambda faces: int((faces == 0).sum())),
            several=("faces", lambda faces: int((faces > 1).sum())),
            judged=(attribute, "count"),
        )
        counts = np.stack([by[attribute].agg(lambda labels, g=group: int((labels == g).sum())) for group in groups], -1)
        table["n"] = counts.sum(-1)
        table["other"] = table.pop("judged") - table["n"]
        low, high = metrics.wilson(counts, table[["n"]].to_numpy())
        none = table["n"].to_numpy() == 0
        parts = {"_count": counts, "": metrics.shares(counts), "_low": low, "_high": high}
        if (matrix := self._confusion(attribute)) is not None:
            total = table[["n"]].to_numpy(float)
            corrected = metrics.correct_counts(counts, matrix)
            parts["_corrected"] = np.divide(corrected, total, out=np.full_like(corrected, np.nan), where=total > 0)
        for index, group in enumerate(groups):
            for suffix, values in parts.items():
                table[f"{group}{suffix}"] = values[:, index]
            table.loc[none, [f"{group}_low", f"{group}_high"]] = np.nan
        table["pairwise_bias"] = metrics.pairwise_bias(counts)
        table["floor"] = metrics.chance_floor(table["n"].to_numpy(), len(groups))
        return table.reset_index()

    def summary(self, attribute: str, *, keywords: Iterable[str] | None = None) -> pd.DataFrame:
        """Mean over keywords of every measure, per arm: arm, measure, value, low, high, keywords, images, floor.

        Intervals are 95 % bootstrap intervals over keywords (each keyword's score already carries its sampling
        noise). `floor` is the mean over keywords of what an even generator scores at their n. With a card,
        ``pairwise_bias_corrected`` is added, without a floor.
        """
        groups = self._groups(attribute)
        table = self.table(attribute, keywords=keywords)
        lines = []
        for arm, part in table[table["n"] > 0].groupby("arm", sort=False):
            counts = part[[f"{group}_count" for group in groups]].to_numpy()
            sizes = part["n"].to_numpy()
            size = {"keywords": len(part), "images": int(sizes.sum())}
            for name, measure in metrics.MEASURES.items():
                mean = mean_over_keywords(counts, measure)
                floor = float(np.mean(metrics.chance_floor(sizes, len(groups), name)))
                lines.append({"arm": arm, "measure": name, **named(mean, "value"), **size, "floor": floor})
            corrected = [f"{group}_corrected" for group in groups]
            if set(corrected) <= set(part):
                mean = metrics.bootstrap_mean(metrics.pairwise_bias(part[corrected].to_numpy()))
                lines.append(
                    {"arm": arm, "measure": "pairwise_bias_corrected", **named(mean, "value"), **size, "floor": np.nan}
                )
        return pd.DataFrame(lines)

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
                mean = mean_over_keywords(counts, partial(group_share, index))
                lines.append({"arm": arm, "group": group, **size, **named(mean, "share")})
        return pd.DataFrame(lines)

    def compare(self, attribute: str, *, keywords: Iterable[str] | None = None) -> Comparison:
        """Pairwise bias, mapped minus raw, paired by keyword on the same seeds. Raises ValueError unless the audit
        holds both arms."""
        if self.arms != ARMS:
            raise ValueError(
                f"comparing needs both arms, this audit has {self.arms}: run audit(..., fair_map=...) for the pair"
            )
        groups = self._groups(attribute)
        table = self.table(attribute, keywords=keywords)
        by_arm = {arm: part.set_index("keyword") for arm, part in table[table["n"] > 0].groupby("arm", sort=False)}
        common = [keyword for keyword in self.keywords if all(keyword in by_arm[arm].index for arm in by_arm)]
        if len(by_arm) < 2 or not common:
            raise ValueError(f"no keyword has judged faces in both arms, so {attribute} cannot be compared")
        raw, mapped = (by_arm[arm].loc[common, [f"{group}_count" for group in groups]].to_numpy() for arm in ARMS)
        neutral = self._neutral()
        pairs = self._pairs(neutral[neutral["keyword"].isin(common)], attribute)
        joint = [[((pairs["raw"] == a) & (pairs["mapped"] == b)).sum() for b in groups] for a in groups]
        return Comparison(
            attribute=attribute,
            raw=mean_over_keywords(raw, metrics.pairwise_bias),
            mapped=mean_over_keywords(mapped, metrics.pairwise_bias),
            difference=bias_difference(raw, mapped, np.array(joint)),
            changed=share_of(int((pairs["raw"] != pairs["mapped"]).sum()), len(pairs)),
        )

    def obeyed(self) -> pd.DataFrame:
        """Explicit prompts: of the judged images, how many show what was asked, per arm and attribute.

        Columns: arm, attribute, group ("all" first, then each asked group), images, no_face, n (judged), share, low,
        high (Wilson). Empty where no prompt names a group of an attribute that the judge judges.
        """
        judged = self.settings["judge"]["attributes"]
        explicit = self.rows[self.rows["groups"].map(len) > 0]
        lines = []
        for arm in self.arms:
            rows = explicit[explicit["arm"] == arm]
            for attribute in judged:
                asked = rows["groups"].map(lambda groups, name=attribute: dict(groups).get(name))
                for group in ["all", *(name for name in judged[attribute] if (asked == name).any())]:
                    chosen = asked.notna() if group == "all" else asked == group
                    part = rows[chosen]
                    if not len(part):
                        continue
                    seen = part[attribute].notna()
                    share = share_of(int((part[attribute] == asked[chosen])[seen].sum()), int(seen.sum()))
                    line = {
                        "arm": arm,
                        "attribute": attribute,
                        "group": group,
                        "images": len(part),
                        "no_face": int((part["faces"] == 0).sum()),
                    }
                    lines.append(line | {"n": share.n, **named(share, "share")})
        return pd.DataFrame(lines)

    def kept(self) -> pd.DataFrame:
        """What mapping should leave alone: arm, attribute, measure, n, share, low, high, chance.

        "as expected": share of images of the neutral prompts whose judged group is the one known for the keyword
        (``settings["expected"]``: the cue of an occupation's sector, the expression of an emotion). "same as raw":
        share of image pairs on the same seed that the judge reads alike, for every judged attribute that was not
        asked about. `chance` is 1/K.
        """
        judged = self.settings["judge"]["attributes"]
        neutral = self._neutral()
        lines = []

        def add(arm: str, attribute: str, measure: str, share: Interval) -> None:
            line = {"arm": arm, "attribute": attribute, "measure": measure, "n": share.n, **named(share, "share")}
            lines.append(line | {"chance": 1 / len(judged[attribute])})

        for attribute, expected in self.settings.get("expected", {}).items():
            for arm in self.arms:
                part = neutral[(neutral["arm"] == arm) & neutral["keyword"].isin(expected) & neutral[attribute].notna()]
                if len(part):
                    hits = int((part[attribute] == part["keyword"].map(expected)).sum())
                    add(arm, attribute, "as expected", share_of(hits, len(part)))
        if self.arms == ARMS:
            for attribute in judged:
                pairs = self._pairs(neutral, attribute)
                if attribute not in self.attributes and len(pairs):
                    alike = int((pairs["raw"] == pairs["mapped"]).sum())
                    add("mapped", attribute, "same as raw", share_of(alike, len(pairs)))
        return pd.DataFrame(lines)

    def faces(self) -> pd.DataFrame:
        """Per arm: images, no_face, several, with the share without a face and its Wilson interval (share, low,
        high)."""
        lines = []
        for arm in self.arms:
            found = self.rows.loc[self.rows["arm"] == arm, "faces"]
            none = int((found == 0).sum())
            line = {"arm": arm, "images": len(found), "no_face": none, "several": int((found > 1).sum())}
            lines.append(line | named(share_of(none, len(found)), "share"))
        return pd.DataFrame(lines)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``audit.json`` and ``judgements/<judge>.jsonl`` to `folder`, whole or not at all; the images stay
        where they are."""
        folder = Path(folder)
        judge = self.settings["judge"]
        plain = self.rows.astype(object).where(self.rows.notna(), None).to_dict("records")
        records.write(records.file_of(folder, judge), judge, plain)
        write_text(folder / "audit.json", json.dumps(self.settings, indent=2) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Audit:
        """Read a finished audit. Raises FileNotFoundError where `folder` holds none."""
        folder = Path(folder)
        if not (folder / "audit.json").exists():
            raise FileNotFoundError(
                f"{folder} holds no audit.json: not an audit, or one that did not finish (the same call resumes it)"
            )
        settings = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
        if settings.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"{folder} was written with audit schema {settings.get('schema_version')}, "
                f"this version reads {SCHEMA_VERSION}"
            )
        return cls(frame(records.read(records.file_of(folder, settings["judge"]))[1]), settings, folder)

    def _groups(self, attribute: str) -> tuple[str, ...]:
        if attribute not in self.attributes:
            raise ValueError(f"{attribute!r} was not asked about; this audit has {', '.join(self.attributes)}")
        return self.attributes[attribute]

    def _confusion(self, attribute: str) -> np.ndarray | None:
        judge = self.settings["judge"]
        return confusion(judge["card"], attribute, self._groups(attribute), judge["attributes"][attribute])

    def _neutral(self) -> pd.DataFrame:
        return self.rows[self.rows["groups"].map(len) == 0]

    @staticmethod
    def _pairs(rows: pd.DataFrame, attribute: str) -> pd.DataFrame:
        """Labels of both arms side by side, where both arms have a judged face."""
        return rows.pivot(index=["prompt", "seed"], columns="arm", values=attribute).dropna()


def frame(judged: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Judged rows as the DataFrame of an Audit."""
    rows = pd.DataFrame(list(judged))
    rows["groups"] = [tuple((name, group) for name, group in groups) for groups in rows["groups"]]
    return rows
