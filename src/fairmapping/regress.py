"""Fit an affine map in the denoiser's own eyes: routes "denoiser" and "sampled".

The pipeline draws explicit prompts ("a portrait of an asian female doctor") and every call of its denoiser is recorded.
The same calls are then asked again with the mapped embedding of a prompt that leaves something open, and the map is
moved until the predictions agree:

    minimise  E || eps(x_t, t, f(v)) - eps(x_t, t, v_c) ||^2,   x_t drawn by the pipeline from the explicit prompt v_c

- "sampled": f(v) = v + the shifts of the groups that v leaves open, one f for each cell c. At the minimum the denoiser
  does for the shifted prompt what it does for the explicit one.
- "denoiser": one f for all cells, c drawn from the target shares. The minimum over all functions is E[eps_c | x_t],
  which is the prediction of an ideal denoiser of the mixture of the cells' images in those shares (docs/method.md).

No judge and no labels are needed. Prompts that are explicit already are among those asked, and stay what they are.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .drawings import Batch, Plan
from .progress import progress_bar
from .record import Call, denoiser_of

__all__ = ["Affine", "Choose", "Regression", "regress"]

OPEN = 0.6  # share of the prompts asked that leave everything open; the others name a part of the cell, or all of it
LEAST = 0.01  # weight of the squared length of the step over that of the embedding: of all steps that do, the least
SAVE_EVERY, MEASURED = 50, 12
TOGETHER = (
    8  # images at least that a step learns from: smaller batches, drawn on a small card, are taken several a step
)
# The weights (G,) of the steps for a plan, given whether its open prompt is asked or the one that names a part.
Choose = Callable[[Plan, bool, np.random.Generator], Sequence[float]]


class Affine(nn.Module):
    """The map while it is fitted: G low-rank affine steps of embeddings D wide, in units of their spread.

    ``scale`` and ``mean`` are those of the embeddings, so that learning rates mean the same for every encoder.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, embeddings: Tensor, count: int, rank: int, seed: int) -> None:
        super().__init__()
        rows = embeddings.flatten(0, -2)
        self.register_buffer("mean", rows.mean(0))
        self.register_buffer("scale", (rows - self.mean).std().clamp(min=1e-6))
        width = rows.shape[1]
        noise = torch.randn(width, rank, generator=torch.Generator().manual_seed(seed))
        self.down = nn.Parameter(noise / math.sqrt(width))
        self.up = nn.Parameter(torch.zeros(count, rank, width))
        self.bias = nn.Parameter(torch.zeros(count, width))

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:
        """The step for x (B, L, D) or (B, D), by the weights of the G steps in ``chosen`` (B, G)."""
        rows = x if x.ndim == 3 else x[:, None]
        inside = ((rows - self.mean) / self.scale) @ self.down
        step = inside @ torch.einsum("bg,grd->brd", chosen, self.up) + (chosen @ self.bias)[:, None]
        return (step if x.ndim == 3 else step[:, 0]) * self.scale

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor, Tensor]:
        """down (D, R), up (G, R, D) and bias (G, D) of the same steps without mean and scale."""
        down, up = self.down / self.scale, self.up * self.scale
        return down.cpu(), up.cpu(), (self.bias * self.scale - self.mean @ down @ up).cpu()


@dataclass(frozen=True)
class Regression:
    """How to fit. ``span``: which part of each drawing counts, from pure noise on; 1 for all of it. ``state``: a file
    that the fit is saved to now and then, and gone on with from; ``call``: how the batches were drawn, for that file.
    """

    rank: int
    steps: int
    lr: float
    span: float
    seed: int
    checkpointing: bool
    state: Path | None
    call: str = ""


def regress(
    pipe: Any, batches: Sequence[Batch], choose: Choose, count: int, settings: Regression, *, progress: bool
) -> tuple[list[Affine], float]:
    """``count`` affine steps of the sequence, the same of the pooled embeddings where the denoiser reads those, and
    the loss that is left: 1 is what the unmapped prompts have.

    The denoiser's weights are as before afterwards. Raises FloatingPointError where the loss is no number.
    """
    device, denoiser = pipe._execution_device, denoiser_of(pipe)
    nets = _nets(batches, count, settings).to(device)
    optimizer = torch.optim.Adam(nets.parameters(), lr=settings.lr, betas=(0.9, 0.99))
    usable = [[call for call in batch.calls if call.progress <= settings.span] for batch in batches]
    parts = math.ceil(TOGETHER / max(len(batch.plans) for batch in batches))

    def error(batch: Batch, call: Call, rng: np.random.Generator, mapped: bool = True) -> tuple[Tensor, Tensor]:
        """The squared difference of the predictions, and the length of the step."""
        is_open = rng.random(len(batch.plans)) < OPEN
        weights = [choose(plan, bool(o), rng) for plan, o in zip(batch.plans, is_open, strict=True)]
        chosen = torch.tensor(weights, device=device, dtype=torch.float32) * mapped
        prompt, length = [], torch.zeros((), device=device)
        rows = torch.from_numpy(is_open)
        mask = torch.where(rows[:, None], batch.open.mask, batch.partly.mask)
        for name, net in zip(("sequence", "pooled"), nets, strict=False):
            both = [getattr(part, name) for part in (batch.open, batch.partly)]
            x = torch.where(rows.view(-1, *[1] * (both[0].ndim - 1)), both[0], both[1]).to(device)
            keep = x.ne(0).any(-1, keepdim=True)  # zero padding stays zero, as FairMap has it
            step = net(x, chosen) * (keep | mask[..., None].to(device) if x.ndim == 3 else keep)
            prompt.append(x + step)
            length = length + step.square().sum() / x.square().sum()
        found = call.replay(denoiser, prompt[0], prompt[1] if len(prompt) > 1 else None, mask, device)
        return (found.float() - call.output.to(device).float()).square().mean(), length

    def mean_error(mapped: bool) -> float:
        """Over some of the recorded calls, the same ones before and after."""
        rng = np.random.default_rng([settings.seed, 2**31])
        with torch.no_grad():
            some = [int(i) for i in rng.integers(len(batches), size=MEASURED * parts)]
            return float(
                np.mean(
                    [
                        float(error(batches[i], usable[i][int(rng.integers(len(usable[i])))], rng, mapped)[0])
                        for i in some
                    ]
                )
            )

    with (
        _frozen(denoiser, settings.checkpointing),
        progress_bar("fitting", settings.steps, "steps", shown=progress) as advance,
    ):
        unmapped = mean_error(mapped=False)
        if not math.isfinite(unmapped):
            raise FloatingPointError(f"the predictions differ by {unmapped}; use bfloat16 or float32")
        if unmapped == 0:
            raise ValueError(
                "the denoiser predicts the same for open and for explicit prompts: does it read the prompt?"
            )
        digest = _digest(batches, settings)
        begun = _resume(settings.state, nets, optimizer, digest)
        advance(begun)
        for step in range(begun, settings.steps):
            rng = np.random.default_rng([settings.seed, step])  # of the step alone, so that a resumed fit is the same
            for group in optimizer.param_groups:  # a short warm-up, then half a cosine
                group["lr"] = (
                    settings.lr * min(1, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / settings.steps))
                )
            optimizer.zero_grad()
            value = 0.0
            for _ in range(parts):
                which = int(rng.integers(len(batches)))
                left, length = error(batches[which], usable[which][int(rng.integers(len(usable[which])))], rng)
                ((left / unmapped + LEAST * length) / parts).backward()
                value += float(left.detach()) / parts
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"the loss is {value} at step {step}; lower lr (it is {settings.lr}) or use bfloat16 or float32"
                )
            optimizer.step()
            advance(1, f"loss {value / unmapped:.3f}")
            if settings.state is not None and (step + 1) % SAVE_EVERY == 0:
                _save(settings.state, nets, optimizer, step + 1, digest)
        return [net for net in nets if isinstance(net, Affine)], mean_error(mapped=True) / unmapped


def _nets(batches: Sequence[Batch], count: int, settings: Regression) -> nn.ModuleList:
    words = torch.cat([batch.open.sequence[batch.open.sequence.any(-1)] for batch in batches])
    nets = [Affine(words, count, settings.rank, settings.seed)]
    pooled = [batch.open.pooled for batch in batches if batch.open.pooled is not None]
    if pooled and batches[0].calls[0].pooled is not None:
        nets.append(Affine(torch.cat(pooled), count, settings.rank, settings.seed))
    return nn.ModuleList(nets)


@contextmanager
def _frozen(denoiser: Any, checkpointing: bool) -> Iterator[None]:
    """No gradients for the denoiser's own weights; everything as before afterwards."""
    wanted = [parameter for parameter in denoiser.parameters() if parameter.requires_grad]
    on = checkpointing and not denoiser.is_gradient_checkpointing
    denoiser.requires_grad_(False)
    if on:
        denoiser.enable_gradient_checkpointing()
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
        if on:
            denoiser.disable_gradient_checkpointing()


def _digest(batches: Sequence[Batch], settings: Regression) -> str:
    """What tells this fit from another one."""
    told = repr([replace(settings, state=None, checkpointing=False), [batch.plans for batch in batches]])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _save(file: Path, nets: nn.ModuleList, optimizer: torch.optim.Adam, step: int, digest: str) -> None:
    tensors = {f"net.{name}": value for name, value in nets.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(whole, part, metadata={"step": str(step), "digest": digest})
    os.replace(part, file)


def _resume(file: Path | None, nets: nn.ModuleList, optimizer: torch.optim.Adam, digest: str) -> int:
    """The step that ``file`` was saved at, its state taken over; 0 where there is no file."""
    if file is None or not file.exists():
        return 0
    with safe_open(file, "pt") as saved:
        about, tensors = saved.metadata() or {}, {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118
    if about.get("digest") != digest:
        raise ValueError(f"{file} was left by a fit with other settings or keywords; delete it, or give another file")
    nets.load_state_dict({name[4:]: value for name, value in tensors.items() if name.startswith("net.")})
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, index, what = name.split(".")
            moments.setdefault(int(index), {})[what] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(about["step"])
