"""Route "text": L_text + weight * L_fair, by gradient through the paper's deep linear network, or exactly.

L_text keeps every mapped embedding, neutral or attribute-specific, near the original. L_fair is the variance, within
each set of attribute-specific versions, of their distances to the neutral prompt (Li et al., arXiv 2311.17695). Both
are relative to the unmapped embeddings, so that a weight means the same for every encoder. docs/method.md has the
mathematics.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .bias import Contrasts, Distance, LanguageBias, can_be_even
from .embed import Embeddings, spread
from .gradient import descend
from .lowrank import LowRank, Weight, reduced
from .mapconfig import MapConfig, versions
from .mapping import FairMap
from .progress import progress_bar
from .prompts import DEFAULT_TEMPLATES, AttributeSource, adjectives
from .solve import Objective, Terms, solve

__all__ = ["Solver", "fit_embeddings", "fit_text", "objective", "relative_change"]

Solver = Literal["exact", "gradient"]
_PADDING = 32  # columns of padding that stand for all of it: T5 pads a dozen words to 512
_SAMPLE = 8192  # rows that stand for all, where there are hundreds of thousands


def fit_text(
    pipe: Any,
    keywords: Sequence[str],
    attributes: AttributeSource,
    *,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    held_out: Sequence[str] = (),
    solver: Solver = "exact",
    distance: Distance = "pooled",
    weight: float = 0.6,
    ridge: float = 0.2,
    rank: int | None = None,
    depth: int = 8,
    steps: int = 2000,
    lr: float = 3e-4,
    patience: int = 20,
    batch_size: int = 64,
    progress: bool = True,
) -> FairMap:
    """The paper's map: one that evens out the distances of all ``attributes`` on the text encoder, which stays frozen.

    solver: "exact" finds the global minimum of the objective, "gradient" runs Adam on the paper's network of ``depth``
    linear layers that start as identities, for at most ``steps`` steps; lr halves when ``patience`` steps bring no
    gain, and the run ends when that no longer helps. Nothing in either is random.
    distance: how far two prompts are apart, see :data:`fairmapping.bias.Distance`.
    weight: of L_fair. ridge: how strongly directions in which the embeddings hardly vary are kept as well; more of it
    makes the map use what keywords have in common, so that it holds for others.
    rank: of the map, whose W - I becomes the next matrix of that rank once it is fitted; the width or more keeps the
    square matrix. None: square for embeddings up to 2048 wide, and above that the least rank that loses at most a tenth
    of the map's change. What was lost stands in the config (``truncated``).
    held_out: keywords that are encoded but not fitted, so that the config can tell the language bias on them.
    """
    _check_settings(solver, weight, ridge, rank, depth, steps, lr, patience)
    contrasts = Contrasts.encode(
        pipe,
        [*keywords, *held_out],
        attributes,
        templates,
        batch_size=batch_size,
        padding=_PADDING if distance == "pooled" else None,  # the other distances are of positions
        progress=progress,
    )
    return fit_embeddings(
        contrasts.select(keywords),
        solver=solver,
        distance=distance,
        weight=weight,
        ridge=ridge,
        rank=rank,
        depth=depth,
        steps=steps,
        lr=lr,
        patience=patience,
        held_out=contrasts.select(held_out) if held_out else None,
        progress=progress,
    )


def fit_embeddings(
    contrasts: Contrasts,
    *,
    solver: Solver = "exact",
    distance: Distance = "pooled",
    weight: float = 0.6,
    ridge: float = 0.2,
    rank: int | None = None,
    depth: int = 8,
    steps: int = 2000,
    lr: float = 3e-4,
    patience: int = 20,
    held_out: Contrasts | None = None,
    progress: bool = False,
) -> FairMap:
    """:func:`fit_text` on prompts that are encoded already. The map knows no encoder and is not checked against one."""
    _check_settings(solver, weight, ridge, rank, depth, steps, lr, patience)
    started = time.perf_counter()
    maps: list[Tensor] = []
    kept: list[tuple[Weight, float | None]] = []
    losses, bound = None, None
    for problem in _problems(contrasts, distance, weight, ridge):
        with _progress(progress, solver, steps) as on_step:
            if solver == "exact":
                solution = solve(problem, on_step=on_step)
                M = solution.matrix
            else:
                M = descend(problem, depth, steps, lr, patience, on_step)
        maps.append(M)
        kept.append(reduced(M, problem.gram, rank))
        if losses is None:  # of the sequence's map, the first
            losses = float(problem.text(M)), float(problem.fair(M))
            bound = solution.bound if solver == "exact" else None
    seconds = time.perf_counter() - started
    assert losses is not None
    fair_map, whole = (
        FairMap(parts[0], pooled_weight=parts[1] if len(parts) > 1 else None)
        for parts in ([weight for weight, _ in kept], maps)
    )
    gradient: dict[str, Any] = {"depth": depth, "steps": steps, "lr": lr} if solver == "gradient" else {}
    config = MapConfig(
        route="text",
        attributes=adjectives(contrasts.attributes),
        keywords=list(contrasts.keywords),
        templates=list(contrasts.templates),
        solver=solver,
        distance=distance,
        weight=weight,
        ridge=ridge,
        rank=fair_map.weight.rank if isinstance(fair_map.weight, LowRank) else None,
        loss=losses[0] + weight * losses[1],
        loss_text=losses[0],
        loss_fair=losses[1],
        loss_bound=bound,
        bias_before=_means(contrasts.bias(distance)),
        bias_after=_means(contrasts.bias(distance, fair_map.weight)),
        relative_change=relative_change(contrasts, fair_map),
        seconds=round(seconds, 3),
        versions=versions(),
        **gradient,
    )
    if any(part is not None for _, part in kept):
        config = replace(
            config, truncated=_truncated(fair_map, whole, [lost for _, lost in kept], contrasts, held_out, distance)
        )
    if held_out is not None:
        config = replace(
            config,
            held_out=list(held_out.keywords),
            held_out_bias_before=_means(held_out.bias(distance)),
            held_out_bias_after=_means(held_out.bias(distance, fair_map.weight)),
            held_out_relative_change=relative_change(held_out, fair_map),
        )
    fair_map.config = config
    return fair_map


def objective(
    differences: dict[str, Tensor], embeddings: Sequence[Embeddings], *, weight: float, ridge: float
) -> Objective:
    """L_text + weight * L_fair from difference blocks (A, T, groups, l, D) and the embeddings to keep.

    L_text = mean ||x M - x||^2 / mean ||x||^2 over all rows x that are not zero, and ``ridge`` times the same for
    embeddings without any preferred direction. L_fair is the mean over attributes of the mean over their terms of
    Var_j(d_j), each over what it is unmapped: 0 is even, 1 as before.

    Raises ValueError where an attribute has no differences to even out.
    """
    terms = []
    for name, blocks in differences.items():
        subjects, templates = blocks.shape[:2]
        rows = blocks.flatten(0, 1).double()  # (T, groups, l, D)
        d = rows.square().sum((-1, -2)).sqrt()
        keep = torch.from_numpy(can_be_even(d.numpy()))
        if not bool(keep.any()):
            raise ValueError(
                f"the encoder gives the neutral prompts and their versions by {name} the same embeddings; "
                "are the keywords so long that the prompts are cut off?"
            )
        rows, d = rows[keep], d[keep]
        unit = max(float(d.var(1, correction=0).mean()), 1e-6 * float(d.square().mean()))  # never zero
        weights = torch.full((len(rows),), 1 / (unit * len(rows) * len(differences)))
        subject = torch.arange(subjects).repeat_interleave(templates)[keep]
        terms.append(Terms(rows, weights.double(), subject))
    moment = torch.stack([_second_moment(part) for part in embeddings]).sum(0)
    gram = moment / moment.trace()
    gram.diagonal().add_(ridge / len(gram))
    return Objective(gram, tuple(terms), weight)


def relative_change(contrasts: Contrasts, fair_map: FairMap, other: FairMap | None = None) -> float:
    """Mean of ||f(x) - g(x)|| / ||x|| over the rows of all prompts, padding included and zero rows left out; g is
    ``other``, and without it leaves x as it is.

    Of many rows, some spread evenly over the prompts stand for all.
    """
    parts = (contrasts.neutral.sequence.flatten(0, 1), contrasts.specific.sequence.flatten(0, 1))
    x = torch.cat([part[spread(len(part), _SAMPLE // 4)] for part in parts])
    x = x[x.any(-1)]
    moved = fair_map(x) - (x if other is None else other(x))
    return float((moved.norm(dim=-1) / x.norm(dim=-1)).double().mean())


def _truncated(
    fair_map: FairMap,
    whole: FairMap,
    lost: Sequence[float | None],
    contrasts: Contrasts,
    held_out: Contrasts | None,
    distance: Distance,
) -> dict[str, Any]:
    """What keeping ``fair_map``, of low rank, in place of the ``whole`` one costs."""
    ranks = [part.rank if isinstance(part, LowRank) else None for part in (fair_map.weight, fair_map.pooled_weight)]
    found: dict[str, Any] = {"rank": ranks[0], "lost": lost[0]}
    if len(lost) > 1:
        found |= {"pooled_rank": ranks[1], "pooled_lost": lost[1]}
    for prefix, part in (("", contrasts), ("held_out_", held_out)):
        if part is not None:
            found[f"{prefix}bias_after"] = _means(part.bias(distance, whole.weight))
            found[f"{prefix}difference"] = relative_change(part, fair_map, whole)
    return found


def _problems(contrasts: Contrasts, distance: Distance, weight: float, ridge: float) -> Iterator[Objective]:
    """The sequence's objective, and that of the pooled embeddings where the encoder gives them."""
    parts = (contrasts.neutral, contrasts.specific)
    yield objective(contrasts.differences(distance), parts, weight=weight, ridge=ridge)
    pooled = [part.pooled[:, None] for part in parts if part.pooled is not None]
    if pooled:
        alone = [Embeddings(part, torch.ones(part.shape[:2], dtype=torch.bool)) for part in pooled]
        yield objective(contrasts.pooled_differences(), alone, weight=weight, ridge=ridge)


def _second_moment(part: Embeddings) -> Tensor:
    """(D, D) sum of x'x over all rows of text, and over the padding, of which some rows stand for all."""
    sequence, mask = part.sequence, part.mask
    rows, text = sequence.flatten(0, 1), mask.flatten()
    words, padding = rows[text], (~text).nonzero()[:, 0]
    moment = (words.mT @ words).double()
    if len(padding):
        index = spread(len(padding), _SAMPLE)
        some = rows[padding[index]]
        moment += (some.mT @ some).double() * (part.stands_for * len(padding) / len(index))
    return moment


def _check_settings(
    solver: str, weight: float, ridge: float, rank: int | None, depth: int, steps: int, lr: float, patience: int
) -> None:
    if solver not in get_args(Solver):
        raise ValueError(f"solver is {solver!r}; choose {' or '.join(get_args(Solver))}")
    for name, value in (("weight", weight), ("ridge", ridge), ("lr", lr)):
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} is {value}; a number above 0 is needed")
    for name, count in (
        ("rank", 1 if rank is None else rank),
        ("depth", depth),
        ("steps", steps),
        ("patience", patience),
    ):
        if count < 1:
            raise ValueError(f"{name} is {count}; at least 1 is needed")


def _means(bias: LanguageBias) -> dict[str, float]:
    return {item.name: float(bias.bias(item.name).mean()) for item in bias.attributes}


@contextmanager
def _progress(shown: bool, solver: Solver, steps: int) -> Iterator[Callable[..., None]]:
    """A callback of (step, loss[, bound]) that moves a progress bar."""
    last = 0
    with progress_bar(f"fitting ({solver})", steps if solver == "gradient" else None, "", shown=shown) as advance:

        def on_step(step: int, loss: float, bound: float | None = None) -> None:
            nonlocal last
            advance(step - last, f"loss {loss:.5f}" + ("" if bound is None else f", at best {bound:.5f}"))
            last = step

        yield on_step
