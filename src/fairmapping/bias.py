"""Language bias: how unevenly far a neutral prompt's embedding lies from its attribute-specific versions.

:func:`measure` shows it for any pipeline's text encoder, with or without a map. :class:`Contrasts` holds the encoded
prompts that both this measure and :mod:`fairmapping.fit` work on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import Tensor

from . import metrics
from .embed import Embeddings, cut_off, encode
from .language_bias import Correlation, Distance, LanguageBias, positions
from .lowrank import Weight, change
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
    from .mapping import FairMap

__all__ = ["Contrasts", "Correlation", "Distance", "LanguageBias", "measure"]


def measure(
    pipe: Any,
    keywords: KeywordSource,
    attributes: AttributeSource = ("gender",),
    *,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    distance: Distance = "pooled",
    fair_map: FairMap | None = None,
    association: bool = False,
    batch_size: int = 64,
    progress: bool = False,
) -> LanguageBias:
    """The language bias of a pipeline's text encoder, after ``fair_map`` where one is given.

    association: also encode the words of every group in the keyword's place (without an article, as some are plurals),
    for :meth:`LanguageBias.associations` and :meth:`LanguageBias.weat`. Their cosines are between the means over the
    words of the prompts, whatever the ``distance``. The map moves all prompts, as it does for the distances.

    Raises ValueError for a map of another encoder, and where :mod:`fairmapping.prompts` refuses what is asked for.
    """
    _check_distance(distance)
    if fair_map is not None:
        from .fingerprint import check_encoder

        check_encoder(fair_map, pipe)
    padding = 0 if distance == "pooled" else None  # the mean is over the words
    contrasts = Contrasts.encode(
        pipe, keywords, attributes, templates, batch_size=batch_size, padding=padding, progress=progress
    )
    contrasts = contrasts if fair_map is None else contrasts.map(fair_map)
    found = contrasts.bias(distance)
    if not association:
        return found
    words = [word for attribute in contrasts.attributes for group in attribute.groups for word in group.words]
    texts = [_with_word(template, word) for word in words for template in contrasts.templates]
    encoded = encode(pipe, texts, batch_size=batch_size)
    return replace(found, cosines=contrasts.cosines(encoded if fair_map is None else _mapped(encoded, fair_map)))


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
        padding: int | None = None,
        progress: bool = False,
    ) -> Contrasts:
        """Encode all these prompts with the pipeline's text encoder; ``padding`` is that of ``fairmapping.encode``.

        Raises ValueError for prompts it would cut off.
        """
        words, resolved = resolve_keywords(keywords), tuple(resolve_attributes(attributes))
        templates = (templates,) if isinstance(templates, str) else tuple(templates)
        rows = neutral(words, templates)
        asked = rows + specific(words, resolved, templates)
        if long := cut_off(pipe, asked):
            raise ValueError(
                f"{len(long)} of {len(asked)} prompts are longer than the text encoder reads, and their ends would be "
                f"measured unseen, e.g. {long[0][:80]!r}; give shorter keywords or templates"
            )
        both = encode(pipe, asked, batch_size=batch_size, padding=padding, progress=progress)
        return cls(tuple(words), resolved, templates, both[: len(rows)], both[len(rows) :])

    def select(self, keywords: Iterable[str]) -> Contrasts:
        """The same for some of the keywords, in the order given. Raises ValueError on an unknown one."""
        index = positions(self.keywords, keywords)
        parts = []
        for embeddings in (self.neutral, self.specific):
            per = len(embeddings) // len(self.keywords)
            chosen = torch.tensor(index)[:, None] * per + torch.arange(per)
            parts.append(embeddings[chosen.flatten()])
        return replace(self, keywords=tuple(self.keywords[i] for i in index), neutral=parts[0], specific=parts[1])

    def map(self, fair_map: FairMap) -> Contrasts:
        """All embeddings after the map."""
        neutral, specific = (_mapped(part, fair_map) for part in (self.neutral, self.specific))
        return replace(self, neutral=neutral, specific=specific, mapped=True)

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

    def bias(self, distance: Distance = "pooled", weight: Weight | None = None) -> LanguageBias:
        """The language bias of these embeddings x, or of x ``weight``: cheaper than mapping all of them first."""
        distances, spreads = {}, {}
        for name, difference in self.differences(distance).items():
            moved = difference if weight is None else difference + change(difference, weight)
            d = moved.double().square().sum((-1, -2)).sqrt().numpy()
            d = d.reshape(len(self.keywords), -1, *d.shape[1:])  # (K, positions or 1, T, groups)
            even = can_be_even(d)
            count = np.maximum(even.sum(1), 1)
            spread = np.divide(d.std(-1), d.mean(-1), out=np.zeros(even.shape), where=even)
            distances[name] = (d * even[..., None]).sum(1) / count[..., None]
            spreads[name] = spread.sum(1) / count
        mapped = self.mapped or weight is not None
        return LanguageBias(self.keywords, self.attributes, self.templates, distance, mapped, distances, spreads)

    def cosines(self, words: Embeddings) -> dict[str, np.ndarray]:
        """Per attribute (K, words): cosines between the neutral prompts and ``words``, those of every word of every
        group in each template, word by word; the mean over the templates."""
        templates = len(self.templates)
        keywords, others = (  # (T, K or words, D)
            part.double().view(-1, templates, part.shape[1]).transpose(0, 1).numpy()
            for part in (self._means[0], _mean_of_words(words))
        )
        found = metrics.cosines(keywords, others).mean(0)
        ends = np.cumsum([sum(len(group.words) for group in item.groups) for item in self.attributes])
        return dict(zip((item.name for item in self.attributes), np.split(found, ends[:-1], 1), strict=True))

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


def _mapped(embeddings: Embeddings, fair_map: FairMap) -> Embeddings:
    pooled = None if embeddings.pooled is None else fair_map.map_pooled(embeddings.pooled)
    return Embeddings(fair_map(embeddings.sequence, embeddings.mask), embeddings.mask, pooled)


def _with_word(template: str, word: str) -> str:
    return template.replace("{words}", word).replace("{}", word)


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


def _check_distance(distance: str) -> None:
    if distance not in get_args(Distance):
        raise ValueError(f"distance is {distance!r}; choose {', '.join(get_args(Distance))}")
