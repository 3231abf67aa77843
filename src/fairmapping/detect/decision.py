"""What a detector says of a prompt, and how the rules and the network beside them are weighed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .lexicon import Lexicon
from .mentions import Mention
from .parsed import Parsed
from .reading import folded
from .tagger import Judgement

__all__ = ["Decision", "is_open", "is_shown", "named_by", "reason_of", "said_outright", "sureness", "why_nobody"]

# From which logit somebody is taken to be shown: of the network and the rules together where the rules see somebody, of
# the network alone where they do not. And from which logit of the network an attribute is taken to be open: where the
# rules find no word that settles it, and where they do (docs/detector.md).
SEEN, UNSEEN = 2.0, 2.5
OPEN, SETTLED = -1.5, 3.0
SUREST = 0.95  # of the rules, beside the network: no word is so sure that what stands around it would not count


@dataclass(frozen=True)
class Decision:
    """What a detector says of one prompt.

    ``apply`` has every attribute asked for: True where the map may move the prompt. ``keyword`` is the map's keyword
    that the prompt was taken for and ``matched`` the words that named it; both "" where nobody at work is shown.
    ``mentions`` are the words that settle an attribute, ``score`` in [0, 1] is how sure it is that somebody whom the
    map serves is shown, and ``reason`` is one line for a person.
    """

    prompt: str
    apply: dict[str, bool]
    keyword: str
    matched: str
    mentions: tuple[Mention, ...]
    score: float
    reason: str

    @property
    def applied(self) -> tuple[str, ...]:
        """The attributes in which the map may move the prompt."""
        return tuple(name for name, applies in self.apply.items() if applies)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the prompt."""
        found = asdict(self)
        del found["prompt"]
        return found | {"mentions": [asdict(mention) for mention in self.mentions]}


def is_shown(certainty: float, judgement: Judgement) -> bool:
    """Whether somebody is shown. ``certainty`` is how sure the rules are of who is named, 0 where they see nobody."""
    if certainty:
        return judgement.shown + logit(min(certainty, SUREST)) > SEEN
    return judgement.shown > UNSEEN


def is_open(name: str, is_settled: bool, judgement: Judgement) -> bool:
    """Whether the prompt leaves an attribute open. Of one that the network was not trained on, the rules say so."""
    if name not in judgement.open:
        return not is_settled
    return judgement.open[name] > (SETTLED if is_settled else OPEN)


def said_outright(settled: Mapping[str, Mention], lexicon: Lexicon) -> list[str]:
    """The attributes that are settled by a word which means nothing else ("woman", "alderman", but not "Wendy"): the
    network has no say there."""
    entries = {name: lexicon.entries(folded(mention.words)) for name, mention in settled.items()}
    return [name for name, found in entries.items() if any(e.kind == "settles" and e.attribute == name for e in found)]


def named_by(judgement: Judgement, text: Parsed) -> tuple[int, int] | None:
    """The words that the network takes for the name of a person, [start, end); None where it takes none."""
    if not len(judgement.named) or judgement.named.max() < 0:
        return None
    start = end = int(np.argmax(judgement.named))
    while start and judgement.named[start - 1] > 0 and not text.words[start].starts:
        start -= 1
    while end + 1 < len(text.words) and judgement.named[end + 1] > 0 and not text.words[end + 1].starts:
        end += 1
    return start, end + 1


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def sureness(evidence: float) -> float:
    """A logit as a probability."""
    return 1 / (1 + math.exp(-max(min(evidence, 30.0), -30.0)))


def reason_of(matched: str, apply: Mapping[str, bool], settled: Mapping[str, Mention]) -> str:
    """ "“doctor” leaves race open; “her” settles gender" """
    still = [name for name, applies in apply.items() if applies]
    by_words: dict[str, list[str]] = {}
    beside = []
    for name in apply:
        if name in settled and not apply[name]:
            by_words.setdefault(settled[name].words, []).append(name)
        elif not apply[name]:
            beside.append(name)
    said = [f"“{matched}” leaves {' and '.join(still)} open"] if still else []
    said += [f"“{words}” settles {' and '.join(names)}" for words, names in by_words.items()]
    said += [f"the words around “{matched}” speak against {' and '.join(beside)}"] if beside else []
    odd = [settled[name].words for name in still if name in settled]
    said += [f"“{words}” is taken to settle nothing" for words in dict.fromkeys(odd)]
    return "; ".join(said)


def why_nobody(text: Parsed) -> str:
    """Why nobody is named."""
    if not text.words:
        return "there are no words"
    for match in text.matches:
        if match.has("things", "characters", "protected"):
            return f"nobody is named by work (“{text.said(match.start, match.end)}” names nobody)"
    return "nobody is named by work that the map serves"
