"""The rendered faces, as pictures and as latents, grouped by who is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from world import EXPRESSIONS, GENDERS, RACES

SIZE = 64


def load_renders(folder: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Pictures (N, 64, 64, 3) uint8, mapped from disk, and one row of labels each."""
    labels = [pd.read_csv(path) for path in sorted(folder.glob("shard-*.csv"))]
    if not labels:
        raise FileNotFoundError(f"no shard-*.csv in {folder}: render first, see training/README.md")
    pixels = [np.memmap(path, np.uint8, "r").reshape(-1, SIZE, SIZE, 3) for path in sorted(folder.glob("shard-*.rgb"))]
    table = pd.concat(labels, ignore_index=True)
    images = np.concatenate(pixels) if len(pixels) > 1 else pixels[0]
    if len(images) != len(table):
        raise ValueError(
            f"{folder} holds {len(images)} pictures and {len(table)} labels: run the renderer again to its end"
        )
    return images, table


def as_tensor(images: np.ndarray) -> Tensor:
    """(N, 64, 64, 3) uint8 to (N, 3, 64, 64) float in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Buckets:
    """Finds a random picture of a given gender, race, expression and cue in constant time."""

    def __init__(self, table: pd.DataFrame, cues: list[str]) -> None:
        self.cues = cues
        codes = self.code(
            pd.Categorical(table["gender"], GENDERS).codes,
            pd.Categorical(table["race"], RACES).codes,
            pd.Categorical(table["expression"], EXPRESSIONS).codes,
            pd.Categorical(table["cue"], cues).codes,
        )
        face = np.flatnonzero(table["gender"] != "none")
        self.nobody = np.flatnonzero(table["gender"] == "none")
        order = face[np.argsort(codes[face], kind="stable")]
        n_codes = len(GENDERS) * len(RACES) * len(EXPRESSIONS) * len(cues)
        sizes = np.bincount(codes[face], minlength=n_codes)
        if sizes.min() == 0:
            raise ValueError("some (gender, race, expression, cue) has no picture: render all shards")
        self.order, self.sizes = order, sizes
        self.starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def code(self, gender: np.ndarray, race: np.ndarray, expression: np.ndarray, cue: np.ndarray) -> np.ndarray:
        code = np.asarray(gender, np.int64) * len(RACES) + race
        return (code * len(EXPRESSIONS) + expression) * len(self.cues) + cue

    def draw(self, rng: np.random.Generator, code: np.ndarray) -> np.ndarray:
        return self.order[self.starts[code] + (rng.random(len(code)) * self.sizes[code]).astype(np.int64)]
