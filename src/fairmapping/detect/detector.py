"""The detector: which attributes of a prompt a map may touch, and why.

Li et al. (arXiv 2311.17695) use a map at inference only where a detector finds a keyword in the prompt, and leave open
how. Here a prompt is mapped in an attribute if it shows somebody named by a keyword that the map serves, or a
generic person, and none of its words settle that attribute for anybody shown (benchmarks/detector/GUIDE.md has the
rules and how they are measured).
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..prompts import AttributeSource, KeywordSource, resolve_attributes, resolve_keywords
from ..wordfiles import clean
from .decision import Decision, is_open, is_shown, named_by, reason_of, said_outright, sureness, why_nobody
from .language import why_foreign
from .lexicon import Entry, Lexicon, default_lexicon
from .matching import Extra
from .mentions import Mention, mentions_in
from .parsed import Parsed, parsed
from .people import Person, people_in
from .reading import folded, forms
from .tagger import Judgement

__all__ = ["SCHEMA_VERSION", "Decision", "Detector"]

SCHEMA_VERSION = 1
THRESHOLD = 0.5
NEARNESS = 0.4  # cosine from which a title is near enough to a fitted keyword to be served by its map
BROAD = 50  # a map fitted on as many occupations serves others too: it was measured to hold for them (docs/results.md)


class Detector:
    """Decides by the words of the prompt alone: no model is asked and nothing is fetched.

    ``keywords`` are those that the map was fitted on: a prompt is served if it names one of them, or an occupation near
    one (by the embeddings of all-MiniLM-L6-v2, worked out beforehand). None, or 50 occupations and more, serve every
    occupation known. Generic persons ("a happy person", "people") are served always, and so are the keywords in
    ``also``. ``attributes`` are those that can be asked about, with the words that settle them; for gender and race the
    lexicon knows many more. ``protected`` are phrases that name nobody ("Nurse Jackie"), ``words`` further words that
    settle an attribute: {"gender": {"female": ["femme"]}}.

    Raises ValueError and TypeError for keywords and attributes as :mod:`fairmapping.prompts` does, and for words of an
    attribute that is not there.
    """

    def __init__(
        self,
        keywords: KeywordSource | None = None,
        attributes: AttributeSource = ("gender", "race"),
        *,
        also: Iterable[str] = (),
        protected: Iterable[str] = (),
        words: Mapping[str, Mapping[str, Iterable[str]]] | None = None,
        lexicon: Lexicon | None = None,
    ) -> None:
        self.lexicon = default_lexicon() if lexicon is None else lexicon
        self.keywords = None if keywords is None else resolve_keywords(keywords)
        asked = resolve_attributes(attributes)
        self.attributes = {item.name: {group.name: list(group.words) for group in item.groups} for item in asked}
        self.also = _listed(also, "further keyword")
        self.protected = _listed(protected, "protected phrase")
        self.words = {
            name: {group: _listed(given, f"word of {group!r}") for group, given in groups.items()}
            for name, groups in (words or {}).items()
        }
        if unknown := [name for name in self.words if name not in self.attributes]:
            raise ValueError(f"words are given for {unknown[0]!r}; the attributes are {', '.join(self.attributes)}")
        self._extra = self._phrases()
        self._served = self._near()

    @classmethod
    def default(cls) -> Detector:
        """The detector for gender and race, and every occupation."""
        return cls()

    def extended(
        self,
        *,
        keywords: Iterable[str] = (),
        protected: Iterable[str] = (),
        words: Mapping[str, Mapping[str, Iterable[str]]] | None = None,
    ) -> Detector:
        """This detector with more keywords, protected phrases and attribute words."""
        together = {
            name: {group: list(given) for group, given in groups.items()} for name, groups in self.words.items()
        }
        for name, groups in (words or {}).items():
            for group, given in groups.items():
                together.setdefault(name, {}).setdefault(group, []).extend(_listed(given, f"word of {group!r}"))
        return Detector(
            self.keywords,
            self.attributes,
            also=[*self.also, *_listed(keywords, "further keyword")],
            protected=[*self.protected, *_listed(protected, "protected phrase")],
            words=together,
            lexicon=self.lexicon,
        )

    def joined(self, other: Detector) -> Detector:
        """The detector for the keywords and attributes of both, where two maps become one."""
        served = None if self.keywords is None or other.keywords is None else [*self.keywords, *other.keywords]
        both = Detector(
            None if served is None else list(dict.fromkeys(served)),
            {**self.attributes, **other.attributes},
            also=dict.fromkeys([*self.also, *other.also]),
            protected=dict.fromkeys([*self.protected, *other.protected]),
            words=self.words,
            lexicon=self.lexicon,
        )
        return both.extended(words=other.words)

    def decide(self, prompt: str, attributes: Iterable[str] | None = None) -> Decision:
        """What may be done with one prompt, for these of the detector's attributes (all of them by default).

        Raises TypeError for a prompt that is no string, ValueError for an attribute that the detector does not know.
        """
        if not isinstance(prompt, str):
            raise TypeError(f"a prompt is {type(prompt).__name__} {prompt!r}; give a string")
        asked = self._asked(attributes)
        text = parsed(prompt, self.lexicon, self._extra)
        nothing = dict.fromkeys(asked, False)
        if why := why_foreign(text):
            return Decision(prompt, nothing, "", "", (), 0.0, f"left alone: {why}, and the map is for English")
        mentions = tuple(mentions_in(text, asked))
        people = [person for person in people_in(text) if self._keyword(person)]
        best = max((p for p in people if not p.absent), key=lambda person: person.certainty, default=None)
        settled = {mention.attribute: mention for mention in reversed(mentions)}
        sure = best is not None and best.certainty >= THRESHOLD
        apply = {name: sure and name not in settled for name in asked}
        why = people[0].absent if people else why_nobody(text)
        keyword, matched, score = "", "", 0.0
        if best is not None:
            keyword, matched, score = self._keyword(best), text.said(best.start, best.match.end), best.certainty
        if judgement := self._judgement(text, best, settled):
            shown = is_shown(score if sure else 0, judgement)
            for name in set(asked).difference(said_outright(settled, self.lexicon)):
                apply[name] = shown and is_open(name, name in settled, judgement)
            if best is None and any(apply.values()):
                keyword, matched, score = self._named(judgement, text)
            elif not shown and not any(apply.values()) and not settled:
                why = f"the words around “{matched}” speak against it that somebody is shown" if matched else why
                keyword, matched, score = "", "", sureness(judgement.shown)
        if not keyword:
            return Decision(prompt, nothing, "", "", mentions, round(score, 3), f"left alone: {why}")
        reason = reason_of(matched, apply, settled)
        return Decision(prompt, apply, keyword, matched, mentions, round(score, 3), reason)

    def decide_batch(self, prompts: Sequence[str], attributes: Iterable[str] | None = None) -> list[Decision]:
        """One decision a prompt, in order. Raises TypeError for a bare string."""
        if isinstance(prompts, str):
            raise TypeError(f"prompts is the string {prompts!r}; give a list of prompts")
        asked = self._asked(attributes)
        return [self.decide(prompt, asked) for prompt in prompts]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, and back by :meth:`from_dict` with the same lexicon."""
        return {
            "schema_version": SCHEMA_VERSION,
            "lexicon_sha256": self.lexicon.digest,
            "keywords": self.keywords,
            "attributes": self.attributes,
            "also": self.also,
            "protected": self.protected,
            "words": self.words,
        }

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], lexicon: Lexicon | None = None) -> Detector:
        """Raises ValueError for what :meth:`to_dict` did not write, a newer schema, or another lexicon."""
        if not isinstance(table, Mapping) or type(table.get("schema_version")) is not int:
            raise ValueError("this is no saved detector: it has no schema_version; save or fetch the map again")
        if table["schema_version"] > SCHEMA_VERSION:
            raise ValueError(
                f"the detector has schema_version {table['schema_version']} and this fairmapping reads up to "
                f"{SCHEMA_VERSION}; upgrade it: pip install --upgrade fairmapping"
            )
        lexicon = default_lexicon() if lexicon is None else lexicon
        if table.get("lexicon_sha256") != lexicon.digest:
            raise ValueError("the detector was saved with another lexicon than lies beside it; fetch the map again")
        try:
            if not isinstance(table["words"], Mapping):
                raise TypeError(f"words are {table['words']!r}")
            return cls(
                table["keywords"],
                table["attributes"],
                also=table["also"],
                protected=table["protected"],
                words=table["words"],
                lexicon=lexicon,
            )
        except (KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"this is no saved detector ({error!r}); save or fetch the map again") from error

    @property
    def digest(self) -> str:
        """The start of a digest of all that the decisions depend on."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def _asked(self, attributes: Iterable[str] | None) -> tuple[str, ...]:
        if isinstance(attributes, str):
            attributes = (attributes,)
        asked = tuple(self.attributes) if attributes is None else tuple(attributes)
        if unknown := [name for name in asked if name not in self.attributes]:
            raise ValueError(f"the detector knows {', '.join(self.attributes)}, not {unknown[0]!r}")
        return asked

    def _phrases(self) -> Extra:
        """What the user's own words are, beside the lexicon."""
        given: list[tuple[str, Entry]] = [
            (keyword, Entry("keyword")) for keyword in [*(self.keywords or ()), *self.also]
        ]
        given += [(phrase, Entry("protected")) for phrase in self.protected]
        for name, groups in [*self.attributes.items(), *self.words.items()]:
            for group, words in groups.items():
                for word in words:
                    # What the lexicon knows of it is finer: "black" may be a colour.
                    if not any(entry.attribute == name for entry in self.lexicon.entries(folded(word))):
                        given.append((word, Entry("settles", name, group)))
        found = Extra()
        for phrase, entry in given:
            form = folded(phrase)
            found[form] = (*found.get(form, ()), entry)
        return found

    def _near(self) -> dict[str, str] | None:
        """Every title that is near enough to one of the keywords -> the nearest one; None where all are served."""
        if self.keywords is None:
            return None
        served = [*self.keywords, *self.also]
        place, cosine = self.lexicon.nearest(served)
        return {
            title: served[place[i]]
            for i, title in enumerate(self.lexicon.titles)
            if self._broad or cosine[i] >= NEARNESS
        } | {folded(keyword): keyword for keyword in served}

    def _judgement(self, text: Parsed, best: Person | None, settled: Mapping[str, Mention]) -> Judgement | None:
        """What the network says; None where there is none, or the user's own words decide."""
        mentioned = [form for mention in settled.values() for form in forms(folded(mention.words))]
        named = [] if best is None else forms(best.match.phrase)
        own = any(match.has("protected") for match in text.matches) or not self._own.isdisjoint([*mentioned, *named])
        if own or self.lexicon.tagger is None or not text.words:
            return None
        return self.lexicon.tagger.judge(text)

    def _named(self, judgement: Judgement, text: Parsed) -> tuple[str, str, float]:
        """Keyword, words and certainty of somebody whom only the network saw; of no keyword where nobody is named, or
        the map serves nobody like that."""
        place = named_by(judgement, text)
        if place is None or text.at(place[0], "generic"):  # the rules know every word for a generic person
            return "", "", 0.0
        phrase = " ".join(text.texts(*place))
        if self._broad:
            keyword = forms(phrase)[-1]
        else:
            served = self._served or {}
            keyword = next(
                (served[form] for form in (*forms(phrase), *forms(phrase.split()[-1])) if form in served), ""
            )
        return keyword, text.said(*place), sureness(judgement.shown)

    def _keyword(self, person: Person) -> str:
        """The keyword that somebody is served as; "" where the map does not serve them."""
        named = forms(person.match.phrase)
        if person.match.has("generic"):
            return "person"
        if self._served is None or person.match.has("keyword"):
            return next((form for form in reversed(named) if form in self._titles), named[-1])
        return next((self._served[form] for form in named if form in self._served), "")

    @functools.cached_property
    def _broad(self) -> bool:
        """Whether every occupation is served."""
        if self.keywords is None:
            return True
        return sum(folded(keyword) in self._titles for keyword in [*self.keywords, *self.also]) >= BROAD

    @functools.cached_property
    def _own(self) -> frozenset[str]:
        """The further keywords and words of the user."""
        words = (word for groups in self.words.values() for given in groups.values() for word in given)
        return frozenset(map(folded, [*self.also, *words]))

    @functools.cached_property
    def _titles(self) -> frozenset[str]:
        return frozenset(self.lexicon.titles)


def _listed(given: Iterable[str], what: str) -> list[str]:
    if isinstance(given, str):
        raise TypeError(f"{what}s are the string {given!r}; give a list")
    return [clean(phrase, what) for phrase in given]
