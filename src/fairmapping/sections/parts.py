"""What several sections share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

__all__ = ["WHEN", "card"]

WHEN = {"raw": "before", "mapped": "after"}  # the arms, as a reader knows them


def card(name: str, values: Sequence[str], text: str, track: str = "", worst: str = "") -> dict[str, Any]:
    """One of the figures at the head of the page: values before and after, a sentence, and a track that ends at
    `worst`."""
    arrow = Markup('<span class="arrow" role="img" aria-label="then">→</span>')
    return {
        "name": name,
        "big": Markup(" {} ").format(arrow).join(values),
        "text": text,
        "chart": track,
        "worst": worst,
    }
