"""Which explicit prompts a fit through the denoiser draws, and what it records of the drawings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .embed import Embeddings, encode
from .progress import progress_bar
from .prompts import Attribute, Cell, neutral, specific
from .record import Call, Recorder, takes_guidance

__all__ = ["Batch", "Plan", "draw", "plans"]

GUIDANCE = (1.0, 2.0, 4.0, 7.5)
WHOLE, NAMED = 0.6, 0.75  # of the plans: with a group of every attribute; naming each pair of the cell with odds of 1/2


@dataclass(frozen=True)
class Plan:
    """What to draw: for each image its explicit text, its cell, and the two prompts that the map is asked about."""

    text: str
    cell: Cell
    open: str  # the neutral text
    partly: str  # a text that names a part of the cell, or all of it
    named: Cell  # what that text names


@dataclass(frozen=True, eq=False)
class Batch:
    """Recorded drawings of B plans. ``open`` and ``partly`` are their prompts, encoded, B rows each."""

    plans: tuple[Plan, ...]
    open: Embeddings
    partly: Embeddings
    calls: tuple[Call, ...]


def plans(
    keywords: Sequence[str],
    attributes: Sequence[Attribute],
    templates: Sequence[str],
    count: int,
    shares: Callable[[str], Mapping[Cell, float]] | None,
    seed: int,
) -> list[Plan]:
    """``count`` drawings, spread evenly over the keywords; templates at random.

    shares: cell -> share for a keyword, from which cells are drawn; None draws them evenly, and lets four in ten name
    one of several attributes only, so that each is learnt alone as well.
    """
    rng = np.random.default_rng(seed)
    order = [keyword for _ in range(math.ceil(count / len(keywords))) for keyword in rng.permutation(keywords)]
    made = []
    for keyword in order[:count]:
        template = templates[int(rng.integers(len(templates)))]
        if shares is None:
            whole = len(attributes) == 1 or rng.random() < WHOLE
            among = attributes if whole else [attributes[int(rng.integers(len(attributes)))]]
            cell = tuple((item.name, item.group_names[rng.integers(len(item.groups))]) for item in among)
        else:
            known = shares(keyword)
            cell = list(known)[rng.choice(len(known), p=np.array(list(known.values())))]
        part = tuple(pair for pair in cell if rng.random() < 0.5) if rng.random() < NAMED else cell
        texts = {named: _text(keyword, attributes, template, named) for named in {(), part, cell}}
        made.append(Plan(texts[cell], cell, texts[()], texts[part], part))
    return made


def draw(
    pipe: Any,
    wanted: Sequence[Plan],
    *,
    batch_size: int,
    seed: int,
    call: Mapping[str, Any],
    vary: bool,
    progress: bool,
) -> list[Batch]:
    """Draw and record all ``wanted``, ``batch_size`` at a time; the seeds follow from ``seed``.

    vary: cycle through guidance scales where the denoiser is told them, so that the map holds at all of them.
    """
    recorder = Recorder(pipe)
    vary = vary and takes_guidance(pipe)
    batches = []
    with progress_bar("recording", len(wanted), "images", shown=progress) as advance:
        for index, start in enumerate(range(0, len(wanted), batch_size)):
            some = wanted[start : start + batch_size]
            seeds = np.random.default_rng([seed, index]).integers(2**62, size=len(some)).tolist()
            given = dict(call) | ({"guidance_scale": GUIDANCE[index % len(GUIDANCE)]} if vary else {})
            calls = recorder.draw([plan.text for plan in some], seeds, given)
            both = encode(pipe, [plan.open for plan in some] + [plan.partly for plan in some])
            length = both.sequence.shape[1] if calls[0].ragged else calls[0].leaves[calls[0].sequence].shape[1]
            if both.sequence.shape[1] != length:
                raise TypeError(
                    f"{type(pipe).__name__} pads prompts to {both.sequence.shape[1]} tokens here and {length} there, "
                    "so one cannot stand in for the other in the denoiser; use route='text'"
                )
            batches.append(Batch(tuple(some), both[: len(some)], both[len(some) :], tuple(calls)))
            advance(len(some))
    return batches


def _text(keyword: str, attributes: Sequence[Attribute], template: str, named: Cell) -> str:
    """The prompt that names these groups of the keyword."""
    if not named:
        return neutral([keyword], (template,))[0].text
    asked = dict(named)
    chosen = [Attribute(item.name, item.groups) for item in attributes if item.name in asked]
    rows = specific([keyword], chosen, (template,), joint=True)
    return next(row.text for row in rows if row.groups == tuple((item.name, asked[item.name]) for item in chosen))
