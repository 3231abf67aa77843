"""Maps fitted apart become one: a gender map and a race map that is one map for both."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from .detect import Detector
from .lowrank import LowRank, Weight, chained, change
from .mapconfig import MapConfig
from .mapping import FairMap, check_strength
from .shifts import GroupShifts

__all__ = ["compose"]


def compose(*maps: FairMap, strengths: Sequence[float] | None = None) -> FairMap:
    """The map that applies ``maps`` one after the other; group shifts add up, each taken from the unmapped embedding.

    ``strengths``, one a map, move that part of each map's way, as ``strength`` does in :meth:`FairMap.forward`; by
    default all of it. The strength that the whole is applied with comes on top.

    Raises ValueError for no maps, maps of different encoders or widths, other numbers of strengths or such as are no
    numbers, and two maps that shift the same attribute: one of them would undo the other.
    """
    if not maps:
        raise ValueError("no maps to compose; give at least one")
    parts = [1.0] * len(maps) if strengths is None else list(strengths)
    if len(parts) != len(maps):
        raise ValueError(f"{len(parts)} strengths for {len(maps)} maps; give one a map")
    first = maps[0]
    seen: dict[str, int] = {}
    for place, fair_map in enumerate(maps, 1):
        if fair_map.config.encoder and place > 1:
            first.check_encoder(fair_map.config.encoder)
        widths = {(m.width, m.pooled_width) for m in (first, fair_map) if m.pooled_width}
        if fair_map.width != first.width or len(widths) > 1:
            raise ValueError(
                f"map {place} is for embeddings {fair_map.width} wide, pooled {fair_map.pooled_width}, and the first "
                f"for {first.width}, pooled {first.pooled_width}; compose maps of one encoder"
            )
        for attribute in fair_map.groups:
            if attribute in seen:
                raise ValueError(f"maps {seen[attribute]} and {place} both shift {attribute!r}; leave one of them out")
            seen[attribute] = place
    weight, bias = _chained([_part(m.weight, m.bias, part) for m, part in zip(maps, parts, strict=True)])
    pooled = [
        _part(m.pooled_weight, m.pooled_bias, part)
        for m, part in zip(maps, parts, strict=True)
        if m.pooled_weight is not None and m.pooled_bias is not None
    ]
    pooled_weight, pooled_bias = _chained(pooled) if pooled else (None, None)
    return FairMap(
        weight,
        bias,
        pooled_weight=pooled_weight,
        pooled_bias=pooled_bias,
        shifts=_stacked([(m.shifts, part) for m, part in zip(maps, parts, strict=True) if m.shifts is not None]),
        pooled_shifts=_stacked(
            [(m.pooled_shifts, part) for m, part in zip(maps, parts, strict=True) if m.pooled_shifts is not None]
        ),
        config=_together([m.config for m in maps], parts, list(seen)),
        detector=functools.reduce(Detector.joined, (m.detector for m in maps)),
    )


def _part(weight: Weight, bias: Tensor, strength: float) -> tuple[Weight, Tensor]:
    """x + strength * (x W + b - x) as one W and b."""
    check_strength(strength)
    if isinstance(weight, LowRank):
        return LowRank(weight.down, strength * weight.up), strength * bias
    unit = torch.eye(len(weight)).to(weight)
    return unit + strength * (weight - unit), strength * bias


def _chained(parts: Sequence[tuple[Weight, Tensor]]) -> tuple[Weight, Tensor]:
    """x -> (x W1 + b1) W2 + b2 ... as one W and b."""
    weight, bias = parts[0]
    for following, constant in parts[1:]:
        weight, bias = chained(weight, following), bias + change(bias, following) + constant
    return weight, bias


def _stacked(parts: Sequence[tuple[GroupShifts, float]]) -> GroupShifts | None:
    """All shifts, each times its strength, as one: the inner directions stand side by side, and each group reads those
    of its own map."""
    if not parts:
        return None
    rank, before, ups = sum(part.rank for part, _ in parts), 0, []
    for part, strength in parts:
        up = part.up.new_zeros(len(part.up), rank, part.width)
        up[:, before : before + part.rank] = strength * part.up
        ups.append(up)
        before += part.rank
    groups = {attribute: names for part, _ in parts for attribute, names in part.groups.items()}
    down, bias = torch.cat([part.down for part, _ in parts], 1), torch.cat([part.bias * s for part, s in parts])
    return GroupShifts(groups, down, torch.cat(ups), bias)


def _together(configs: Sequence[MapConfig], strengths: Sequence[float], shifted: list[str]) -> MapConfig:
    """What the whole was fitted on; figures of the parts are not the whole's, so they are left out."""
    attributes = {name: words for config in configs for name, words in config.attributes.items()}
    shares: dict[str, dict[str, float]] = {}
    by_keyword: dict[str, dict[str, dict[str, float]]] = {}
    for config in configs:
        shares |= config.targets.get("shares", {})
        for keyword, own in config.targets.get("by_keyword", {}).items():
            by_keyword[keyword] = by_keyword.get(keyword, {}) | own
    return MapConfig(
        encoder=next((config.encoder for config in configs if config.encoder), {}),
        attributes=attributes,
        shifted=shifted,
        keywords=list(dict.fromkeys(word for config in configs for word in config.keywords)),
        held_out=list(dict.fromkeys(word for config in configs for word in config.held_out)),
        templates=list(dict.fromkeys(text for config in configs for text in config.templates)),
        route=" + ".join(
            config.route if part == 1 else f"{config.route} x {part:g}"
            for config, part in zip(configs, strengths, strict=True)
        ),
        targets={"shares": shares, "by_keyword": by_keyword} if shares or by_keyword else {},
        versions=dict(configs[-1].versions),
    )
