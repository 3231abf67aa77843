"""The sections of the report: what an audit holds, as rows of text and small charts. The template lays them out."""

from __future__ import annotations

from .judging import judge
from .kept import kept, moved, obeyed_overall
from .keywords import chart, figures
from .language import language
from .parts import WHEN, card, sd15_women
from .pictures import most_uneven, pairs

__all__ = [
    "WHEN",
    "card",
    "chart",
    "figures",
    "judge",
    "kept",
    "language",
    "most_uneven",
    "moved",
    "obeyed_overall",
    "pairs",
    "sd15_women",
]
