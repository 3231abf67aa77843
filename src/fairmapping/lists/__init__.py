"""The packaged word lists: occupations, emotions and attributes. README.md beside them tells sources and licences.

They work without any file outside the package, so `occupation_table()` can say what Stable Diffusion v1.5 and the
United States' labour force show for each occupation wherever fairmapping is installed.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from pathlib import Path

from fairmapping.prompts import Attribute, resolve_attributes, resolve_keywords

__all__ = [
    "attributes",
    "emotion_table",
    "emotions",
    "further",
    "labour_targets",
    "occupation_table",
    "occupations",
    "split",
]

_FOLDER = Path(__file__).parent
_PERCENTAGES = ("women", "white", "black", "asian", "hispanic")
_HISPANIC_COUNTED_WHITE = 0.88  # the part of Hispanic workers whom table 11 counts as white too, our estimate
_COUNTS = ("sd15_man", "sd15_woman", "fair_diffusion_man", "fair_diffusion_woman")


def occupations() -> list[str]:
    """The 153 occupations of Fair Diffusion, in its order."""
    return resolve_keywords("occupations")


def emotions() -> list[str]:
    """20 noun phrases such as "happy person", of the six classes in `emotion_table()`."""
    return resolve_keywords("emotions")


def further() -> tuple[list[str], list[str]]:
    """Occupations besides those 153, so many that a map has something to generalise from: those to fit on, and 60 to
    report on that nothing here was ever fitted on or chosen by. None of them has figures or was ever in a caption of
    the embedded model."""
    rows = _rows("further.csv")
    fit, report = ([row["keyword"] for row in rows if row["part"] == part] for part in ("fit", "report"))
    return fit, report


def attributes() -> dict[str, Attribute]:
    """`gender` (female, male) and `race` (asian, black, hispanic, white), by name."""
    return {attribute.name: attribute for attribute in resolve_attributes(_FOLDER / "attributes.toml")}


def emotion_table() -> list[dict[str, str]]:
    """One row per emotion: keyword ("happy person"), word ("happy") and class ("happy"), what a face would show."""
    return _rows("emotions.csv")


def occupation_table() -> list[dict[str, str | float | int]]:
    """One row per occupation, in the order of `occupations()`.

    `occupation`, `sector` (one of 16, ours), `bls_row` (the row of BLS table 11 matched to it); `women`, `white`,
    `black`, `asian`, `hispanic`: percent of those employed, where race and Hispanic origin overlap; `sd15_man`,
    `sd15_woman`, `fair_diffusion_man`, `fair_diffusion_woman`: how many of 250 images FairFace called so, before and
    after Fair Diffusion; a sum below 250 says that it gave no answer on the others.
    """
    table: list[dict[str, str | float | int]] = []
    for row in _rows("occupations.csv"):
        percentages = {name: float(row[name]) for name in _PERCENTAGES}
        table.append({**row, **percentages, **{name: int(row[name]) for name in _COUNTS}})
    return table


def labour_targets() -> dict[str, dict[str, dict[str, float]]]:
    """What the labour force of the United States shows: occupation -> attribute -> group -> share, from table 11.

    `gender` has the share of women and the rest. In `race`, where the source counts most Hispanics as white too, 88
    of 100 of them are taken out of white, and the four shares are made to add to 1.
    """
    found = {}
    for row in occupation_table():
        women = float(row["women"]) / 100
        race = {name: float(row[name]) for name in ("asian", "black", "hispanic", "white")}
        race["white"] = max(race["white"] - _HISPANIC_COUNTED_WHITE * race["hispanic"], 0.0)
        total = sum(race.values())
        found[str(row["occupation"])] = {
            "gender": {"female": women, "male": 1 - women},
            "race": {name: share / total for name, share in race.items()},
        }
    return found


def split(n_fit: int = 103, seed: int = 0) -> tuple[list[str], list[str]]:
    """The occupations to fit on and the others to report on, the same on every machine and in every release.

    Twins that share a row of BLS table 11 (waiter and waitress, programmer and computer programmer) fall on the same
    side, so that nothing is reported on a near copy of what was fitted; the last of them part where n_fit demands it.
    """
    table = occupation_table()
    if not 0 < n_fit < len(table):
        raise ValueError(f"n_fit must be between 1 and {len(table) - 1}, to leave some to report on, got {n_fit}")
    twins: dict[str, list[str]] = defaultdict(list)
    for row in table:
        twins[str(row["bls_row"])].append(str(row["occupation"]))
    # Sorting by a hash is a shuffle that no change to a random generator can alter.
    shuffled = sorted(twins, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    fit: set[str] = set()
    for name in shuffled:
        if len(fit) + len(twins[name]) <= n_fit:
            fit.update(twins[name])
    missing = n_fit - len(fit)
    fit.update([word for name in shuffled for word in twins[name] if word not in fit][:missing])
    names = occupations()
    return [name for name in names if name in fit], [name for name in names if name not in fit]


def _rows(file: str) -> list[dict[str, str]]:
    with (_FOLDER / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
