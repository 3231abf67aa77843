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

__all__ = ["attributes", "emotion_table", "emotions", "occupation_table", "occupations", "split"]

_FOLDER = Path(__file__).parent
_PERCENTAGES = ("women", "white", "black", "asian", "hispanic")
_COUNTS = ("sd15_man", "sd15_woman", "fair_diffusion_man", "fair_diffusion_woman")


def occupations() -> list[str]:
    """The 153 occupations of Fair Diffusion, in its order."""
    return resolve_keywords("occupations")


def emotions() -> list[str]:
    """20 noun phrases such as "happy person", of the six classes in `emotion_table()`."""
    return resolve_keywords("emotions")


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
