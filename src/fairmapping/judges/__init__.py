"""Judges: image -> faces -> perceived attributes with probabilities.

A judge sees pixels, so all it can speak of is *perceived* gender or race. "No face" is an answer and is counted; a
judge never guesses for an image without one. Each carries a card that says what it was trained and tested on, with
the confusion matrices that :func:`fairmapping.metrics.correct_counts` needs.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Judge", "Judgement", "confusion", "load_judge"]

_NAMED = {"portraits": "fairmapping.portraits.judge:PortraitsJudge"}


@dataclass(frozen=True)
class Judgement:
    """What a judge said of one image.

    faces: how many it found. probabilities: attribute -> group -> probability, for the one face or the largest of
    several; ``{}`` without a face.
    """

    faces: int
    probabilities: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.faces < 0:
            raise ValueError(f"faces is {self.faces}; a judgement counts faces from 0 up")
        if self.faces == 0 and self.probabilities:
            raise ValueError(
                "a judgement without a face holds probabilities; a judge must not guess where it sees no face"
            )

    def label(self, attribute: str) -> str | None:
        """The most probable group, or None where the judge gave none (no face, or an attribute it does not judge)."""
        groups = self.probabilities.get(attribute)
        return max(groups, key=lambda group: groups[group]) if groups else None


@runtime_checkable
class Judge(Protocol):
    """Anything with these three fields that turns a batch of PIL images into as many judgements.

    ``card`` is plain JSON. The keys that are read here, all optional: ``confusion``, attribute -> square matrix of
    counts (rows the true group, columns the judged one, both in the order of ``attributes[attribute]``); ``domain``
    and ``caution``, a sentence each, printed in the report.
    """

    name: str
    attributes: dict[str, tuple[str, ...]]
    card: dict[str, Any]

    def __call__(self, images: Sequence[Image.Image]) -> list[Judgement]: ...


def load_judge(name_or_judge: str | Judge) -> Judge:
    """A judge by name ("portraits"), by import path ("my_package.judges:MyJudge", called without arguments), or itself.

    Raises ValueError for an unknown name and TypeError for an object that is no judge.
    """
    judge: object = name_or_judge
    if isinstance(name_or_judge, str):
        target = _NAMED.get(name_or_judge, name_or_judge)
        module, _, attribute = target.partition(":")
        if not (module and attribute):
            known = ", ".join(sorted(_NAMED))
            raise ValueError(
                f"no judge is called {name_or_judge!r}; known: {known}, "
                "or an import path such as 'my_package.judges:MyJudge'"
            )
        try:
            make = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, TypeError) as error:  # TypeError: a relative path
            raise ValueError(f"the judge {name_or_judge!r} could not be loaded: {error}") from error
        if not callable(make):
            raise TypeError(
                f"{name_or_judge!r} is a {type(make).__name__}, which cannot be called; "
                "name a class or function that makes a judge without arguments"
            )
        try:
            inspect.signature(make).bind()
        except TypeError as error:
            raise TypeError(f"{name_or_judge!r} cannot be called without arguments: {error}") from error
        except ValueError:  # some built-ins have no signature
            pass
        judge = make()
    missing = [part for part in ("name", "attributes", "card") if not hasattr(judge, part)]
    if missing or not callable(judge):
        raise TypeError(f"{type(judge).__name__} is not a judge: it lacks {', '.join(missing) or '__call__'}")
    return cast(Judge, judge)


def confusion(
    card: Mapping[str, Any], attribute: str, groups: Sequence[str], judged: Sequence[str]
) -> np.ndarray | None:
    """The card's confusion matrix of one attribute for `groups` (K, K), rows true, columns judged; None where the
    card has none.

    `judged` is the order in which the card holds it (``judge.attributes[attribute]``). Raises ValueError where the
    shape does not fit.
    """
    matrix = card.get("confusion", {}).get(attribute)
    if matrix is None:
        return None
    counts = np.asarray(matrix, dtype=float)
    if counts.shape != (len(judged), len(judged)):
        raise ValueError(
            f"the judge's confusion matrix of {attribute} has shape {counts.shape}; "
            f"its {len(judged)} groups need a square of that side"
        )
    order = [list(judged).index(group) for group in groups]
    return counts[np.ix_(order, order)]
