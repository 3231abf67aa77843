"""The sections of the report: what an audit holds, as rows of text and small charts. The template lays them out."""

from __future__ import annotations

from .headline import cards, headlines
from .judging import judge
from .kept import kept, moved, obeyed_overall
from .keywords import chart, figures
from .language import language
from .measures import cells, measures
from .parts import floor_note, intervals_of_shares, model_name, sd15_women
from .pictures import most_uneven, pairs
from .quality import quality
from .routes import routes
from .settings import settings

__all__ = [
    "cards",
    "cells",
    "chart",
    "figures",
    "floor_note",
    "headlines",
    "intervals_of_shares",
    "judge",
    "kept",
    "language",
    "measures",
    "model_name",
    "most_uneven",
    "moved",
    "obeyed_overall",
    "pairs",
    "quality",
    "routes",
    "sd15_women",
    "settings",
]
