"""Features of many images, computed batch by batch, so that no more than a batch of images is ever in memory; what
was computed is kept beside the run, and an interrupted computation goes on."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .progress import progress_bar
from .store import Place

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Extractor", "features_of"]

Extractor = Callable[[Sequence["Image"]], np.ndarray]  # images to (N, F)

FOLDER = "features"
BLOCK = 256  # images between two writes: at most this many are read again after an interruption


def features_of(
    extract: Extractor,
    place: Place,
    files: Sequence[str],
    *,
    name: str,
    cache: Place | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> np.ndarray:
    """(N, F) float32 features of the images `files` of a place.

    Blocks of them are kept in the folder ``features`` of `cache`, under the `name` of the extractor and the sizes and
    times of the files, so that changed images are read anew. Raises ValueError for an image that cannot be
    read, or features of another shape.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    blocks = [files[start : start + BLOCK] for start in range(0, len(files), BLOCK)]
    found = []
    with progress_bar(f"reading images ({name})", len(files), "images", shown=progress) as advance:
        for block in blocks:
            kept = f"{FOLDER}/{_digest(name, place, block)}.npy"
            if cache is not None and cache.exists(kept):
                features = np.load(io.BytesIO(cache.read(kept)), allow_pickle=False)
            else:
                parts = [block[start : start + batch_size] for start in range(0, len(block), batch_size)]
                features = np.concatenate(
                    [_checked(extract([place.image(file) for file in part]), len(part)) for part in parts]
                )
                if cache is not None:
                    data = io.BytesIO()
                    np.save(data, features, allow_pickle=False)
                    cache.write(kept, data.getvalue())
            found.append(features)
            advance(len(block))
    if len({features.shape[1] for features in found}) > 1:
        raise ValueError(f"the extractor {name!r} gave features of several widths; it must give (N, F) with one F")
    return np.concatenate(found) if found else np.zeros((0, 0), np.float32)


def _checked(features: np.ndarray, n: int) -> np.ndarray:
    array = np.asarray(features, np.float32)
    if array.ndim != 2 or len(array) != n or not np.isfinite(array).all():
        raise ValueError(
            f"an extractor must give finite features (N, F), one row an image; got {array.shape} of {n} images"
        )
    return array


def _digest(name: str, place: Place, files: Sequence[str]) -> str:
    told = [(str(place), file, place.stamp(file)) for file in files]
    return hashlib.sha256(json.dumps([name, told]).encode()).hexdigest()[:24]
