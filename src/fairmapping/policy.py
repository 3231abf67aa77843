"""Which prompts a map moves, in which attributes and towards which groups: map, detector and quota together."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from .detect import Decision, Detector
from .mapping import FairMap, check_strength
from .prompts import Cell
from .provenance import map_digest
from .quota import Quota, QuotaSource, resolve_quota
from .receipts import Receipt
from .targets import Targets

__all__ = ["Attachment", "Decided", "DetectorSource", "applied_by", "detector_of", "quota_of"]

DetectorSource = Detector | Literal["auto", "off"]


@dataclass
class Decided:
    """Stands in for quota and detector where what the next call's images are drawn with is known already: the
    attributes in which each is mapped and, for a map with group shifts, the cell it is moved towards."""

    applied: Sequence[tuple[str, ...]] = ()
    cells: Sequence[Cell] = ()

    def check(self, images: int) -> None:
        if len(self.applied) != images:
            raise ValueError(f"{len(self.applied)} images were decided for a call that draws {images}")


@dataclass
class Attachment:
    """What is attached to a pipeline, ``receipts`` telling what was done in its last call.

    Raises ValueError for a strength that is no number and a detector that does not know the map's attributes.
    """

    fair_map: FairMap
    strength: float
    quota: Quota | Decided | None
    detector: Detector | None
    receipts: list[Receipt] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_strength(self.strength)
        self.decide([""])  # a detector of other attributes is refused here

    @functools.cached_property
    def digest(self) -> str:
        return map_digest(self.fair_map)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that the map is for."""
        return tuple(self.fair_map.groups) or tuple(self.fair_map.config.attributes)

    def decide(self, texts: Sequence[str]) -> list[Decision | None]:
        if self.detector is None:
            return [None] * len(texts)
        known = {text: self.detector.decide(text, self.attributes or None) for text in dict.fromkeys(texts)}
        return [known[text] for text in texts]

    def plan(self, texts: Sequence[str]) -> tuple[list[tuple[str, ...]], list[Cell] | None]:
        """For every image the attributes in which it is mapped and, with group shifts, its cell; notes them down."""
        shifts = self.fair_map.groups
        if isinstance(self.quota, Decided):
            self.quota.check(len(texts))
            return list(self.quota.applied), list(self.quota.cells) if shifts else None
        decisions = self.decide(texts)
        applied = [applied_by(self.fair_map, decision) for decision in decisions]
        cells = None if self.quota is None else self.quota.draw(texts, applied=applied)
        self.receipts = [
            self.receipt(text, decision, names, () if cells is None else cells[i])
            for i, (text, decision, names) in enumerate(zip(texts, decisions, applied, strict=True))
        ]
        return applied, cells

    def move(
        self,
        sequence: Tensor,
        mask: Tensor | None,
        pooled: Tensor | None,
        applied: Sequence[tuple[str, ...]],
        cells: Sequence[Cell] | None,
    ) -> tuple[Tensor, Tensor | None]:
        """The embeddings (N, L, D) and the pooled ones (N, P), mapped; rows in which nothing is ``applied`` are left as
        they are, bit for bit."""
        rows = torch.tensor([bool(names) for names in applied], device=sequence.device)
        moved = torch.where(rows[:, None, None], self.fair_map(sequence, mask, self.strength, cells), sequence)
        if pooled is not None:
            pooled = torch.where(rows[:, None], self.fair_map.map_pooled(pooled, self.strength, cells), pooled)
        return moved, pooled

    def receipt(self, text: str, decision: Decision | None, applied: tuple[str, ...], cell: Cell) -> Receipt:
        targets = self.quota.targets if isinstance(self.quota, Quota) else None
        return Receipt(
            prompt=text,
            map=self.digest,
            route=self.fair_map.config.route,
            strength=float(self.strength),
            mapped=applied,
            moved_towards=cell,
            targets={} if targets is None else targets.of(targets.keyword_in(text)),
            decision=None if decision is None else decision.to_dict(),
        )


def detector_of(fair_map: FairMap | None, detector: DetectorSource = "auto") -> Detector | None:
    """The detector that ``detector`` stands for with this map; None without a map and for "off".

    Raises ValueError for another word, TypeError for what is no detector.
    """
    if fair_map is None or detector == "off":
        return None
    if detector == "auto":
        return fair_map.detector
    if isinstance(detector, str):
        raise ValueError(f'detector is {detector!r}; give "auto" for the map\'s own, "off", or a Detector')
    if not isinstance(detector, Detector):
        raise TypeError(f'detector is {type(detector).__name__} {detector!r}; give a Detector, "auto" or "off"')
    return detector


def applied_by(fair_map: FairMap, decision: Decision | None) -> tuple[str, ...]:
    """The attributes in which the map moves a prompt: all without a decision; those that are open of a map with group
    shifts; of another map, which moves all at once, all or none."""
    if decision is None:
        return tuple(fair_map.groups) or tuple(fair_map.config.attributes) or ("all",)
    if fair_map.groups or all(decision.apply.values()):
        return decision.applied
    return ()


def quota_of(fair_map: FairMap | None, quota: QuotaSource | None = None, *, seed: int = 0) -> Quota | None:
    """The quota that draws the groups of this map: ``quota``, or by default the map's own targets; None without a map
    or for one without group shifts.

    ``seed`` is for a quota made here; a Quota has its own. Raises ValueError for a quota where there are no shifts, and
    for one of attributes or groups that there is none for.
    """
    if fair_map is None or not fair_map.groups:
        if quota is None:
            return None
        found = "there is no map" if fair_map is None else f"this one (route {fair_map.config.route!r}) has none"
        raise ValueError(
            f"a quota needs a map with group shifts, and {found}; fit one with fit(..., route='sampled'), or leave the "
            "quota out"
        )
    if quota is None:
        quota = Targets.from_dict(fair_map.config.targets) if fair_map.config.targets else "even"
    return resolve_quota(quota, seed=seed).bind(fair_map.groups)
