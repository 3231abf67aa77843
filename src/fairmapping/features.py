"""Features of many images, computed batch by batch, so that no more than a batch of images is ever in memory; what
was computed is kept beside the run, and an interrupted computation goes on."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .progress import progress_bar
from .runs import read_image

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Extractor", "features_of"]

Extractor = Callable[[Sequence["Image"]], np.ndarray]  # images to (N, F)

BLOCK = 256  # images between two writes: at most this many are read again after an interruption


def features_of(
    extract: Extractor,
    files: Sequence[Path],
    *,
    name: str,
    cache: Path | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> np.ndarray:
    """(N, F) float32 features of the images in `files`.

    Blocks of them are kept in `cache` under the `name` of the extractor and the sizes and times of the files, so
    that changed images are read anew. Raises ValueError for an image that cannot be read, or features of another
    shape.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    blocks = [files[start : start + BLOCK] for start in range(0, len(files), BLOCK)]
    found = []
    with progress_bar(f"reading images ({name})", len(files), "images", shown=progress) as advance:
        for block in blocks:
            kept = None if cache is None else cache / f"{_digest(name, block)}.npy"
            if kept is not None and kept.exists():
                features = np.load(kept, allow_pickle=False)
            else:
                parts = [block[start : start + batch_size] for start in range(0, len(block), batch_size)]
                features = np.concatenate(
                    [_checked(extract([read_image(f) for f in part]), len(part)) for part in parts]
                )
                if kept is not None:
                    _save(kept, features)
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


def _digest(name: str, files: Sequence[Path]) -> str:
    told = [(str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps([name, told]).encode()).hexdigest()[:24]


def _save(path: Path, features: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{uuid.uuid4().hex[:8]}.part")
    try:
        with partial.open("wb") as file:
            np.save(file, features, allow_pickle=False)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
