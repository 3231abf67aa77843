"""The free numbers of a calibrated map, and how they follow from judged images.

Few numbers are free. A map that is there already, f, gets a step along one direction u_j for each group but the first
of every attribute, whose length is an affine function of the embedding:

    f'(x) = f(x) + sum_j t_j(f(x)) u_j,    t_j(y) = c_j + (y - m) B b_j

so f' is affine again. The directions are the mean differences between explicit and neutral prompts, and B the first
principal components of the prompts. How the judge's answers depend on prompt and step is a multinomial logistic model,
log p_g / p_1 = a_g + b_g phi + s_g t, fitted to all images drawn so far; t is what it says the targets need. Every
batch of a round is drawn with an offset of t of its own, without which the model could not tell s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .embed import encode
from .generate import generate
from .judges import Judge, confusion
from .lowrank import LowRank, chained, change
from .mapping import FairMap
from .metrics import correct_counts
from .progress import progress_bar
from .prompts import Attribute, Prompt, specific

if TYPE_CHECKING:
    from .targets import Targets

__all__ = ["Calibration", "Round", "Seen"]

COMPONENTS = 24
RIDGE = 3.0  # of the logistic model's dependence on the prompt, in units of images
OFFSETS = (1.0, 0.5, 0.25)  # standard deviation of the batches' offsets in round 0, 1, ...; the last one holds on


@dataclass(frozen=True)
class Round:
    """What one round found. ``deviation`` is the root mean square of share less target, over keywords and groups, less
    what chance adds to it, with its 95 % bootstrap interval over keywords."""

    attribute: str
    round: int
    images: int
    deviation: float
    low: float
    high: float


@dataclass(frozen=True)
class Seen:
    """Judged images: the place of each one's prompt, its offsets (J,), and its group per attribute (-1: no face)."""

    prompt: list[int]
    offset: list[list[float]]
    group: dict[str, list[int]]


class Calibration:
    """The state of a calibration: what was seen, and the step that follows from it."""

    def __init__(
        self,
        pipe: Any,
        prompts: Sequence[Prompt],
        attributes: Sequence[Attribute],
        targets: Targets,
        start: FairMap,
        judge: Judge,
        seed: int,
    ) -> None:
        self.pipe, self.prompts, self.attributes = pipe, prompts, attributes
        self.targets, self.start, self.judge, self.seed = targets, start, judge, seed
        self.seen: list[Seen] = []
        mapped = encode(pipe, prompts)
        rows = start(mapped.sequence, mapped.mask)
        kept = rows.ne(0).any(-1, keepdim=True)
        mean = (rows * kept).sum(1) / kept.sum(1)  # (N, D): what a step that is linear in the tokens amounts to
        self.centre = mean.mean(0)
        size = min(COMPONENTS, len(mean) - 1)
        _, values, components = torch.linalg.svd(mean - self.centre, full_matrices=False)
        spread = (values[:size] / math.sqrt(len(mean))).clamp(min=1e-6)
        self.basis = components[:size].mT / spread  # (D, P)
        self.phi = (mean - self.centre) @ self.basis  # (N, P), of variance 1
        self.directions = torch.cat([directions(pipe, prompts, item) for item in attributes])  # (J, D)
        sizes = [len(item.groups) - 1 for item in attributes]
        self.slots = dict(zip((item.name for item in attributes), torch.arange(sum(sizes)).split(sizes), strict=True))
        self.step = torch.zeros(1 + size, sum(sizes))  # (1 + P, J): t = [1, phi] step

    def map(self, offset: Tensor | None = None) -> FairMap:
        """The map with the present step, and an ``offset`` (J,) of t."""
        constant = self.step[0] + (0 if offset is None else offset)
        turn = LowRank(self.basis @ self.step[1:], self.directions)
        shift = (constant - self.centre @ self.basis @ self.step[1:]) @ self.directions
        return FairMap(
            chained(self.start.weight, turn),
            self.start.bias + change(self.start.bias, turn) + shift,
            pooled_weight=self.start.pooled_weight,
            pooled_bias=self.start.pooled_bias,
            config=replace(self.start.config),
        )

    def draw(self, images: int, batch_size: int, call: dict[str, Any], progress: bool) -> None:
        """One round of ``images`` of every prompt, judged."""
        number, total = len(self.seen), len(self.prompts) * images
        spread = OFFSETS[min(number, len(OFFSETS) - 1)]
        rng = np.random.default_rng([self.seed, number])
        orders = [rng.permutation(len(self.prompts)) for _ in range(images)]  # no prompt twice in a batch
        batches = [order[i : i + batch_size] for order in orders for i in range(0, len(order), batch_size)]
        seen = Seen([], [], {item.name: [] for item in self.attributes})
        now = self.step.clone()
        with progress_bar(f"round {number + 1}", total, "images", shown=progress) as advance:
            for place, batch in enumerate(batches):
                chosen = [int(i) for i in batch]
                offset = torch.from_numpy(rng.normal(0, spread, self.step.shape[1])).float()
                drawn = generate(
                    self.pipe,
                    [self.prompts[i] for i in chosen],
                    fair_map=self.map(offset),
                    seed=self.seed * 1_000_003 + number * 10_007 + place,
                    batch_size=batch_size,
                    progress=False,
                    **call,
                )
                judged = self.judge(drawn.images)
                seen.prompt.extend(chosen)
                seen.offset.extend([(now[0] + offset + self.phi[i] @ now[1:]).tolist() for i in chosen])
                for item in self.attributes:
                    labels = [answer.label(item.name) for answer in judged]
                    names = item.group_names
                    seen.group[item.name].extend([names.index(x) if x in names else -1 for x in labels])
                advance(len(chosen))
        self.seen.append(seen)

    def score(self, number: int) -> list[Round]:
        """How far the shares of a round are from their targets."""
        return [self._score(item, number) for item in self.attributes]

    def _score(self, item: Attribute, number: int) -> Round:
        seen, k = self.seen[number], len(item.groups)
        counts = np.zeros((len(self.prompts), k))
        for prompt, group in zip(seen.prompt, seen.group[item.name], strict=True):
            if group >= 0:
                counts[prompt, group] += 1
        n = counts.sum(1, keepdims=True)
        used = n[:, 0] >= 2
        if not used.any():
            raise ValueError(f"{self.judge.name!r} judged {item.name} in fewer than two images of every keyword")
        matrix = confusion(self.judge.card, item.name, item.group_names, self.judge.attributes[item.name])
        counts, n = counts[used], n[used]
        fixed = counts if matrix is None else correct_counts(counts, matrix)
        shares = fixed / n
        wanted = np.array([self._wanted(int(i), item) for i in np.flatnonzero(used)])
        # (share - target)^2 holds p (1 - p) / n by chance alone; taken off, its mean is unbiased.
        square = ((shares - wanted) ** 2 - shares * (1 - shares) / (n - 1)).mean(1)
        rng = np.random.default_rng([self.seed, number, 1])
        means = square[rng.integers(len(square), size=(2000, len(square)))].mean(1)
        low, high = np.sqrt(np.maximum(np.quantile(means, (0.025, 0.975)), 0))
        return Round(item.name, number, int(n.sum()), math.sqrt(max(square.mean(), 0)), float(low), float(high))

    def _wanted(self, prompt: int, item: Attribute) -> list[float]:
        shares = self.targets.of(self.prompts[prompt].keyword)[item.name]
        return [shares[name] for name in item.group_names]

    def learn(self, rounds: int) -> None:
        """The step that the logistic model of the first ``rounds`` rounds asks for."""
        prompt = torch.tensor([i for seen in self.seen[:rounds] for i in seen.prompt])
        given = torch.tensor([t for seen in self.seen[:rounds] for t in seen.offset])
        for item in self.attributes:
            group = torch.tensor([g for seen in self.seen[:rounds] for g in seen.group[item.name]])
            use, slots = group >= 0, self.slots[item.name]
            level, slope = logistic(self.phi[prompt][use], given[use][:, slots], group[use], len(item.groups))
            wanted = torch.tensor([self._wanted(i, item) for i in range(len(self.prompts))]).clamp(min=1e-3)
            ahead = (wanted[:, 1:] / wanted[:, :1]).log() - _with_one(self.phi) @ level
            needed = torch.linalg.lstsq(slope.mT, ahead.mT).solution.mT  # (N, J of the attribute)
            self.step[:, slots] = torch.linalg.lstsq(_with_one(self.phi), needed.clamp(-4, 4)).solution


def logistic(phi: Tensor, t: Tensor, group: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """``level`` (1 + P, K - 1) and ``slope`` (J, K - 1) of the log odds against group 0; the ridge is on
    what depends on phi."""
    level = torch.zeros(1 + phi.shape[1], k - 1, requires_grad=True)
    slope = torch.eye(t.shape[1], k - 1).requires_grad_()
    optimizer = torch.optim.LBFGS([level, slope], max_iter=200, line_search_fn="strong_wolfe")
    x = _with_one(phi)

    def loss() -> Tensor:
        optimizer.zero_grad()
        odds = torch.nn.functional.pad(x @ level + t @ slope, (1, 0))
        value = torch.nn.functional.cross_entropy(odds, group, reduction="sum") + RIDGE * level[1:].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return level.detach(), slope.detach()


def directions(pipe: Any, prompts: Sequence[Prompt], item: Attribute) -> Tensor:
    """(K - 1, D): the mean difference of the words' embeddings between each group but the first, and the first."""
    rows = [specific([prompt.keyword], item, (prompt.template,)) for prompt in prompts]
    means = []
    for place in range(len(item.groups)):
        found = encode(pipe, [row[place] for row in rows])
        weight = found.mask.unsqueeze(-1)
        means.append(((found.sequence * weight).sum(1) / weight.sum(1)).mean(0))
    return torch.stack(means[1:]) - means[0]


def _with_one(phi: Tensor) -> Tensor:
    return torch.nn.functional.pad(phi, (1, 0), value=1.0)
