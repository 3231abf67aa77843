"""Group shifts: for every group a small affine step that takes a neutral prompt's embedding to that group.

A map that evens out a prompt has to land it on the border between the groups, where a small error tips all images to
one side. A shift has to land it well inside one group, which is easier to hit for keywords that no fit has seen, and
the shares then come from how often each group is drawn (:mod:`fairmapping.quota`), not from where the embedding lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .prompts import Cell

__all__ = ["GroupShifts"]


class GroupShifts(nn.Module):
    """s_g(x) = x U V_g + b_g for each group g of each attribute; shifts of several attributes add up.

    ``groups`` maps attributes to their groups, in the order of the G = all groups. ``down`` U is (D, R), shared by all
    groups, ``up`` V is (G, R, D) and ``bias`` b (G, D); D is the width of the embeddings and R the rank.

    Raises ValueError for shapes that do not belong together or values that are not finite.
    """

    down: Tensor
    up: Tensor
    bias: Tensor

    def __init__(self, groups: Mapping[str, Sequence[str]], down: Tensor, up: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.groups = {attribute: tuple(names) for attribute, names in groups.items()}
        count = sum(len(names) for names in self.groups.values())
        if down.ndim != 2 or up.shape != (count, *down.shape[::-1]) or bias.shape != (count, down.shape[0]):
            raise ValueError(
                f"shifts of {count} groups need down (D, R), up ({count}, R, D) and bias ({count}, D); "
                f"got {tuple(down.shape)}, {tuple(up.shape)} and {tuple(bias.shape)}"
            )
        for name, tensor in (("down", down), ("up", up), ("bias", bias)):
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{name} of the shifts has values that are not finite")
            self.register_buffer(name, tensor.detach().float())
        pairs = [(attribute, group) for attribute, names in self.groups.items() for group in names]
        self._place = {pair: index for index, pair in enumerate(pairs)}

    @property
    def width(self) -> int:
        """D, the width of the embeddings."""
        return len(self.down)

    @property
    def rank(self) -> int:
        """R."""
        return self.down.shape[1]

    def choice(self, cells: Sequence[Cell]) -> Tensor:
        """(B, G) of zeros and ones: the groups of each cell. Raises ValueError for one that there is no shift for."""
        chosen = torch.zeros(len(cells), len(self._place))
        for row, cell in enumerate(cells):
            for pair in cell:
                if tuple(pair) not in self._place:
                    known = "; ".join(f"{name}: {', '.join(groups)}" for name, groups in self.groups.items())
                    raise ValueError(f"the map has no shift for {pair[0]} {pair[1]!r}; it has {known}")
                chosen[row, self._place[pair]] = 1
        return chosen

    def forward(self, x: Tensor, cells: Sequence[Cell]) -> Tensor:
        """The step (B, L, D) or (B, D) for embeddings x of that shape, one cell a row, in float32."""
        if len(x) != len(cells):
            raise ValueError(f"{len(cells)} cells for {len(x)} embeddings; give one each, () for none")
        chosen = self.choice(cells).to(self.down.device)
        rows = x.to(self.down) if x.ndim == 3 else x.to(self.down)[:, None]
        step = rows @ self.down @ torch.einsum("bg,grd->brd", chosen, self.up) + (chosen @ self.bias)[:, None]
        return step.to(x.device) if x.ndim == 3 else step[:, 0].to(x.device)
