"""Skin tone of a face: the individual typology angle, its classes, and the nearest of the ten Monk swatches.

The angle is ITA = atan((L* - 50) / b*) in degrees, of CIELAB under D65 (Chardon, Cretois and Hourseau, International
Journal of Cosmetic Science 13, 1991); the limits of its six classes are those of Del Bino and Bernerd (British Journal
of Dermatology 169, 2013). The swatches are those of the Monk Skin Tone scale (Monk, 2019; published by Google, CC BY
4.0). All of this was made for skin under a known light. In a picture the light is unknown: the same person comes out
several classes darker at dusk than at noon, and what is read is the skin's colour in this picture, nobody's skin.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ITA_CLASSES", "MONK", "lab", "skin_pixels", "skin_tone", "typology_angle"]

Array = NDArray[np.float64]

# Class -> the angle in degrees above which skin belongs to it, from the lightest down.
ITA_CLASSES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -np.inf}
MONK = ("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420")
KEPT = (0.2, 0.7)  # quantiles of lightness between which skin counts: below lie shadows and hair, above highlights

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(1)  # D65


def lab(rgb: NDArray[np.uint8]) -> Array:
    """sRGB (..., 3) in 0..255 -> CIELAB (..., 3) under D65 (IEC 61966-2-1 and CIE 15)."""
    share = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def typology_angle(colour: Array) -> Array:
    """CIELAB (..., 3) -> ITA in degrees (...). Colours bluer than grey, which skin is only under coloured light, go on
    past 90 degrees and not round to the other end."""
    return np.degrees(np.arctan2(colour[..., 0] - 50, colour[..., 2]))


def skin_pixels(face: NDArray[np.uint8]) -> Array:
    """CIELAB (N, 3) of the skin of a square upright face (S, S, 3), cut by
    :func:`fairmapping.judges.faces.upright` with a padding of 0.25.

    Both cheeks below the eyes, where hair, beards and glasses are rarest; of these the middle of the lightness.
    """
    side = len(face)
    v, u = (np.mgrid[:side, :side] + 0.5) / side
    # With the padding that the judge cuts faces with, the eyes lie at v = 0.3, the nose ends at 0.5, the mouth lies at
    # 0.68. The nose and the forehead shine, above all in generated pictures, and shine is the colour of the light.
    cheeks = (abs(v - 0.47) < 0.08) & (abs(abs(u - 0.5) - 0.19) < 0.06)
    colours = lab(face[cheeks])
    low, high = np.quantile(colours[:, 0], KEPT)
    return colours[(colours[:, 0] >= low) & (colours[:, 0] <= high)]


def skin_tone(face: NDArray[np.uint8]) -> dict[str, dict[str, float]]:
    """{"skin_tone": class -> share, "monk": swatch -> share} of a face's skin, by pixel: how far its colours agree."""
    colours = skin_pixels(face)
    limits = np.array(list(ITA_CLASSES.values()))
    classes = (typology_angle(colours)[:, None] <= limits).sum(1)
    swatches = lab(np.array([list(bytes.fromhex(code)) for code in MONK], np.uint8))
    nearest = np.linalg.norm(colours[:, None] - swatches, axis=-1).argmin(1)
    return {
        "skin_tone": dict(zip(ITA_CLASSES, _shares(classes, len(limits)), strict=True)),
        "monk": dict(zip(map(str, range(1, len(MONK) + 1)), _shares(nearest, len(MONK)), strict=True)),
    }


def _shares(found: NDArray[np.int64], groups: int) -> list[float]:
    return [float(share) for share in np.bincount(found, minlength=groups) / len(found)]
