"""Kernel distance between two sets of images by their features (KID; Bińkowski et al., ICLR 2018): without the bias
that the Fréchet distance has with few images."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from .metrics import Interval

__all__ = ["LEAST", "discrepancy", "kid"]

BLOCKS = 10
LEAST = 2 * BLOCKS


def kid(
    x: np.ndarray, reference: np.ndarray, *, before: np.ndarray | None = None, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """The unbiased squared maximum mean discrepancy, with the kernel (f . g / F + 1)^3, of features x (N, F) from the
    reference (M, F); with `before` (N, F), rows paired with those of x, by how much it is greater for x.

    Both sets are shuffled and cut into 10 blocks, and the figure is the mean over the blocks with the t interval of
    their spread (Zaremba, Gretton and Blaschko, NeurIPS 2013): it may fall below 0, as an unbiased estimate of 0
    must. torchmetrics computes the discrepancy of a block. n is N.

    Raises ModuleNotFoundError without torchmetrics, ValueError for fewer than 20 images on a side.
    """
    mmd = discrepancy()
    if min(len(x), len(reference)) < LEAST or (before is not None and len(before) != len(x)):
        raise ValueError(f"kid needs {LEAST} images on each side, paired ones as many, got {len(x)}, {len(reference)}")
    rng = np.random.default_rng(seed)
    size = min(len(x), len(reference)) // BLOCKS
    own, other = (rng.permutation(len(part))[: size * BLOCKS].reshape(BLOCKS, size) for part in (x, reference))
    values = np.array([mmd(reference[theirs], x[rows]) for rows, theirs in zip(own, other, strict=True)])
    if before is not None:
        values -= [mmd(reference[theirs], before[rows]) for rows, theirs in zip(own, other, strict=True)]
    half = float(stats.t.ppf((1 + confidence) / 2, BLOCKS - 1) * values.std(ddof=1) / np.sqrt(BLOCKS))
    value = float(values.mean())
    return Interval(value, value - half, value + half, len(x))


def discrepancy() -> Any:
    """torchmetrics' squared maximum mean discrepancy of features (n, F) and (n, F). Raises ModuleNotFoundError."""
    try:
        from torchmetrics.image.kid import poly_mmd
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "KID needs torchmetrics: pip install 'fairmapping[quality]', or leave the reference out"
        ) from error
    import torch

    return lambda f, g: float(poly_mmd(torch.from_numpy(f).double(), torch.from_numpy(g).double()))
