"""The paper's way to a map: gradient descent through a deep linear network, folded to one matrix afterwards.

Li et al., arXiv 2311.17695, train eight linear layers without activations; docs/method.md says why they fold.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .solve import Objective

__all__ = ["DeepLinear", "descend"]


class DeepLinear(nn.Module):
    """The paper's network: ``depth`` linear layers (D, D) without bias or activation, each the identity at first."""

    def __init__(self, width: int, depth: int = 8) -> None:
        super().__init__()
        self.layers = nn.ParameterList([nn.Parameter(torch.eye(width)) for _ in range(depth)])

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), layer by layer."""
        for layer in self.layers:
            x = x @ layer
        return x

    def fold(self) -> Tensor:
        """(D, D): the one matrix that all layers together are."""
        return torch.linalg.multi_dot(list(self.layers)) if len(self.layers) > 1 else self.layers[0] * 1


def descend(
    problem: Objective, depth: int, steps: int, lr: float, patience: int, on_step: Callable[..., None]
) -> Tensor:
    """Adam on all data at once; returns the folded map of the lowest loss."""
    problem = problem.to(torch.float32)
    network = DeepLinear(len(problem.gram), depth)
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    best, best_loss, stalled, halvings = network.fold().detach(), float("inf"), 0, 0
    for step in range(steps + 1):
        M = network.fold()
        loss = problem(M)
        value = float(loss.detach())
        stalled = 0 if value < best_loss * (1 - 1e-4) else stalled + 1
        if value < best_loss:
            best, best_loss = M.detach(), value
        on_step(step, best_loss)
        if stalled >= patience:
            stalled, halvings = 0, halvings + 1
            for group in optimizer.param_groups:
                group["lr"] /= 2
        if step == steps or halvings > 8:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return best.double()
