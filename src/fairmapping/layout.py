"""In which blocks the images of some prompts are drawn, by arithmetic alone: prompt by prompt, or, where a keyword may
be closed before the others, in rounds.

A block holds at most ``size`` images, each named by (prompt, index), and both layouts number them from 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

__all__ = ["At", "ByPrompt", "ByRound"]

At = tuple[int, int]  # the number of a prompt, and the index of one of its images


class ByPrompt:
    """By prompt, then index, cut into blocks of ``size`` images, which may span prompts."""

    def __init__(self, prompts: int, images: int, size: int) -> None:
        self.images, self.size, self.total = images, size, prompts * images
        self.blocks = range(-(-self.total // size))

    def within(self, number: int) -> list[At]:
        """The images of a block."""
        rows = range(number * self.size, min(self.total, (number + 1) * self.size))
        return [divmod(row, self.images) for row in rows]

    def find(self, row: int) -> At:
        """The block of a row, and its place there."""
        return divmod(row, self.size)


class ByRound:
    """By round, then keyword: the next ``each`` images of every prompt of the keyword, in one block, or in several
    where it has more prompts than ``size``.

    So no block holds two keywords, and more images add rounds, the full ones staying what they are. keywords: of each
    prompt.
    """

    def __init__(self, keywords: Sequence[str], images: int, size: int) -> None:
        prompts: dict[str, list[int]] = {}
        for number, keyword in enumerate(keywords):
            prompts.setdefault(keyword, []).append(number)
        self.images = images
        self.each = max(1, size // max(map(len, prompts.values())))
        most = size // self.each  # prompts in a block
        self._columns = [
            (keyword, numbers[start : start + most])
            for keyword, numbers in prompts.items()
            for start in range(0, len(numbers), most)
        ]
        self._starts = list(accumulate((len(numbers) for _, numbers in self._columns), initial=0))
        self.rounds = range(-(-images // self.each))
        self.blocks = range(len(self.rounds) * len(self._columns))

    def round(self, number: int) -> range:
        """Its blocks."""
        return range(number * len(self._columns), (number + 1) * len(self._columns))

    def keyword(self, number: int) -> str:
        """The one that a block is of."""
        return self._columns[number % len(self._columns)][0]

    def within(self, number: int) -> list[At]:
        """The images of a block."""
        turn, column = divmod(number, len(self._columns))
        return [(prompt, index) for prompt in self._columns[column][1] for index in self._indices(turn)]

    def find(self, row: int) -> At:
        """The block of a row, and its place there."""
        turn, rest = divmod(row, self._starts[-1] * self.each)
        width = len(self._indices(turn))
        column = bisect_right(self._starts, rest // width) - 1
        return turn * len(self._columns) + column, rest - self._starts[column] * width

    def _indices(self, turn: int) -> range:
        return range(turn * self.each, min(self.images, (turn + 1) * self.each))
