"""What is known of an image, as a row of an Audit: its keyword, the groups that its prompt names, its arm and seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..detect import Decision, Detector
from ..progress import progress_bar
from ..prompts import Attribute
from ..results import ARMS
from ..words import count

__all__ = ["Known", "arms_of", "as_rows"]

_ARMS = {"raw": "raw", "before": "raw", "mapped": "mapped", "after": "mapped"}
_SEEDS = 2**63  # what tables keep as whole numbers; some tools draw seeds of a bit more
_UNEVEN = 10  # times as many images of one keyword as of another are worth a word


class Known(NamedTuple):
    """An image: where it lies, and what it was drawn from; None for what nobody told."""

    image: str
    arm: str
    prompt: str | None
    keyword: str | None = None
    seed: int | None = None


def as_rows(
    known: Sequence[Known], attributes: Sequence[str | Attribute], *, progress: bool = True
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of an Audit that nobody has judged yet, and notes on what they do without.

    The keyword is the one that is told, or the one that the detector finds in the prompt, or the whole prompt. groups:
    those of `attributes` that the prompt's words settle, with None where the words do not tell which ("Maria"), so
    that no such prompt counts as neutral. Where both arms have a prompt with the same seed, those are a pair; an image
    without one gets a negative number that no other has.
    """
    notes = []
    usable = [item for item in known if item.prompt or item.keyword]
    if len(usable) < len(known):
        notes.append(f"Left out: {count(len(known) - len(usable), 'image')} with neither a prompt nor a keyword.")
    if not usable:
        raise ValueError("no image has a prompt or a keyword, so there is nothing to group the figures by")
    prompts = [item.prompt or item.keyword or "" for item in usable]
    decisions = _decisions(prompts, attributes, progress)
    keywords = [
        item.keyword or decisions[prompt].keyword or prompt for item, prompt in zip(usable, prompts, strict=True)
    ]
    seeds, paired = _seeds(usable, prompts, keywords)
    rows = [
        {
            "image": item.image,
            "arm": item.arm,
            "prompt": prompt,
            "keyword": keyword,
            "template": "",
            "groups": _groups(decisions[prompt], attributes),
            "seed": seed,
            "assigned": (),
            "mapped": (),
        }
        for item, prompt, keyword, seed in zip(usable, prompts, keywords, seeds, strict=True)
    ]
    if explicit := sum(bool(row["groups"]) for row in rows):
        notes.append(f"Counted as explicit, not as neutral: {count(explicit, 'image')} whose prompt names a group.")
    if len({item.arm for item in usable}) == len(ARMS):
        notes.append(
            f"Pairs of the same prompt and seed in both arms: {paired:,}."
            if paired
            else "No image of one arm shares its seed with one of the other: the arms are compared as independent."
        )
    return rows, [*notes, *_uneven(rows)]


def arms_of(values: Sequence[str | None], names: Sequence[str] | None) -> list[str]:
    """ "raw" or "mapped" for each value of a column "arm" ("before" and "after" say the same), or for the two `names`
    of the user's own, in that order. A single arm is "raw".

    Raises ValueError for any other value, or names that are not two.
    """
    if names is not None and (isinstance(names, str) or len(names) != 2 or len(set(names)) != 2):
        raise ValueError(f"arms are {names!r}; give two different names, the one before and the one after")
    known = _ARMS if names is None else dict(zip(names, ARMS, strict=True))
    found = set(values)
    if names is None and len(found) == 1 and not found & {"mapped", "after"}:
        return ["raw"] * len(values)
    unknown = sorted(str(value) for value in found if value not in known)
    if unknown:
        told = "raw and mapped, or before and after" if names is None else " and ".join(names)
        raise ValueError(f"an arm is {unknown[0]!r}; known are {told}: say which is which with arms=(before, after)")
    return [known[str(value)] for value in values]


def _decisions(prompts: Sequence[str], attributes: Sequence[str | Attribute], progress: bool) -> dict[str, Decision]:
    # The detector knows the words of gender and race, and of attributes given with their words; names of groups that
    # only a judge knows ("1" to "10" of a scale of skin tones) would settle what they do not mean.
    own = [attribute for attribute in attributes if isinstance(attribute, Attribute)]
    packaged = [name for name in ("gender", "race") if name not in {attribute.name for attribute in own}]
    detector = Detector(None, [*packaged, *own])
    found: dict[str, Decision] = {}
    different = dict.fromkeys(prompts)
    with progress_bar(
        "reading prompts", len(different), "prompts", shown=progress and len(different) > 5000
    ) as advance:
        for prompt in different:
            found[prompt] = detector.decide(prompt)
            advance(1)
    return found


def _groups(decision: Decision, attributes: Sequence[str | Attribute]) -> tuple[tuple[str, str | None], ...]:
    asked = {attribute if isinstance(attribute, str) else attribute.name for attribute in attributes}
    named: dict[str, set[str]] = {}
    for mention in decision.mentions:
        if mention.attribute in asked:
            named.setdefault(mention.attribute, set()).add(mention.group)
    return tuple((name, next(iter(groups)) or None if len(groups) == 1 else None) for name, groups in named.items())


def _seeds(known: Sequence[Known], prompts: Sequence[str], keywords: Sequence[str]) -> tuple[list[int], int]:
    """A seed for each image, and how many pairs of them both arms share."""
    told = [None if item.seed is None else item.seed % _SEEDS for item in known]
    keys = list(zip(keywords, prompts, told, strict=True))
    times = Counter((key, item.arm) for key, item in zip(keys, known, strict=True))
    shared = {key for key, _ in times if key[2] is not None and all(times[key, arm] == 1 for arm in ARMS)}
    # A seed that one arm used twice for a prompt tells no pair, and one that the other lacks may stay.
    once = [times[key, item.arm] == 1 for key, item in zip(keys, known, strict=True)]
    seeds = [seed if ok and seed is not None else -1 - i for i, (seed, ok) in enumerate(zip(told, once, strict=True))]
    return seeds, len(shared)


def _uneven(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    sizes = Counter((row["arm"], row["keyword"]) for row in rows).values()
    if max(sizes) < _UNEVEN * min(sizes):
        return []
    return [
        f"Keywords have from {min(sizes):,} to {max(sizes):,} images. Each counts alike in the means, so the small "
        "ones bring most of the noise; the chance floor allows for it."
    ]
