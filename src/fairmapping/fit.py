"""Fit a map for a pipeline by one of four routes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from .calibrated_route import fit_calibrated
from .denoiser_route import fit_denoiser, fit_sampled
from .detect import Detector
from .embed import check_pipeline
from .fingerprint import fingerprint
from .mapping import FairMap
from .prompts import Attribute, AttributeSource, KeywordSource, neutral, resolve_attributes, resolve_keywords
from .targets import Targets, resolve_targets
from .text_route import fit_text

__all__ = ["Route", "fit"]

Route = Literal["sampled", "denoiser", "calibrated", "text"]
_ROUTES: dict[str, Callable[..., FairMap]] = {
    "sampled": fit_sampled,
    "denoiser": fit_denoiser,
    "calibrated": fit_calibrated,
    "text": fit_text,
}


def fit(
    pipe: Any,
    keywords: KeywordSource,
    attributes: AttributeSource = ("gender", "race"),
    *,
    route: Route = "sampled",
    targets: Any = None,
    templates: Sequence[str] | None = None,
    holdout: float | KeywordSource | None = None,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = True,
    resume: str | os.PathLike[str] | None = None,
    **options: Any,
) -> FairMap:
    """Fit one map for all ``attributes`` on ``pipe``, whose weights stay as they are.

    route:
      "sampled" fits a shift towards each group; every image's group is then drawn, in exact shares. The default.
      "denoiser" fits one map under which the denoiser predicts the mixture of all groups.
      "calibrated" adjusts such a map until a judge sees the target shares among its images.
      "text" evens out the distances between the texts, as the paper has it. Draws nothing.
    targets: the shares to reach, as :func:`fairmapping.targets.resolve_targets` takes them; by default even. The text
      route has none. The sampled route keeps them as what the map draws from unless told otherwise.
    templates: where the keywords stand; by default DEFAULT_TEMPLATES of :mod:`fairmapping.prompts` for "text" and
      VARIED_TEMPLATES for the others.
    holdout: keywords that are not fitted and are listed in the map's config; a fraction takes that share of
      ``keywords``, drawn with ``seed``.
    resume: a file that a fit through the denoiser is saved to now and then; the same call goes on with it.
    options: of the route: see fit_sampled and fit_denoiser (images, rank, steps, lr, call, checkpointing),
      fit_calibrated and fit_text (solver, distance, weight, ridge, ...).

    Raises ValueError for settings out of range and where :mod:`fairmapping.prompts` refuses what is asked for,
    TypeError for an option that the route does not have or a pipeline that it cannot be used with.
    """
    if route not in _ROUTES:
        raise ValueError(f"route is {route!r}; choose {', '.join(get_args(Route))}")
    check_pipeline(pipe)
    fitted, held_out = _split(resolve_keywords(keywords), holdout, seed)
    asked = resolve_attributes(attributes)
    given: dict[str, Any] = {"batch_size": batch_size, "progress": progress, **options}
    if templates is not None:
        given["templates"] = (templates,) if isinstance(templates, str) else tuple(templates)
        neutral(fitted[:1], given["templates"])  # refuses a bad one
    if route == "text":
        if targets is not None or resume is not None:
            raise ValueError(
                "route 'text' evens out distances, in seconds: it knows no targets and no resume; "
                "leave them out, or choose another route"
            )
        given["held_out"] = held_out
    else:
        given |= {"targets": _targets(targets, asked, route), "seed": seed}
        given["resume"] = None if resume is None else Path(resume)
    known = inspect.signature(_ROUTES[route]).parameters
    if unknown := sorted(set(given) - set(known)):
        own = [name for name in list(known)[3:] if name not in ("held_out", "targets", "seed")]
        raise TypeError(f"route {route!r} has no option {unknown[0]!r}; it has {', '.join(own)}")
    fair_map = _ROUTES[route](pipe, fitted, asked, **given)
    fair_map.config = replace(fair_map.config, encoder=fingerprint(pipe), seed=seed, held_out=held_out)
    fair_map.detector = Detector(fitted, asked)
    return fair_map


def _targets(source: Any, asked: Sequence[Attribute], route: Route) -> Targets:
    """The targets; what they leave out is even where the map itself has to reach them."""
    groups = {item.name: item.group_names for item in asked}
    found = resolve_targets(source, groups)
    if route == "sampled":
        return found
    return Targets({**resolve_targets("even", groups).shares, **found.shares}, found.by_keyword)


def _split(keywords: list[str], holdout: float | KeywordSource | None, seed: int) -> tuple[list[str], list[str]]:
    """Keywords to fit on and keywords to report on."""
    if holdout is None:
        return keywords, []
    if isinstance(holdout, (int, float)):
        count = round(holdout * len(keywords))
        if not 0 <= holdout < 1 or count >= len(keywords):
            raise ValueError(f"holdout is {holdout}; give a fraction below 1 that leaves keywords to fit on, or a list")
        order = torch.randperm(len(keywords), generator=torch.Generator().manual_seed(seed)).tolist()
        apart = set(order[:count])
        return [k for i, k in enumerate(keywords) if i not in apart], [keywords[i] for i in sorted(apart)]
    held_out = resolve_keywords(holdout)
    if both := set(held_out) & set(keywords):
        raise ValueError(f"{min(both)!r} is both in keywords and in holdout; it cannot be fitted and held out at once")
    return keywords, held_out
