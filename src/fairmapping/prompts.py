"""Keywords, attributes and templates become rows of prompts: plain data, no torch.

A keyword is the concept a prompt names ("doctor", "happy person"). An attribute is what a prompt may leave open
("gender"), with the groups it can be made explicit with ("female", "male"). Putting both into a template gives the
neutral prompt v ("a portrait of a doctor") and its attribute-specific versions v_j ("a portrait of a female doctor")
between which Fair Mapping measures and evens out distances (Li et al., arXiv 2311.17695).

Whoever needs the rows as a table can rely on their order: keyword, then template, then group, the last varying
fastest. So with G groups, `specific(...)[i * G : (i + 1) * G]` are the versions of `neutral(...)[i]`.
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .english import with_article
from .wordfiles import attribute_rows, clean, keywords_of_file, read_table, read_toml, refuse_repeats

__all__ = [
    "DEFAULT_TEMPLATES",
    "VARIED_TEMPLATES",
    "Attribute",
    "AttributeSource",
    "Cell",
    "Group",
    "KeywordSource",
    "Prompt",
    "adjectives",
    "neutral",
    "resolve_attributes",
    "resolve_keywords",
    "specific",
    "with_article",
]

DEFAULT_TEMPLATES: tuple[str, ...] = (
    "a portrait of {}",
    "a photo of {}",
    "a picture of {}",
    "a headshot of {}",
)
# What a map is fitted on that must hold for the prompts that people write: with and without words around the keyword.
VARIED_TEMPLATES: tuple[str, ...] = (
    *DEFAULT_TEMPLATES,
    "{}",
    "an image of {} at work",
    "a close-up of {}, natural light",
    "a photo of {} outdoors",
    "a drawing of {}",
    "a watercolor of {} in a city",
    "a portrait photo of {}, high quality, 85mm",
    "{} on a sunny day, digital art",
)

MAX_KEYWORD = 200  # characters; encoders cut prompts at 77 to 512 tokens, and a cut keyword would be measured unseen

# English puts "old" before "asian" before "female"; attributes that are not named here come first, as they were given.
_ADJECTIVE_ORDER = {"age": 1, "race": 2, "ethnicity": 2, "nationality": 2, "gender": 3, "sex": 3}

# Packaged lists are ordinary files, read like a user's own. Reading them by path keeps this module free of imports of
# ours.
_LISTS = Path(__file__).parent / "lists"
_PACKAGED_KEYWORDS = {name: _LISTS / f"{name}.csv" for name in ("occupations", "further", "emotions")}
_PACKAGED_ATTRIBUTES = _LISTS / "attributes.toml"


Cell = tuple[tuple[str, str], ...]  # ((attribute, group), ...): one group of some attributes; () of none


@dataclass(frozen=True)
class Group:
    """One value of an attribute. `words[0]` is the adjective put before a keyword, the others also name the group."""

    name: str
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if isinstance(self.words, str):  # its letters would pass for words
            raise TypeError(f"words of group {self.name!r} must be a tuple of words, got the string {self.words!r}")
        object.__setattr__(self, "name", clean(self.name, "group name"))
        object.__setattr__(self, "words", tuple(clean(word, f"word of group {self.name!r}") for word in self.words))
        if not self.words:
            raise ValueError(f"group {self.name!r} has no words; give at least the adjective that names it")


@dataclass(frozen=True)
class Attribute:
    """What a prompt leaves open, with two or more groups that share no name and no word."""

    name: str
    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", clean(self.name, "attribute name"))
        object.__setattr__(self, "groups", tuple(self.groups))
        if len(self.groups) < 2:
            found = ", ".join(self.group_names) or "none"
            raise ValueError(f"attribute {self.name!r} needs at least two groups to be even between, got: {found}")
        refuse_repeats(self.group_names, f"group of attribute {self.name!r}")
        # A word given twice within one group is harmless; a word of two groups would say nothing about either.
        words = [word for group in self.groups for word in dict.fromkeys(w.casefold() for w in group.words)]
        refuse_repeats(words, f"word of attribute {self.name!r}")

    @property
    def group_names(self) -> tuple[str, ...]:
        return tuple(group.name for group in self.groups)


def adjectives(attributes: Iterable[Attribute]) -> dict[str, dict[str, str]]:
    """Attribute -> group -> the adjective put before a keyword: what a map's config keeps of them."""
    return {attribute.name: {group.name: group.words[0] for group in attribute.groups} for attribute in attributes}


@dataclass(frozen=True)
class Prompt:
    """One row: the text, what it is about, and which groups the text makes explicit (`()` when it is neutral)."""

    text: str
    keyword: str
    groups: Cell = ()
    template: str = ""

    def group(self, attribute: str) -> str | None:
        """The group of `attribute` that the text makes explicit, or None where it leaves the attribute open."""
        return dict(self.groups).get(attribute)

    @property
    def is_neutral(self) -> bool:
        return not self.groups


KeywordSource = str | os.PathLike[str] | Iterable[str]
AttributeSource = str | os.PathLike[str] | Attribute | Mapping[str, Any] | Iterable[Any]


def neutral(keywords: KeywordSource, templates: Sequence[str] = DEFAULT_TEMPLATES) -> list[Prompt]:
    """The prompts that name the keyword and leave every attribute open: len(keywords) * len(templates) rows."""
    checked = _check_templates(templates)
    return [
        Prompt(_fill(template, keyword), keyword, (), template)
        for keyword in resolve_keywords(keywords)
        for template in checked
    ]


def specific(
    keywords: KeywordSource,
    attributes: AttributeSource,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    joint: bool = False,
) -> list[Prompt]:
    """The attribute-specific versions of `neutral(keywords, templates)`.

    With joint=False, one prompt per group of each attribute, the others left open ("a female doctor", "an asian
    doctor"). With joint=True, one per combination of groups ("an asian female doctor"), in the order of
    itertools.product over the attributes as given; the words are set in the order English wants.
    """
    resolved = resolve_attributes(attributes)
    pairs = [[(attribute.name, group) for group in attribute.groups] for attribute in resolved]
    combinations = list(itertools.product(*pairs)) if joint else [(pair,) for groups in pairs for pair in groups]
    checked = _check_templates(templates)
    rows = []
    for keyword in resolve_keywords(keywords):
        for template in checked:
            for combination in combinations:
                spoken = sorted(combination, key=lambda pair: _ADJECTIVE_ORDER.get(pair[0].casefold(), 0))
                words = " ".join([*(group.words[0] for _, group in spoken), keyword])
                groups = tuple((attribute, group.name) for attribute, group in combination)
                rows.append(Prompt(_fill(template, words), keyword, groups, template))
    return rows


def resolve_keywords(source: KeywordSource) -> list[str]:
    """Keywords from a list of str, a packaged list ("occupations", "emotions") or a .txt, .csv, .json or .toml file.

    A text file has one keyword a line, with `#` before comments. A CSV has a column named keyword, occupation,
    emotion or concept, or just one column. JSON is a list, or like TOML a table with the key `keywords`.

    Raises ValueError on an empty list, an empty, repeated (whatever its case), over-long or article-led keyword,
    FileNotFoundError on an unknown name and TypeError on anything that is not text.
    """
    if isinstance(source, (str, os.PathLike)):
        path = _PACKAGED_KEYWORDS.get(source) if isinstance(source, str) else None
        path = path or _existing(source, "keyword list", _PACKAGED_KEYWORDS)
        found, where = keywords_of_file(path), f" in {source}"
    elif isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise TypeError(f"keywords must be a list of str, a file or a packaged list, got {type(source).__name__}")
    else:
        found, where = list(source), ""
    keywords = [clean(keyword, f"keyword {i}{where}") for i, keyword in enumerate(found, 1)]
    if not keywords:
        raise ValueError(f"no keywords{where}; give at least one")
    for keyword in keywords:
        if len(keyword) > MAX_KEYWORD:
            raise ValueError(
                f"keyword {keyword[:40]!r}... has {len(keyword)} characters, more than {MAX_KEYWORD}: a text encoder "
                "would cut it off; give a word or a short phrase"
            )
        if re.match(r"(an?|the)\s", keyword, re.IGNORECASE):
            raise ValueError(f"keyword {keyword!r} begins with an article; drop it, as templates bring their own")
    refuse_repeats(keywords, f"keyword{where}")
    return keywords


def resolve_attributes(source: AttributeSource) -> list[Attribute]:
    """Attributes from packaged names ("gender", "race"), Attribute objects, dicts, files, or a list that mixes them.

    A dict, JSON or TOML file maps attribute -> group -> words: {"age": {"young": ["young"], "old": ["old",
    "elderly"]}}, where a group may have one word as a plain str, and {"age": ["young", "old"]} lets groups name
    themselves. A CSV has the columns attribute, group and word, one row a word, the first of a group being its
    adjective.

    Raises ValueError on fewer than one attribute, fewer than two groups, or repeated names and words,
    FileNotFoundError on an unknown name and TypeError on other types.
    """
    attributes = _attributes_of(source)
    if not attributes:
        raise ValueError("no attributes; give at least one, such as 'gender'")
    refuse_repeats([attribute.name for attribute in attributes], "attribute")
    return attributes


def _attributes_of(source: Any) -> list[Attribute]:
    if isinstance(source, Attribute):
        return [source]
    if isinstance(source, Mapping):
        return [_attribute_of(name, groups) for name, groups in source.items()]
    if isinstance(source, (str, os.PathLike)):
        packaged = read_toml(_PACKAGED_ATTRIBUTES)
        if isinstance(source, str) and source in packaged:
            return [_attribute_of(source, packaged[source])]
        path = _existing(source, "attribute", packaged)
        if path.suffix.lower() == ".csv":
            return _attributes_of(attribute_rows(path))
        table = read_table(path)
        if not isinstance(table, Mapping):
            raise ValueError(f"{path} must map attributes to groups, got a {type(table).__name__}")
        return _attributes_of(table)
    if isinstance(source, Iterable):
        return [attribute for part in source for attribute in _attributes_of(part)]
    raise TypeError(
        f"an attribute must be a packaged name, an Attribute, a dict or a file, got {type(source).__name__} {source!r}"
    )


def _attribute_of(name: str, groups: Any) -> Attribute:
    if isinstance(groups, (list, tuple)):
        refuse_repeats([clean(group, f"group of attribute {name!r}") for group in groups], f"group of {name!r}")
        groups = {group: group for group in groups}
    if not isinstance(groups, Mapping):
        raise TypeError(f"groups of attribute {name!r} must be a dict or a list, got {groups!r}")
    made = []
    for group, words in groups.items():
        if not isinstance(words, (str, list, tuple)):
            raise TypeError(f"words of group {group!r} of attribute {name!r} must be str, got {words!r}")
        made.append(Group(group, (words,) if isinstance(words, str) else tuple(words)))
    return Attribute(name, tuple(made))


def _existing(source: str | os.PathLike[str], what: str, packaged: Iterable[str]) -> Path:
    path = Path(source)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError):  # too long a name, or one with a NUL: no file either way
        pass
    name = os.fspath(source)
    shown = repr(name) if len(name) <= 80 else f"{name[:40]!r}... ({len(name)} characters)"
    near = difflib.get_close_matches(name[:80].casefold(), list(packaged), 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise FileNotFoundError(f"no packaged {what} and no file named {shown} (packaged: {', '.join(packaged)}){hint}")


def _check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Refuses templates in which a keyword would be lost, doubled, or follow an article twice."""
    checked = (templates,) if isinstance(templates, str) else tuple(templates)
    if not checked:
        raise ValueError("no templates; give at least one, such as 'a portrait of {}'")
    for template in checked:
        if not isinstance(template, str):
            raise TypeError(f"a template must be a str, got {type(template).__name__} {template!r}")
        if template.count("{}") + template.count("{words}") != 1:
            raise ValueError(
                f"template {template!r} must hold '{{}}' once, where the article and the words go, "
                "or '{words}' once, for the words alone"
            )
        if re.search(r"\b(an?|the)\s+\{\}", template, re.IGNORECASE):
            raise ValueError(f"template {template!r} has an article before '{{}}', which brings its own; drop it")
    refuse_repeats(checked, "template")
    return checked


def _fill(template: str, words: str) -> str:
    # replace, not format: a keyword may hold braces of its own. "{words}" is for plurals and other languages.
    if "{words}" in template:
        return template.replace("{words}", words)
    return template.replace("{}", with_article(words))
