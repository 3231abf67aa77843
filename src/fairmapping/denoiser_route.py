"""Routes "sampled" and "denoiser": a map fitted through the denoiser, on what the pipeline itself draws."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .attach import is_attached
from .drawings import Plan, draw, plans
from .embed import cut_off
from .generate import call_defaults
from .lowrank import LowRank, Weight, product
from .mapconfig import MapConfig, versions
from .mapping import FairMap
from .prompts import VARIED_TEMPLATES, Attribute, adjectives
from .regress import Affine, Regression, regress
from .shifts import GroupShifts

if TYPE_CHECKING:
    from .targets import Targets

__all__ = ["fit_denoiser", "fit_sampled"]

MISTAKEN = 0.4  # how often a group that the prompt names is shifted nevertheless: the prompt must win
EARLY = 0.6  # the part of a drawing, from pure noise on, in which it is settled who is drawn


def fit_sampled(
    pipe: Any,
    keywords: Sequence[str],
    attributes: Sequence[Attribute],
    *,
    templates: Sequence[str] = VARIED_TEMPLATES,
    targets: Targets | None = None,
    images: int = 1536,
    rank: int = 32,
    steps: int = 1000,
    lr: float = 2e-3,
    call: Mapping[str, Any] | None = None,
    checkpointing: bool = False,
    resume: Path | None = None,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = True,
) -> FairMap:
    """A map of group shifts: see :class:`fairmapping.shifts.GroupShifts` and :mod:`fairmapping.regress`.

    The shares are not fitted: ``targets`` are kept with the map as what it draws the groups from by default.
    """
    pairs = [(item.name, group.name) for item in attributes for group in item.groups]
    place = {pair: index for index, pair in enumerate(pairs)}
    rivals = {item.name: [place[item.name, group.name] for group in item.groups] for item in attributes}

    def choose(plan: Plan, is_open: bool, rng: np.random.Generator) -> list[float]:
        weights = [0.0] * len(pairs)
        named = () if is_open else plan.named
        for pair in plan.cell:
            if pair not in named:
                weights[place[pair]] = 1.0
            elif rng.random() < MISTAKEN:
                weights[rng.choice(rivals[pair[0]])] = 1.0
        return weights

    settings = Regression(rank, steps, lr, 1.0, seed, checkpointing, resume)
    wanted = plans(keywords, attributes, templates, images, None, seed)
    nets, config = _fitted(pipe, wanted, choose, len(pairs), settings, call, batch_size, progress)
    groups = {item.name: item.group_names for item in attributes}
    shifts = [GroupShifts(groups, *net.folded()) for net in nets]
    pooled = shifts[1] if len(shifts) > 1 else None
    return FairMap(
        LowRank.identity(shifts[0].width),
        shifts=shifts[0],
        pooled_weight=None if pooled is None else LowRank.identity(pooled.width),
        pooled_shifts=pooled,
        config=_config("sampled", keywords, attributes, templates, targets, config),
    )


def fit_denoiser(
    pipe: Any,
    keywords: Sequence[str],
    attributes: Sequence[Attribute],
    *,
    templates: Sequence[str] = VARIED_TEMPLATES,
    targets: Targets,
    images: int = 1536,
    rank: int = 64,
    steps: int = 1000,
    lr: float = 2e-3,
    call: Mapping[str, Any] | None = None,
    checkpointing: bool = False,
    resume: Path | None = None,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = True,
) -> FairMap:
    """One affine map whose predictions are those of the mixture of all cells in the ``targets``' shares: see
    :mod:`fairmapping.regress`."""
    settings = Regression(rank, steps, lr, EARLY, seed, checkpointing, resume)
    wanted = plans(keywords, attributes, templates, images, targets.cells, seed)
    nets, config = _fitted(pipe, wanted, lambda *_: [1.0], 1, settings, call, batch_size, progress)
    parts = [_affine(net) for net in nets]
    pooled = parts[1] if len(parts) > 1 else (None, None)
    return FairMap(
        *parts[0],
        pooled_weight=pooled[0],
        pooled_bias=pooled[1],
        config=_config("denoiser", keywords, attributes, templates, targets, config),
    )


def _fitted(
    pipe: Any,
    wanted: Sequence[Plan],
    choose: Any,
    count: int,
    settings: Regression,
    call: Mapping[str, Any] | None,
    batch_size: int,
    progress: bool,
) -> tuple[list[Affine], dict[str, Any]]:
    """The fitted steps, and what the config says of the fit."""
    if is_attached(pipe):
        raise RuntimeError("a map is attached to the pipeline, and its images would be fitted on; detach it first")
    texts = [text for plan in wanted for text in (plan.text, plan.open, plan.partly)]
    if long := cut_off(pipe, sorted(set(texts))):
        raise ValueError(
            f"{len(long)} prompts are longer than the text encoder reads, e.g. {long[0][:80]!r}; "
            "give shorter keywords or templates"
        )
    started = time.perf_counter()
    given = call_defaults(pipe) | dict(call or {})
    batches = draw(
        pipe,
        wanted,
        batch_size=batch_size,
        seed=settings.seed,
        call=given,
        vary="guidance_scale" not in (call or {}),
        progress=progress,
    )
    settings = replace(settings, call=repr(sorted(given.items())))
    nets, left = regress(pipe, batches, choose, count, settings, progress=progress)
    return nets, {
        "rank": settings.rank,
        "steps": settings.steps,
        "lr": settings.lr,
        "images": len(wanted),
        "loss": left,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _affine(net: Affine) -> tuple[Weight, Tensor]:
    """W, of the fit's rank, and b (D,) of x -> x + the step."""
    down, up, bias = net.folded()
    return product(down, up[0]), bias[0]


def _config(
    route: str,
    keywords: Sequence[str],
    attributes: Sequence[Attribute],
    templates: Sequence[str],
    targets: Targets | None,
    fitted: dict[str, Any],
) -> MapConfig:
    return MapConfig(
        route=route,
        attributes=adjectives(attributes),
        keywords=list(keywords),
        templates=list(templates),
        targets={} if targets is None else targets.to_dict(),
        versions=versions(),
        **fitted,
    )
