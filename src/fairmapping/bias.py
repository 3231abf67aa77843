"""Language bias: how unevenly far a neutral prompt's embedding lies from its attribute-specific versions.

:func:`measure` shows it for any pipeline's text encoder, with or without a map. :class:`Contrasts` holds the encoded
prompts that both this measure and :mod:`fairmapping.fit` work on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from .embed import Embeddings, cut_off, encode
from .metrics import Interval, bootstrap_mean
from .prompts import (
    DEFAULT_TEMPLATES,
    Attribute,
    AttributeSource,
    KeywordSource,
    neutral,
    resolve_attributes,
    resolve_keywords,
    specific,
)

if TYPE_CHECKING:
    import pandas as pd

    from .mapping import FairMap

__all__ = ["Contrasts", "Correlation", "Distance", "LanguageBias", "measure"]

# How far two prompts lie apart. pooled: between the means over their words. position: token by token, each position
# being a distance of its own. sequence: between the whole sequences, padding included (Frobenius).
Distance = Literal["pooled", "position", "sequence"]


@dataclass(frozen=True)
class Correlation:
    """Of the direction of language bias with known shares, over ``n`` keywords; p-values are two-sided."""

    attribute: str
    group: str
    n: int
    spearman: float
    spearman_p: float
    pearson: float
    pearson_p: float

    def __str__(self) -> str:
        return (
            f"Spearman {self.spearman:.2f} (p = {self.spearman_p:.1g}), Pearson {self.pearson:.2f} "
            f"(p = {self.pearson_p:.1g}) with the share of {self.group}, n = {self.n}"
        )


@dataclass(frozen=True, eq=False)
class LanguageBias:
    """What :func:`measure` found.

    ``distances``: per attribute (keywords, templates, groups), from the neutral prompt to each specific version.
    ``spreads``: per attribute (keywords, templates), their standard deviation over their mean. With the distance
    "position" both are means over the positions at which all groups differ from the neutral prompt.
    """

    keywords: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    templates: tuple[str, ...]
    distance: Distance
    mapped: bool
    distances: Mapping[str, np.ndarray]
    spreads: Mapping[str, np.ndarray]

    def bias(self, attribute: str) -> np.ndarray:
        """(keywords,) language bias of one attribute, the mean over the templates; 0 is even."""
        return self.spreads[self._attribute(attribute).name].mean(1)

    def direction(self, group: str, attribute: str | None = None) -> np.ndarray:
        """(keywords,) how much nearer the neutral prompt is to ``group`` than to the other groups, on average.

        For two groups this is d(neutral, other) - d(neutral, group). ``attribute`` may be left out where one only has
        a group of this name. Raises ValueError for an unknown group.
        """
        owner = self._owner(group, attribute)
        mean = self.distances[owner.name].mean(1)  # (keywords, groups)
        index = owner.group_names.index(group)
        return np.delete(mean, index, 1).mean(1) - mean[:, index]

    def correlation(self, shares: Mapping[str, float], group: str, attribute: str | None = None) -> Correlation:
        """Of :meth:`direction` with known ``shares``, keyword -> share of ``group`` (say, among the images of a model).

        Keywords without a share are left out. Raises ValueError if fewer than three have one, or all have the same.
        """
        from scipy import stats

        owner = self._owner(group, attribute)
        known = [i for i, keyword in enumerate(self.keywords) if keyword in shares]
        y = np.array([shares[self.keywords[i]] for i in known], float)
        if len(known) < 3 or not np.isfinite(y).all() or np.ptp(y) == 0:
            raise ValueError(
                f"{len(known)} of the {len(self.keywords)} keywords have a share of {group!r}; "
                "a correlation needs three, finite and not all the same"
            )
        x = self.direction(group, owner.name)[known]
        spearman, pearson = stats.spearmanr(x, y), stats.pearsonr(x, y)
        figures = (spearman.statistic, spearman.pvalue, pearson.statistic, pearson.pvalue)
        return Correlation(owner.name, group, len(known), *(float(figure) for figure in figures))

    def table(self, attribute: str | None = None) -> pd.DataFrame:
        """One row per attribute and keyword, the most biased first: keyword, attribute, bias, nearest (the group that
        the neutral prompt is nearest to) and, where one ``attribute`` is asked for, the distance to each of its groups.
        """
        import pandas as pd

        parts = []
        for item in self.attributes if attribute is None else (self._attribute(attribute),):
            mean = self.distances[item.name].mean(1)
            columns: dict[str, Any] = {"keyword": self.keywords, "attribute": item.name, "bias": self.bias(item.name)}
            columns["nearest"] = np.array(item.group_names)[mean.argmin(1)]
            if attribute is not None:
                columns |= dict(zip(item.group_names, mean.T, strict=True))
            parts.append(pd.DataFrame(columns).sort_values("bias", ascending=False, kind="stable"))
        return pd.concat(parts, ignore_index=True)

    def summary(self) -> dict[str, Interval]:
        """Per attribute, the mean language bias with its bootstrap interval over the keywords."""
        return {item.name: bootstrap_mean(self.bias(item.name)) for item in self.attributes}

    def select(self, keywords: Iterable[str]) -> LanguageBias:
        """The same for some of the keywords, say those that a map was not fitted on. Raises ValueError on others."""
        index = _positions(self.keywords, keywords)
        return replace(
            self,
            keywords=tuple(self.keywords[i] for i in index),
            distances={name: values[index] for name, values in self.distances.items()},
            spreads={name: values[index] for name, values in self.spreads.items()},
        )

    def _attribute(self, name: str) -> Attribute:
        found = next((item for item in self.attributes if item.name == name), None)
        if found is None:
            names = ", ".join(item.name for item in self.attributes)
            raise ValueError(f"attribute {name!r} was not measured; measured: {names}")
        return found

    def _owner(self, group: str, attribute: str | None) -> Attribute:
        asked = self.attributes if attribute is None else (self._attribute(attribute),)
        owners = [item for item in asked if group in item.group_names]
        if len(owners) != 1:
            names = "; ".join(f"{item.name}: {', '.join(item.group_names)}" for item in asked)
            problem = "is a group of several attributes, so name one" if owners else "was not measured"
            raise ValueError(f"group {group!r} {problem} (measured: {names})")
        return owners[0]


def measure(
    pipe: Any,
    keywords: KeywordSource,
    attributes: AttributeSource = ("gender",),
    *,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    distance: Distance = "pooled",
    fair_map: FairMap | None = None,
    batch_size: int = 64,
    progress: bool = False,
) -> LanguageBias:
    """The language bias of a pipeline's text encoder, after ``fair_map`` where one is given.

    Raises ValueError for a map of another encoder, and where :mod:`fairmapping.prompts` refuses what is asked for.
    """
    _check_distance(distance)
    if fair_map is not None:
        from .embed import fingerprint

        fair_map.check_encoder(fingerprint(pipe))
    contrasts = Contrasts.encode(pipe, keywords, attributes, templates, batch_size=batch_size, progress=progress)
    return (contrasts if fair_map is None else contrasts.map(fair_map)).bias(distance)


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Encoded neutral prompts and their attribute-specific versions.

    With K keywords, T templates and G groups over all attributes: ``neutral`` holds K * T prompts, keyword by keyword,
    and ``specific`` G of them for each of those, attribute by attribute. Raises ValueError if the numbers disagree.
    """

    keywords: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    templates: tuple[str, ...]
    neutral: Embeddings
    specific: Embeddings
    mapped: bool = False

    def __post_init__(self) -> None:
        rows = len(self.keywords) * len(self.templates)
        groups = sum(len(item.groups) for item in self.attributes)
        found = (len(self.neutral), len(self.specific))
        if found != (rows, rows * groups):
            raise ValueError(
                f"{found[0]} neutral and {found[1]} specific embeddings; {len(self.keywords)} keywords, "
                f"{len(self.templates)} templates and {groups} groups make {rows} and {rows * groups}"
            )

    @classmethod
    def encode(
        cls,
        pipe: Any,
        keywords: KeywordSource,
        attributes: AttributeSource,
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        *,
        batch_size: int = 64,
        progress: bool = False,
    ) -> Contrasts:
        """Encode all these prompts with the pipeline's text encoder. Raises ValueError for prompts it would cut off."""
        words, resolved = resolve_keywords(keywords), tuple(resolve_attributes(attributes))
        templates = (templates,) if isinstance(templates, str) else tuple(templates)
        rows = neutral(words, templates)
        asked = rows + specific(words, resolved, templates)
        if long := cut_off(pipe, asked):
            raise ValueError(
                f"{len(long)} of {len(asked)} prompts are longer than the text encoder reads, and their ends would be "
                f"measured unseen, e.g. {long[0][:80]!r}; give shorter keywords or templates"
            )
        both = encode(pipe, asked, batch_size=batch_size, progress=progress)
        return cls(tuple(words), resolved, templates, both[: len(rows)], both[len(rows) :])

    def select(self, keywords: Iterable[str]) -> Contrasts:
        """The same for some of the keywords, in the order given. Raises ValueError on an unknown one."""
        index = _positions(self.keywords, keywords)
        parts = []
        for embeddings in (self.neutral, self.specific):
            per = len(embeddings) // len(self.keywords)
            chosen = torch.tensor(index)[:, None] * per + torch.arange(per)
            parts.append(embeddings[chosen.flatten()])
        return replace(self, keywords=tuple(self.keywords[i] for i in index), neutral=parts[0], specific=parts[1])

    def map(self, fair_map: FairMap) -> Contrasts:
        """All embeddings after the map."""
        moved = []
        for part in (self.neutral, self.specific):
            pooled = None if part.pooled is None else fair_map.map_pooled(part.pooled)
            moved.append(Embeddings(fair_map(part.sequence, part.mask), part.mask, pooled))
        return replace(self, neutral=moved[0], specific=moved[1], mapped=True)

    def differences(self, distance: Distance) -> dict[str, Tensor]:
        """Per attribute (A, T, groups, l, D): specific less neutral, for A subjects in T templates.

        A distance is the Frobenius norm of its (l, D) block. pooled: A = K keywords and l = 1; sequence: A = K and
        l = positions; position: A = K * positions, keyword by keyword, and l = 1.
        """
        _check_distance(distance)
        if distance == "pooled":
            blocks = [mean[:, None] for mean in self._means]
        else:
            blocks = [part.sequence for part in (self.neutral, self.specific)]
        length, width = blocks[0].shape[1:]
        difference = blocks[1].view(len(self.neutral), -1, length, width) - blocks[0][:, None]
        difference = difference.view(len(self.keywords), len(self.templates), -1, length, width)  # (K, T, G, L, D)
        if distance == "position":
            difference = difference.permute(0, 3, 1, 2, 4).flatten(0, 1).unsqueeze(3)
        return self._by_attribute(difference)

    def pooled_differences(self) -> dict[str, Tensor]:
        """As :meth:`differences`, of the encoder's own pooled embeddings: (K, templates, groups, 1, P)."""
        if self.neutral.pooled is None or self.specific.pooled is None:
            raise ValueError("this encoder gives no pooled embeddings")
        width = self.neutral.pooled.shape[1]
        difference = self.specific.pooled.view(len(self.neutral), -1, width) - self.neutral.pooled[:, None]
        return self._by_attribute(difference.view(len(self.keywords), len(self.templates), -1, 1, width))

    def bias(self, distance: Distance = "pooled", matrix: Tensor | None = None) -> LanguageBias:
        """The language bias of these embeddings x, or of x ``matrix``: cheaper than mapping all of them first."""
        distances, spreads = {}, {}
        for name, difference in self.differences(distance).items():
            moved = difference if matrix is None else difference @ matrix.to(difference)
            d = moved.double().square().sum((-1, -2)).sqrt().numpy()
            d = d.reshape(len(self.keywords), -1, *d.shape[1:])  # (K, positions or 1, T, groups)
            even = can_be_even(d)
            count = np.maximum(even.sum(1), 1)
            spread = np.divide(d.std(-1), d.mean(-1), out=np.zeros(even.shape), where=even)
            distances[name] = (d * even[..., None]).sum(1) / count[..., None]
            spreads[name] = spread.sum(1) / count
        mapped = self.mapped or matrix is not None
        return LanguageBias(self.keywords, self.attributes, self.templates, distance, mapped, distances, spreads)

    @cached_property
    def _means(self) -> tuple[Tensor, Tensor]:
        """The mean over the words of each neutral and of each specific prompt: a fit needs them three times."""
        return _mean_of_words(self.neutral), _mean_of_words(self.specific)

    def _by_attribute(self, difference: Tensor) -> dict[str, Tensor]:
        sizes = [len(item.groups) for item in self.attributes]
        return dict(zip((item.name for item in self.attributes), difference.split(sizes, 2), strict=True))


def can_be_even(d: np.ndarray) -> np.ndarray:
    """(..., groups) -> (...): whether all distances are there.

    A causal encoder sees no difference before the first word that differs, and in "a female" against "an asian" the
    article already differs: a distance of zero stays zero under every linear map, so such a term says nothing.
    """
    return d.min(-1) > 1e-5 * d.mean()


def _mean_of_words(embeddings: Embeddings) -> Tensor:
    """(N, D): the mean over the tokens of the text."""
    mask = embeddings.mask
    if not bool(mask.any(1).all()):
        raise ValueError(f"prompt {int((~mask.any(1)).nonzero()[0, 0])} has no token of text (its mask is all False)")
    used = mask.any(0).nonzero()[:, 0]  # mostly the first few of 77 or more
    begin, end = int(used[0]), int(used[-1]) + 1
    weight = mask[:, begin:end].to(embeddings.sequence)
    mean = torch.bmm((weight / weight.sum(1, keepdim=True))[:, None], embeddings.sequence[:, begin:end])
    return mean[:, 0]


def _positions(names: Sequence[str], asked: Iterable[str]) -> list[int]:
    place = {name: i for i, name in enumerate(names)}
    asked = list(asked)
    if unknown := [name for name in asked if name not in place]:
        raise ValueError(f"keyword {unknown[0]!r} is not among the {len(names)} at hand")
    if not asked:
        raise ValueError("no keywords to select; give at least one")
    return [place[name] for name in asked]


def _check_distance(distance: str) -> None:
    if distance not in get_args(Distance):
        raise ValueError(f"distance is {distance!r}; choose {', '.join(get_args(Distance))}")
