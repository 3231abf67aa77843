"""Maps I + U V of low rank, which never become the square matrix that they stand for.

The square map of an encoder 4096 wide holds 64 MiB, while what a map changes is small: the directions that tell the
groups apart, and how strongly each keyword leans along them. So W - I is all but of low rank, and :func:`truncate`
keeps the part of it that moves the embeddings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["LowRank", "Weight", "chained", "change", "product", "reduced", "truncate"]

SQUARE = 2048  # up to this width a fitted map stays a square matrix: 16 MiB; T5-XXL's, 4096 wide, would be 64
LOST = 0.1  # of its change, what a map may lose where no rank is asked for: benchmarks/low_rank.py has the figures


class LowRank(nn.Module):
    """The map x -> x + x U V: ``down`` U is (D, R), ``up`` V is (R, D), D the width and R the rank, from 0 to D.

    Raises ValueError for shapes that do not belong together or values that are not finite floats.
    """

    down: Tensor
    up: Tensor

    def __init__(self, down: Tensor, up: Tensor) -> None:
        super().__init__()
        if down.ndim != 2 or up.shape != down.shape[::-1] or not 0 <= down.shape[1] <= down.shape[0] or not len(down):
            raise ValueError(
                f"a map of low rank needs down (D, R) and up (R, D), R at most D; got {tuple(down.shape)} and "
                f"{tuple(up.shape)}"
            )
        for name, tensor in (("down", down), ("up", up)):
            if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
                raise ValueError(f"{name} of a map ({tensor.dtype}) holds values that are not finite floats")
            self.register_buffer(name, tensor.detach().float().clone())

    @classmethod
    def identity(cls, width: int) -> LowRank:
        """The map that changes nothing, of rank 0."""
        return cls(torch.zeros(width, 0), torch.zeros(0, width))

    def __len__(self) -> int:
        return len(self.down)

    @property
    def rank(self) -> int:
        """R."""
        return self.down.shape[1]

    def square(self) -> Tensor:
        """(D, D): the matrix that the map stands for."""
        return torch.eye(len(self)).to(self.down) + self.down @ self.up


Weight = Tensor | LowRank  # what stands for W in x -> x W


def change(x: Tensor, weight: Weight) -> Tensor:
    """x (W - I) for rows x (..., D), in the dtype and on the device of x.

    The change and not x W, so that half precision rounds the small change and not the whole, and the identity is exact.
    """
    if isinstance(weight, LowRank):
        return x @ weight.down.to(x) @ weight.up.to(x)
    return x @ (weight - torch.eye(len(weight)).to(weight)).to(x)


def product(down: Tensor, up: Tensor) -> Weight:
    """I + ``down`` (D, R) ``up`` (R, D): square where R is above D, and of low rank otherwise."""
    return LowRank(down, up) if down.shape[1] <= len(down) else torch.eye(len(down)).to(down) + down @ up


def chained(first: Weight, second: Weight) -> Weight:
    """W1 W2, of low rank where both are: (I + U1 V1)(I + U2 V2) = I + [U1, U2 + U1 V1 U2] [V1; V2]."""
    if isinstance(first, LowRank) and isinstance(second, LowRank):
        down = second.down + first.down @ (first.up @ second.down)
        return product(torch.cat([first.down, down], 1), torch.cat([first.up, second.up]))
    parts = [part.square() if isinstance(part, LowRank) else part for part in (first, second)]
    return parts[0] @ parts[1]


def reduced(matrix: Tensor, gram: Tensor, rank: int | None) -> tuple[Weight, float | None]:
    """What is kept of a fitted ``matrix`` (D, D), and what :func:`truncate` lost of it (None: it is kept as it is).

    ``rank`` None is the rule: the square matrix up to :data:`SQUARE` wide or where no low rank is smaller, and else the
    least rank that loses no more than :data:`LOST`. A rank of D or more keeps the square.
    """
    width = len(matrix)
    if width <= (SQUARE if rank is None else rank):
        return matrix, None
    low, lost = truncate(matrix, gram, rank=rank, tolerance=LOST)
    return (matrix, None) if rank is None and 2 * low.rank >= width else (low, lost)


def truncate(matrix: Tensor, gram: Tensor, *, rank: int | None, tolerance: float) -> tuple[LowRank, float]:
    """The map of low rank next to ``matrix`` M (D, D), and the part of the change that is lost by it, from 0 to 1.

    Next in the metric of ``gram`` G (D, D), the second moment of the embeddings: with E = M - I, of all matrices of
    rank R the one with the least tr((E - F)' G (E - F)) is F = E Q Q', where Q (D, R) are the first eigenvectors of
    E' G E (Eckart and Young for G^1/2 E). What is lost is the root of that trace over that of E alone. ``rank`` None:
    the least that loses no more than ``tolerance``.
    """
    E = matrix - torch.eye(len(matrix)).to(matrix)
    values, vectors = torch.linalg.eigh(E.mT @ gram.to(E) @ E)  # ascending
    left = values.clamp(min=0).flip(0).cumsum(0)
    lost = ((left[-1] - left).clamp(min=0) / left[-1].clamp(min=1e-30)).sqrt()  # with 1, 2, ... directions
    if rank is None:
        rank = int((lost > tolerance).sum()) + 1
    Q = vectors.flip(1)[:, :rank]
    return LowRank(E @ Q, Q.mT), float(lost[rank - 1])
