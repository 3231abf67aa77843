"""Which blocks a job still needs: all of them, or round by round those of the keywords whose shares are not yet known
well enough.

What is drawn next depends on the answers to whole rounds alone, never on what else lies in the run or on who was
faster; so a run that was killed, resumed or spread over a cluster ends where an undisturbed one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from . import metrics, tables
from .layout import ByRound
from .ledger import Ledger

__all__ = ["Stop", "Task", "rounds"]

Task = tuple[int, int]  # the number of an order, and of a block


@dataclass(frozen=True)
class Stop:
    """Close a keyword once the sequences of all its shares are within +- ``width``, in every arm and attribute.

    groups: attribute -> the groups that are counted. Raises ValueError for a width outside (0, 1/2), TypeError for what
    is no number.
    """

    width: float
    groups: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        if not isinstance(self.width, (int, float)):
            raise TypeError(f"stop_at is {self.width!r}; give the half-width to stop at, a number such as 0.1")
        metrics.enough([0, 0], self.width)  # refuses what is no width


def rounds(ledgers: Sequence[Ledger], stop: Stop | None) -> Iterator[tuple[list[Task], str]]:
    """The tasks of each round and a word on where the job stands. Whoever asks for the next round has done this one.

    Counted are the answers to prompts that name no group. Those that do are drawn along with their keyword; a keyword
    that has no others is drawn in full.
    """
    if stop is None:
        yield [(order, number) for order, ledger in enumerate(ledgers) for number in ledger.plan.blocks], "images"
        return
    layout = ledgers[0].plan.layout
    assert isinstance(layout, ByRound)
    keywords = list(dict.fromkeys(map(layout.keyword, layout.round(0))))
    place = {keyword: number for number, keyword in enumerate(keywords)}
    counts = {name: np.zeros((len(ledgers), len(keywords), len(k)), int) for name, k in stop.groups.items()}
    closed = np.zeros(len(keywords), bool)
    for turn in layout.rounds:
        blocks = [number for number in layout.round(turn) if not closed[place[layout.keyword(number)]]]
        if not blocks:
            return
        tasks = [(order, number) for order in range(len(ledgers)) for number in blocks]
        yield tasks, f"images, {np.sum(~closed)} of {len(keywords)} keywords open"
        for order, number in tasks:
            for answers in ledgers[order].answers([number]):
                for row in tables.rows_of(answers):
                    for name, groups in stop.groups.items():
                        if not row["groups"] and row[name] in groups:
                            counts[name][order, place[row["keyword"]], groups.index(row[name])] += 1
        closed = np.all([metrics.enough(found, stop.width).all(0) for found in counts.values()], axis=0)
