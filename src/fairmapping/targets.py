"""Targets: the share of the images that each group of an attribute shall have, for every keyword or keyword by keyword.

They come as "even", as "labour" (the labour force of the United States, see the packaged lists), as a dict, or as a
.csv, .json or .toml file, and become plain data that a map's config.json can hold. Only the attributes that a source
names are assigned; the others are left as the model draws them. Which shares are right is the user's to say.
"""

from __future__ import annotations

import copy
import difflib
import itertools
import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from . import lists
from .prompts import Cell
from .wordfiles import KEYWORD_COLUMNS, clean, number, read_csv, read_table, refuse_repeats, singular

__all__ = ["Shares", "TargetSource", "Targets", "resolve_targets"]

Shares = dict[str, dict[str, float]]  # attribute -> group -> share
TOLERANCE = 0.02  # tables are rounded; shares whose sum is off by no more are divided by it

_UNITS = re.compile(r"\b(?:percent(?:age)?|pct|share|of)\b|[%()]")


@dataclass(frozen=True)
class Targets:
    """The shares asked for. What a keyword names for itself goes before `shares`, attribute by attribute.

    Raises ValueError on a share that is negative or not finite, and on shares that do not add to 1.
    """

    shares: Shares
    by_keyword: dict[str, Shares] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = {clean(word, "keyword"): _checked(shares, f" of {word!r}") for word, shares in self.by_keyword.items()}
        refuse_repeats(
            [singular(keyword) for keyword in own], "keyword with targets of its own, in singular or plural,"
        )
        object.__setattr__(self, "shares", _checked(self.shares, ""))
        object.__setattr__(self, "by_keyword", own)

    def of(self, keyword: str) -> Shares:
        """The shares for this keyword, whatever its case, in singular or plural; for "" those of no keyword."""
        own = self.by_keyword.get(self._given.get(singular(keyword), ""), {})
        return {name: dict(shares) for name, shares in {**self.shares, **own}.items()}

    def cells(self, keyword: str, among: Collection[str] | None = None) -> dict[Cell, float]:
        """The share of every combination of groups, attributes being independent; those of share 0 are left out.

        Of the attributes in ``among``, by default of all.
        """
        pairs = [
            [((name, group), share) for group, share in shares.items()]
            for name, shares in self.of(keyword).items()
            if among is None or name in among
        ]
        found = {
            tuple(pair for pair, _ in combination): math.prod(share for _, share in combination)
            for combination in itertools.product(*pairs)
        }
        return {cell: share for cell, share in found.items() if share > 0}

    def keyword_in(self, prompt: str) -> str:
        """The longest keyword with targets of its own that the text holds as whole words; "" where it holds none."""
        if not self.by_keyword:
            return ""
        found = (self._given.get(singular(match[1]), "") for match in self._pattern.finditer(prompt))
        return max(found, key=len, default="")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, and back by `from_dict`."""
        return copy.deepcopy({"shares": self.shares, "by_keyword": self.by_keyword})

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Targets:
        return cls(table["shares"], table.get("by_keyword", {}))

    @cached_property
    def _given(self) -> dict[str, str]:
        return {singular(keyword): keyword for keyword in self.by_keyword}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # A lookahead, so that a match hides none that begins inside it; the longest first at each place.
        either = "|".join(_spellings(keyword) for keyword in sorted(self._given, key=len, reverse=True))
        return re.compile(rf"(?<!\w)(?=({either})(?!\w))", re.IGNORECASE)


TargetSource = str | os.PathLike[str] | Targets | Mapping[str, Any] | None


def resolve_targets(source: TargetSource, attributes: Mapping[str, Sequence[str]]) -> Targets:
    """The shares that `source` asks for over `attributes` (name -> all of its groups).

    None and "even" ask for even shares of every attribute; "labour" for those of the labour force of the United
    States, by occupation. A dict names attributes, {"gender": {"female": .4, "male": .6}}, or keywords, {"nurse":
    {"gender": {"female": .5}}}, or both, and "even" may stand for the shares; a .json or .toml file holds the same. A
    .csv file has a column keyword or occupation and one column per group, with shares or, where the largest value is
    above 1, percents; its other columns are not read. Groups go by their names or the words of the packaged lists
    ("Women" for female). One group left out gets the rest. An attribute that is named nowhere is not assigned; one
    named for some keywords only is even for the others.

    Raises ValueError on unknown attributes or groups and on shares that do not add to 1 (0.02 are forgiven and
    divided out), FileNotFoundError on a missing file and TypeError on other types.
    """
    known = {name: tuple(groups) for name, groups in attributes.items()}
    if source is None:
        source = "even"
    if isinstance(source, Targets):
        return _of_table(source.to_dict(), known, "")
    if isinstance(source, Mapping):
        return _of_table(source, known, "")
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f'targets must be "even", "labour", a dict, Targets or a file, got {type(source).__name__}')
    if source == "even":
        return Targets({name: _even(groups) for name, groups in known.items()})
    if source in ("labour", "labor"):
        table = lists.labour_targets()
        named = {name for shares in table.values() for name in shares} & set(known)
        if not named:
            raise ValueError(f'targets="labour" has shares of gender and race, none of {", ".join(known)}')
        chosen = {word: {name: shares[name] for name in known if name in named} for word, shares in table.items()}
        return _of_table(chosen, known, ' in targets="labour"')
    path = Path(source)
    if not path.is_file():
        near = difflib.get_close_matches(str(source).casefold(), ["even", "labour"], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise FileNotFoundError(f'no file of targets named {str(source)!r} (and neither "even" nor "labour"){hint}')
    if path.suffix.lower() == ".csv":
        return _of_table(_csv(path, known), known, f" in {path}")
    table = read_table(path)
    if not isinstance(table, Mapping):
        raise ValueError(f"{path} must map attributes or keywords to shares, got a {type(table).__name__}")
    return _of_table(table, known, f" in {path}")


def _of_table(table: Mapping[str, Any], known: Mapping[str, tuple[str, ...]], where: str) -> Targets:
    """Targets of a dict: attributes, whose groups have numbers, and keywords, whose attributes have groups."""
    if not table:
        raise ValueError(f'no targets{where}; give at least one share, or "even"')
    if set(table) <= {"shares", "by_keyword"} and "shares" in table:  # as Targets.to_dict writes them
        table = {**table["shares"], **table.get("by_keyword", {})}
    shares: Shares = {}
    by_keyword: dict[str, Shares] = {}
    for key, value in table.items():
        if value == "even" or (isinstance(value, Mapping) and _is_leaf(value)):
            name = _attribute(key, known, where)
            shares[name] = _complete(value, name, known[name], where)
        elif isinstance(value, Mapping):
            own = {_attribute(name, known, f" of {key!r}{where}"): groups for name, groups in value.items()}
            by_keyword[key] = {
                name: _complete(groups, name, known[name], f" of {key!r}{where}") for name, groups in own.items()
            }
        else:
            raise TypeError(f"targets of {key!r}{where} must be a dict of shares, got {value!r}")
    named = set(shares).union(*by_keyword.values())
    return Targets({name: shares.get(name) or _even(known[name]) for name in known if name in named}, by_keyword)


def _is_leaf(value: Mapping[str, Any]) -> bool:
    return not any(isinstance(inner, Mapping) or inner == "even" for inner in value.values())


def _complete(given: Any, attribute: str, groups: tuple[str, ...], where: str) -> dict[str, float]:
    """A share for each of `groups`, in their order; what is left over goes to one group that is not given."""
    if given == "even":
        return _even(groups)
    if not isinstance(given, Mapping):
        raise TypeError(f"targets of {attribute!r}{where} must be a dict of shares, got {given!r}")
    words = _words(groups)
    found: dict[str, float] = {}
    for word, share in given.items():
        group = _group(word, words)
        if group is None:
            near = difflib.get_close_matches(str(word).casefold(), [*groups, *words], 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"unknown group {word!r} of {attribute!r}{where} (groups: {', '.join(groups)}){hint}")
        if group in found:
            raise ValueError(f"group {group!r} of {attribute!r}{where} is given twice; keep one")
        if isinstance(share, bool) or not isinstance(share, (int, float)):
            raise TypeError(f"the share of {group!r}{where} must be a number, got {share!r}")
        found[group] = float(share)
    missing = [group for group in groups if group not in found]
    rest = 1 - _sum(found, attribute, where)
    if len(missing) == 1 and rest > -TOLERANCE:
        found[missing[0]] = max(round(rest, 12), 0.0)
    elif missing and rest > TOLERANCE:
        raise ValueError(
            f"the shares of {attribute!r}{where} add to {1 - rest:.3g}, and nothing says how "
            f"{', '.join(missing)} share the rest; give all groups but one at least"
        )
    return _add_to_one({group: found.get(group, 0.0) for group in groups}, attribute, where)


def _checked(shares: Any, where: str) -> Shares:
    if not isinstance(shares, Mapping) or not all(isinstance(groups, Mapping) for groups in shares.values()):
        raise TypeError(f"targets{where} must map attributes to groups to shares, got {shares!r}")
    return {name: _add_to_one(dict(groups), name, where) for name, groups in shares.items()}


def _add_to_one(shares: dict[str, float], attribute: str, where: str) -> dict[str, float]:
    total = _sum(shares, attribute, where)
    if abs(total - 1) > TOLERANCE:
        hint = ""
        if total > 50:
            hint = "; write shares between 0 and 1 rather than percents"
        elif total > 1 and "hispanic" in shares:
            hint = '; where race and Hispanic origin overlap, as in US labour statistics, targets="labour" parts them'
        raise ValueError(f"the shares of {attribute!r}{where} add to {total:.3g}, not to 1{hint}")
    return shares if abs(total - 1) < 1e-9 else {group: share / total for group, share in shares.items()}


def _sum(shares: Mapping[str, float], attribute: str, where: str) -> float:
    for group, share in shares.items():
        if not (math.isfinite(share) and share >= 0):
            raise ValueError(f"the share of {group!r} of {attribute!r}{where} must be 0 or more, got {share}")
    return math.fsum(shares.values())


def _csv(path: Path, known: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, dict[str, float]]]:
    """keyword -> attribute -> group -> share, of the columns that name a group. An empty cell gives none."""
    header, *rows = [[" ".join(cell.split()) for cell in row] for row in read_csv(path)] or [[]]
    column = next((i for i, name in enumerate(header) if name.casefold() in KEYWORD_COLUMNS), None)
    if column is None:
        raise ValueError(f"{path} has no column keyword or occupation (columns: {', '.join(header) or 'none'})")
    places: dict[int, tuple[str, str]] = {}
    for i, name in enumerate(header):
        for attribute, groups in known.items():
            group = _group(_UNITS.sub(" ", name.casefold()), _words(groups))
            if group is not None and i != column:
                twin = next((header[j] for j, place in places.items() if place == (attribute, group)), None)
                if twin is not None or i in places:
                    raise ValueError(f"{path}: column {name!r} stands for {group!r}, as does {twin or 'another'!r}")
                places[i] = (attribute, group)
    if not places:
        wanted = ", ".join(itertools.chain(*known.values()))
        raise ValueError(f"{path} has no column for any of {wanted} (columns: {', '.join(header)})")
    cells = {(r, i): number(row[i], f"{path}, {row[column]!r}, column {header[i]!r}")
             for r, row in enumerate(rows) for i in places if i < len(row)}  # fmt: skip
    values = {place: value for place, value in cells.items() if value is not None}
    unit = 100 if max(values.values(), default=0) > 1 else 1
    found: dict[str, dict[str, dict[str, float]]] = {}
    refuse_repeats([row[column] for row in rows], f"keyword in {path}")
    for (r, i), value in values.items():
        attribute, group = places[i]
        found.setdefault(rows[r][column], {}).setdefault(attribute, {})[group] = value / unit
    return found


def _even(groups: Sequence[str]) -> dict[str, float]:
    return {group: 1 / len(groups) for group in groups}


def _attribute(name: str, known: Mapping[str, Any], where: str) -> str:
    for attribute in known:
        if isinstance(name, str) and name.casefold() == attribute.casefold():
            return attribute
    near = difflib.get_close_matches(str(name).casefold(), list(known), 1)
    hint = (
        f"did you mean {near[0]!r}?" if near else f"for a keyword, write {{{name!r}: {{attribute: {{group: share}}}}}}"
    )
    raise ValueError(f"unknown attribute {name!r}{where} (attributes: {', '.join(known)}); {hint}")


@cache
def _words(groups: tuple[str, ...]) -> dict[str, str]:
    """Folded words -> the group they name: its own name, and the words of the packaged group of that name."""
    found = {singular(group): group for group in groups}
    for packaged in (group for attribute in lists.attributes().values() for group in attribute.groups):
        words = {singular(word) for word in (packaged.name, *packaged.words)}
        named = {found[word] for word in words if word in found}
        if len(named) == 1:
            found.update(dict.fromkeys(words, named.pop()))
    return found


def _group(name: Any, words: Mapping[str, str]) -> str | None:
    """The group that all parts of `name` stand for ("Hispanic or Latino"), or None."""
    parts = re.split(r"\s+or\s+|/", str(name))
    found = {words.get(singular(part)) for part in (str(name), *parts)} - ({None} if len(parts) > 1 else set())
    return found.pop() if len(found) == 1 else None


def _spellings(folded: str) -> str:
    """A pattern of the singular and the plural of what `singular` gave."""
    pattern = re.escape(folded).replace(r"\ ", r"[\s_]+")
    for ending, either in (("man", "m[ae]n"), ("y", "(?:y|ies|ys)")):
        if folded.endswith(ending):
            return pattern.removesuffix(ending) + either
    return pattern + "(?:s|es)?"
