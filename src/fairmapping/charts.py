"""The report's charts: small inline SVGs and sprites, made by hand.

Positions are percentages of whatever width the page gives and sizes are pixels, so a chart is as crisp and its text
as large on a phone as on a desk. Colours are classes of ``templates/report.css``, which follows the reader's light or
dark scheme.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .store import Place

__all__ = ["Point", "axis", "dumbbell", "interval_track", "sprite", "scatter", "stack"]

_TICKS = (0, 25, 50, 75, 100)


@dataclass(frozen=True)
class Point:
    """One dot of a scatter: x and y in data units, a tooltip, a class for its colour, and a name to write beside it."""

    x: float
    y: float
    tooltip: str
    kind: str = ""
    name: str = ""


def axis(labels: Mapping[float, str]) -> Markup:
    """The scale above a column of tracks: position in percent -> text."""
    parts = []
    for at, text in labels.items():
        anchor = "start" if at <= 0 else "end" if at >= 100 else "middle"
        parts.append(Markup('<text x="{}%" y="12" text-anchor="{}">{}</text>').format(_n(at), anchor, text))
    return _svg(parts, 16, "axis")


def dumbbell(
    before: Sequence[float] | None, after: Sequence[float] | None, band: tuple[float, float], label: str
) -> Markup:
    """Two shares (value, low, high in 0..1) with their intervals on one track; `band` is where an even generator
    would fall."""
    low, high = band
    parts = [_rect(low, high - low, 0, 30, "band"), *_grid(30)]
    if before is not None and after is not None:
        parts.append(_line(before[0], after[0], 15, 15, "move"))
    for share, y, kind in ((before, 10, "raw"), (after, 20, "mapped")):
        if share is not None:
            value, from_, to = share
            parts += [_line(from_, to, y, y, f"whisker {kind}"), _circle(value, y, 4.5, kind)]
    return _svg(parts, 30, "track", label)


def interval_track(intervals: Iterable[tuple[str, float, float, float]], floor: float, label: str) -> Markup:
    """Means with intervals, one line each (class, value, low, high in 0..1), and the chance floor as a dashed line."""
    lines = list(intervals)
    height = 22 * len(lines) + 4
    parts = [*_grid(height), _line(floor, floor, 0, height, "floor")]
    for row, (kind, value, low, high) in enumerate(lines):
        y = 13 + 22 * row
        parts += [_line(low, high, y, y, f"whisker thick {kind}"), _circle(value, y, 6, kind)]
    return _svg(parts, height, "track", label)


def stack(shares: Sequence[float], names: Sequence[str], label: str) -> Markup:
    """Shares that add up to 1 as one bar; a share of 12 % or more has its number written in it."""
    parts, at = [], 0.0
    for index, (share, name) in enumerate(zip(shares, names, strict=True)):
        title = Markup("<title>{} {}</title>").format(name, f"{share:.0%}")
        rect = Markup('<rect x="{}%" y="0" width="{}%" height="15" class="group-{}">{}</rect>')
        parts.append(rect.format(_n(100 * at), _n(100 * share), index, title))
        if share >= 0.12:
            text = Markup('<text x="{}%" y="11" text-anchor="middle" class="in-group-{}">{}</text>')
            parts.append(text.format(_n(100 * (at + share / 2)), index, f"{100 * share:.0f}"))
        at += share
    return _svg(parts, 15, "stack", label)


def scatter(
    points: Sequence[Point],
    *,
    x_ticks: Mapping[float, str],
    y_ticks: Mapping[float, str],
    label: str,
    height: int = 340,
) -> Markup:
    """Dots between the outer ticks. Named ones carry their name; every one has its tooltip."""
    x_low, x_high, y_low, y_high = min(x_ticks), max(x_ticks), min(y_ticks), max(y_ticks)

    def across(x: float) -> float:
        return 100 * (x - x_low) / (x_high - x_low)

    def down(y: float) -> float:
        return height * (1 - (y - y_low) / (y_high - y_low))

    parts = []
    for x, text in x_ticks.items():
        anchor = "start" if x == x_low else "end" if x == x_high else "middle"
        parts.append(Markup('<line x1="{0}%" x2="{0}%" y1="0" y2="{1}" class="grid"/>').format(_n(across(x)), height))
        parts.append(
            Markup('<text x="{}%" y="{}" text-anchor="{}">{}</text>').format(_n(across(x)), height + 16, anchor, text)
        )
    for y, text in y_ticks.items():
        parts.append(Markup('<line x1="0%" x2="100%" y1="{0}" y2="{0}" class="grid"/>').format(_n(down(y))))
        parts.append(Markup('<text x="-6" y="{}" text-anchor="end">{}</text>').format(_n(down(y) + 4), text))
    for point in sorted(points, key=lambda point: bool(point.name)):
        x, y = across(point.x), down(point.y)
        dot = Markup('<circle cx="{}%" cy="{}" r="4" class="dot {}"><title>{}</title></circle>')
        parts.append(dot.format(_n(x), _n(y), point.kind, point.tooltip))
        if point.name:
            left = x > 62
            text = Markup('<text x="{}%" dx="{}" y="{}" text-anchor="{}" class="name">{}</text>')
            parts.append(text.format(_n(x), -8 if left else 8, _n(y + 4), "end" if left else "start", point.name))
    return _svg(parts, height + 20, "scatter", label)


def sprite(place: Place, names: Sequence[str], *, columns: int = 6, side: int = 96) -> tuple[str, int, int] | None:
    """Thumbnails of these images of a run on one PNG as a data URI, with its width and height in pixels; None where an
    image is missing or cannot be read.

    Images of up to `side` pixels are kept as they are, larger ones are scaled down to it.
    """
    from PIL import Image

    thumbnails = []
    for name in names:
        try:
            picture = place.image(name)
        except (FileNotFoundError, ValueError):
            return None
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        thumbnails.append(picture)
    if not thumbnails:
        return None
    gap, width, height = 2, max(p.width for p in thumbnails), max(p.height for p in thumbnails)
    rows = -(-len(thumbnails) // columns)
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    sheet = Image.new("RGBA", size)
    for index, picture in enumerate(thumbnails):
        sheet.paste(picture, ((index % columns) * (width + gap), (index // columns) * (height + gap)))
    # 255 colours hold drawings and thumbnails well and keep the page small.
    buffer = io.BytesIO()
    sheet.quantize(255, method=Image.Quantize.FASTOCTREE).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(), *size


def _svg(parts: Iterable[Markup], height: int, kind: str, label: str = "") -> Markup:
    role = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    return Markup('<svg class="{}" width="100%" height="{}" {}>{}</svg>').format(
        kind, height, role, Markup("").join(parts)
    )


def _grid(height: int) -> list[Markup]:
    return [Markup('<line x1="{0}%" x2="{0}%" y1="0" y2="{1}" class="grid"/>').format(at, height) for at in _TICKS]


def _line(x1: float, x2: float, y1: float, y2: float, kind: str) -> Markup:
    return Markup('<line x1="{}%" x2="{}%" y1="{}" y2="{}" class="{}"/>').format(
        _n(100 * x1), _n(100 * x2), y1, y2, kind
    )


def _rect(x: float, width: float, y: float, height: float, kind: str) -> Markup:
    return Markup('<rect x="{}%" y="{}" width="{}%" height="{}" class="{}"/>').format(
        _n(100 * x), y, _n(100 * width), height, kind
    )


def _circle(x: float, y: float, r: float, kind: str) -> Markup:
    return Markup('<circle cx="{}%" cy="{}" r="{}" class="dot {}"/>').format(_n(100 * x), y, r, kind)


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
