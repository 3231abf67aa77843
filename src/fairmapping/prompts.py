"""Keywords, attributes and templates become rows of prompts: plain data, no torch.

A keyword is the concept a prompt names ("doctor", "happy person"). An attribute is what a prompt may leave open
("gender"), with the groups it can be made explicit with ("female", "male"). Putting both into a template gives the
neutral prompt v ("a portrait of a doctor") and its attribute-specific versions v_j ("a portrait of a female doctor")
between which Fair Mapping measures and evens out distances (Li et al., arXiv 2311.17695).

Whoever needs the rows as a table can rely on their order: keyword, then template, then group, the last varying
fastest. So with G groups, `specific(...)[i * G : (i + 1) * G]` are the versions of `neutral(...)[i]`.
"""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "DEFAULT_TEMPLATES",
    "Attribute",
    "AttributeSource",
    "Group",
    "KeywordSource",
    "Prompt",
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

MAX_KEYWORD = 200  # characters; encoders cut prompts at 77 to 512 tokens, and a cut keyword would be measured unseen

# English puts "old" before "asian" before "female"; attributes that are not named here come first, as they were given.
_ADJECTIVE_ORDER = {"age": 1, "race": 2, "ethnicity": 2, "nationality": 2, "gender": 3, "sex": 3}

# Packaged lists are ordinary files, read like a user's own. Reading them by path keeps this module free of imports of
# ours.
_LISTS = Path(__file__).parent / "lists"
_PACKAGED_KEYWORDS = {"occupations": _LISTS / "occupations.csv", "emotions": _LISTS / "emotions.csv"}
_PACKAGED_ATTRIBUTES = _LISTS / "attributes.toml"
_KEYWORD_COLUMNS = ("keyword", "occupation", "emotion", "concept")


@dataclass(frozen=True)
class Group:
    """One value of an attribute. `words[0]` is the adjective put before a keyword, the others also name the group."""

    name: str
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if isinstance(self.words, str):  # its letters would pass for words
            raise TypeError(f"words of group {self.name!r} must be a tuple of words, got the string {self.words!r}")
        object.__setattr__(self, "name", _clean(self.name, "group name"))
        object.__setattr__(self, "words", tuple(_clean(word, f"word of group {self.name!r}") for word in self.words))
        if not self.words:
            raise ValueError(f"group {self.name!r} has no words; give at least the adjective that names it")


@dataclass(frozen=True)
class Attribute:
    """What a prompt leaves open, with two or more groups that share no name and no word."""

    name: str
    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _clean(self.name, "attribute name"))
        object.__setattr__(self, "groups", tuple(self.groups))
        if len(self.groups) < 2:
            found = ", ".join(self.group_names) or "none"
            raise ValueError(f"attribute {self.name!r} needs at least two groups to be even between, got: {found}")
        _refuse_repeats(self.group_names, f"group of attribute {self.name!r}")
        # A word given twice within one group is harmless; a word of two groups would say nothing about either.
        words = [word for group in self.groups for word in dict.fromkeys(w.casefold() for w in group.words)]
        _refuse_repeats(words, f"word of attribute {self.name!r}")

    @property
    def group_names(self) -> tuple[str, ...]:
        return tuple(group.name for group in self.groups)


@dataclass(frozen=True)
class Prompt:
    """One row: the text, what it is about, and which groups the text makes explicit (`()` when it is neutral)."""

    text: str
    keyword: str
    groups: tuple[tuple[str, str], ...] = ()  # ((attribute, group), ...)
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


def with_article(phrase: str) -> str:
    """The phrase after "a" or "an", chosen by sound: "an hour", "a european", "an IT specialist", "a one-man band"."""
    phrase = _clean(phrase, "phrase")
    return f"{'an' if _starts_with_vowel_sound(phrase) else 'a'} {phrase}"


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
        found, where = _keywords_of_file(path), f" in {source}"
    elif isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise TypeError(f"keywords must be a list of str, a file or a packaged list, got {type(source).__name__}")
    else:
        found, where = list(source), ""
    keywords = [_clean(keyword, f"keyword {i}{where}") for i, keyword in enumerate(found, 1)]
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
    _refuse_repeats(keywords, f"keyword{where}")
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
    _refuse_repeats([attribute.name for attribute in attributes], "attribute")
    return attributes


def _attributes_of(source: Any) -> list[Attribute]:
    if isinstance(source, Attribute):
        return [source]
    if isinstance(source, Mapping):
        return [_attribute_of(name, groups) for name, groups in source.items()]
    if isinstance(source, (str, os.PathLike)):
        packaged = _read_toml(_PACKAGED_ATTRIBUTES)
        if isinstance(source, str) and source in packaged:
            return [_attribute_of(source, packaged[source])]
        path = _existing(source, "attribute", packaged)
        if path.suffix.lower() == ".csv":
            return _attributes_of(_attribute_rows(path))
        table = _read_table(path)
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
        _refuse_repeats([_clean(group, f"group of attribute {name!r}") for group in groups], f"group of {name!r}")
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


def _keywords_of_file(path: Path) -> list[Any]:
    suffix = path.suffix.lower()
    if suffix == ".txt":
        lines = (line.split("#")[0].strip() for line in _read_text(path).splitlines())
        return [line for line in lines if line]
    if suffix == ".csv":
        rows = _read_csv(path)
        header = [cell.strip().casefold() for cell in rows[0]] if rows else []
        column = next((header.index(name) for name in _KEYWORD_COLUMNS if name in header), None)
        if column is not None:
            return [row[column] if column < len(row) else "" for row in rows[1:]]
        if len(header) > 1:
            raise ValueError(f"{path} has the columns {', '.join(header)}; name the one with the keywords 'keyword'")
        return [row[0] for row in rows]
    table = _read_table(path)
    if isinstance(table, Mapping):
        table = table.get("keywords")
    if not isinstance(table, list):
        raise ValueError(f'{path} holds no list of keywords; write keywords = ["doctor", "nurse"]')
    return table


def _attribute_rows(path: Path) -> dict[str, dict[str, list[str]]]:
    rows = _read_csv(path)
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    if not {"attribute", "group", "word"} <= set(header):
        raise ValueError(f"{path} must have the columns attribute, group and word, got: {', '.join(header) or 'none'}")
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows[1:]:
        cells = dict(itertools.zip_longest(header, (cell.strip() for cell in row), fillvalue=""))
        found.setdefault(cells["attribute"], {}).setdefault(cells["group"], []).append(cells["word"])
    return found


def _read_table(path: Path) -> Any:
    """The content of a JSON or TOML file."""
    if path.suffix.lower() == ".toml":
        return _read_toml(path)
    if path.suffix.lower() != ".json":
        raise ValueError(f"cannot read {path}: the ending is {path.suffix or 'missing'}; use .csv, .json or .toml")
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error


def _read_csv(path: Path) -> list[list[str]]:
    """The rows that hold something; commas, or the semicolons or tabs that spreadsheets also write, part the cells."""
    text = _read_text(path)
    first = text.partition("\n")[0]
    delimiter = next((mark for mark in (",", ";", "\t") if mark in first), ",")
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} is not a valid CSV file: {error}") from error
    return [row for row in rows if any(cell.strip() for cell in row)]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte-order mark
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}: {error.reason}); save it as such") from error


def _clean(value: Any, what: str) -> str:
    """`value` with single spaces, refused when it is not text or there is nothing to read in it."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, got {type(value).__name__} {value!r}")
    text = " ".join(value.split())
    if not text:
        raise ValueError(f"{what} is empty")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError(f"{what} holds a control character: {text[:40]!r}")
    return text


def _refuse_repeats(names: Sequence[str], what: str) -> None:
    seen: dict[str, int] = {}
    for i, name in enumerate(names, 1):
        first = seen.setdefault(name.casefold(), i)
        if first != i:
            raise ValueError(f"{what} {name!r} is given twice (as number {first} and number {i}); keep one")


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
    _refuse_repeats(checked, "template")
    return checked


def _fill(template: str, words: str) -> str:
    # replace, not format: a keyword may hold braces of its own. "{words}" is for plurals and other languages.
    if "{words}" in template:
        return template.replace("{words}", words)
    return template.replace("{}", with_article(words))


_OPENING = "\"'“‘«([{¡¿ "
_SILENT_H = ("hour", "honest", "honor", "honour", "heir")
# Written with a vowel, spoken with a consonant: "you" (european, unit, user, utility, urologist) and "won" (one-man).
_CONSONANT_SOUND = re.compile(
    r"eu|ewe|uni(?:c|di|f|l|o|q|s|t|v|x)|unanim|unesco|us(?:[eu]|a\b|ab|ag)|ut[aeio]|ur[aeio]|uk|ubi|ufo|u[iy]gh"
    r"|one\b|onetime|once"
)
_ACRONYMS = {"HVAC": True, "NAACP": True}  # the ones in use as job titles that the rule below gets wrong


def _starts_with_vowel_sound(phrase: str) -> bool:
    phrase = phrase.lstrip(_OPENING)
    word = re.split(r"[\s\-‐‑'’/.]", phrase, maxsplit=1)[0]
    if number := re.match(r"\d+", word):  # eight, eleven, eighteen, and the thousands and millions of the latter two
        digits = number.group()
        return digits[0] == "8" or (digits[:2] in ("11", "18") and len(digits) % 3 == 2)
    if word in _ACRONYMS:
        return _ACRONYMS[word]
    # Letters that are spelled out: x-ray, F1, mri (no vowel to speak it by), IT (capitals, and short)
    letters = re.match(r"[A-Za-z]+(?=\d|$)", word)
    if letters and (not set("aeiouy") & set(word.lower()) or len(word) == 1 or word.isupper() and len(word) <= 3):
        return word[0].upper() in "AEFHILMNORSX"
    sound = "".join(c for c in unicodedata.normalize("NFKD", phrase.casefold()) if not unicodedata.combining(c))
    return sound.startswith(_SILENT_H) or (sound[:1] in tuple("aeiouæœøı") and not _CONSONANT_SOUND.match(sound))
