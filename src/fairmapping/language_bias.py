"""What was found of an encoder's language bias: distances, spreads, directions, their correlation with known shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import metrics
from .metrics import Association, Interval, bootstrap_mean
from .prompts import Attribute

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Correlation", "Distance", "LanguageBias", "positions"]

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
    "position" both are means over the positions at which all groups differ from the neutral prompt. ``cosines``, where
    they were asked for: per attribute (keywords, words), between the neutral prompt and every word of every group in
    the keyword's place, group by group, the mean over the templates.
    """

    keywords: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    templates: tuple[str, ...]
    distance: Distance
    mapped: bool
    distances: Mapping[str, np.ndarray]
    spreads: Mapping[str, np.ndarray]
    cosines: Mapping[str, np.ndarray] = field(default_factory=dict)

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

    def associations(self, group: str, attribute: str | None = None) -> pd.DataFrame:
        """Is a keyword nearer to the words of ``group`` than to those of the other groups? One row per keyword:
        keyword, difference (of the mean cosines), effect (Cohen's d) and p (two-sided, by permutation of the words):
        :func:`fairmapping.metrics.association`.

        With few words there are few partitions: of 5 against 5, no p is below 2 / 252, and so none would pass a
        correction over many keywords. :meth:`weat` is the test of a set of them. Raises ValueError where no cosines
        were asked for.
        """
        import pandas as pd

        own, others = self._to_words(group, attribute)
        difference, effect, p = metrics.association(own, others)
        return pd.DataFrame({"keyword": self.keywords, "difference": difference, "effect": effect, "p": p})

    def weat(self, x: Iterable[str], y: Iterable[str], group: str, attribute: str | None = None) -> Association:
        """Are the keywords ``x`` nearer to the words of ``group``, against those of the other groups, than the keywords
        ``y`` are? The word embedding association test (:func:`fairmapping.metrics.weat`).

        Raises ValueError where no cosines were asked for, for unknown keywords, one in both, or fewer than 2 of a set.
        """
        own, others = self._to_words(group, attribute)
        scores = own.mean(1) - others.mean(1)
        first, second = positions(self.keywords, x), positions(self.keywords, y)
        if both := set(first) & set(second):
            raise ValueError(f"keyword {self.keywords[min(both)]!r} is in both sets; a test needs two different ones")
        return metrics.weat(scores[first], scores[second])

    def _to_words(self, group: str, attribute: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Cosines to the words of the group (keywords, words), and to those of the other groups."""
        owner = self._owner(group, attribute)
        if owner.name not in self.cosines:
            raise ValueError("no cosines were measured; call measure(..., association=True)")
        of = np.array([item.name == group for item in owner.groups for _ in item.words])
        return self.cosines[owner.name][:, of], self.cosines[owner.name][:, ~of]

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
        index = positions(self.keywords, keywords)
        return replace(
            self,
            keywords=tuple(self.keywords[i] for i in index),
            distances={name: values[index] for name, values in self.distances.items()},
            spreads={name: values[index] for name, values in self.spreads.items()},
            cosines={name: values[index] for name, values in self.cosines.items()},
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


def positions(names: Sequence[str], asked: Iterable[str]) -> list[int]:
    place = {name: i for i, name in enumerate(names)}
    asked = list(asked)
    if unknown := [name for name in asked if name not in place]:
        raise ValueError(f"keyword {unknown[0]!r} is not among the {len(names)} at hand")
    if not asked:
        raise ValueError("no keywords to select; give at least one")
    return [place[name] for name in asked]
