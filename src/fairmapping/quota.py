"""Which groups each image is drawn with, so that the counts meet the targets as nearly as whole images can.

Drawing every image's groups by chance would leave the counts to chance too: of 8 images of an even target, 4 and 4
would come in 27 cases of 100. A quota takes turns instead. For every sequence of draws it keeps what each cell (one
group of each attribute) is owed, the shares asked for so far less what was drawn; the next cell is the one that is
owed most, the attributes' groups counted beside the cells. What is owed at the beginning is random (`_start`), so
that every single draw, the first as well, has the shares asked for: prompts that are drawn once are served, too.

- After any number of draws each of two groups is less than one image off its share. Of more groups, and of products of
  attributes, every cell and every group stays within 2.5 (within 2 in all tests, mostly within 1). Wherever the shares
  make whole numbers of images of every cell, the counts are exact.
- A sequence depends on the seed, its key and its targets alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .prompts import Cell
from .targets import Targets, TargetSource, resolve_targets

__all__ = ["SCOPES", "Quota", "QuotaSource", "resolve_quota"]

SCOPES = ("prompt", "batch", "client")
_SETTLE = 32  # draws before the first one, in which what is owed falls into the range that it keeps to


class Quota:
    """Draws one cell per image. `targets` is what :func:`fairmapping.targets.resolve_targets` takes, Targets or not.

    With `scope` "prompt", every prompt text has a sequence of its own that goes on from call to call; with "batch",
    every call is balanced as a whole; with "client", every client is, across calls: set `quota.client` before each.
    `counts` holds what each key was given so far, `last` the cells of the last draw, row by row. `remember` prompts or
    clients are kept, those drawn for last; one that is forgotten begins anew, so a service does not grow for ever.

    Raises ValueError on an unknown scope or nothing to remember, TypeError on a seed that is not a whole number.
    """

    def __init__(
        self,
        targets: TargetSource = "even",
        *,
        scope: str = "prompt",
        seed: int = 0,
        attributes: Mapping[str, Sequence[str]] | None = None,
        remember: int = 100_000,
    ) -> None:
        if remember < 1:
            raise ValueError(f"remember is {remember}; give how many prompts or clients to keep, at least 1")
        if scope not in SCOPES:
            raise ValueError(f"unknown scope {scope!r}; use one of {', '.join(SCOPES)}")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seed must be an int, got {seed!r}")
        self.source = targets
        self.scope = scope
        self.seed = seed
        self.remember = remember
        self.client: str | None = None
        self.last: list[Cell] = []
        self._calls = 0
        self._turns: dict[str, _Turns] = {}
        self._attributes: dict[str, tuple[str, ...]] | None = None
        self._targets: Targets | None = None
        if attributes is not None:
            self.bind(attributes)

    def bind(self, attributes: Mapping[str, Sequence[str]]) -> Quota:
        """Resolves the targets over these attributes (name -> groups), once. Raises ValueError on others later."""
        given = {name: tuple(groups) for name, groups in attributes.items()}
        if self._attributes is None:
            self._targets = resolve_targets(self.source, given)
            self._attributes = given
        elif given != self._attributes:
            raise ValueError(f"this quota is for the groups {self._attributes}, not for {given}; make another Quota")
        return self

    @property
    def targets(self) -> Targets:
        if self._targets is None:
            raise ValueError("this quota is not bound to a map's groups yet; attach it, or give it attributes=...")
        return self._targets

    @property
    def counts(self) -> dict[str, dict[Cell, int]]:
        """How many images of each cell every prompt, batch (the last one only) or client was given."""
        return {key: dict(turns.counts) for key, turns in self._turns.items()}

    def settings(self) -> dict[str, Any]:
        """What decides which cells are drawn, as plain data."""
        return {"targets": self.targets.to_dict(), "scope": self.scope, "seed": self.seed}

    @property
    def attributes(self) -> list[str]:
        """The attributes that have targets."""
        return list(self.targets.of(""))

    def sequence(self, key: str, keyword: str, n: int) -> list[Cell]:
        """The first n cells of a key: the same for the same seed, whatever was drawn before. Counts nothing."""
        turns, shares = _Turns(self.seed, key), self.targets.cells(keyword)
        return [turns.draw(shares) for _ in range(n)]

    def draw(
        self,
        prompts: Sequence[str],
        keywords: Sequence[str] | None = None,
        applied: Sequence[Sequence[str]] | None = None,
    ) -> list[Cell]:
        """One cell per prompt, in order, and counts them.

        Without `keywords`, a prompt's is the one with targets of its own that its text holds. `applied` are the
        attributes that may be drawn for each prompt, by default all: a prompt that settles some of them takes its turns
        with those that settle the same, and one that settles all gets () and counts nowhere. Raises ValueError where
        the scope is "client" and no client is named, TypeError for a bare string.
        """
        if isinstance(prompts, str):
            raise TypeError("prompts must be a list of str, one per image, got a str")
        if keywords is None:
            keywords = [self.targets.keyword_in(prompt) for prompt in prompts]
        if len(keywords) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts need as many keywords, got {len(keywords)}")
        cells: list[Cell] = [()] * len(prompts)
        mixed = self.scope != "prompt" and bool(self.targets.by_keyword)
        every = self.attributes
        for i, key in self._visits(prompts):
            open_ = every if applied is None else [name for name in every if name in applied[i]]
            shares = self.targets.cells(keywords[i], open_)
            if open_ != every:
                key = f"{key} ({', '.join(open_)} open)"
            if any(shares):
                turns = self._turns.pop(key, None) or _Turns(self.seed, key, mixed=mixed)
                self._turns[key] = turns  # the last drawn for stands last
                cells[i] = turns.draw(shares)
        while len(self._turns) > self.remember:
            del self._turns[next(iter(self._turns))]
        self._calls += 1
        self.last = cells
        return list(cells)

    def state(self) -> dict[str, Any]:
        """Plain data for JSON, from which `restore` goes on, in another process as well."""
        turns = {key: turns.state() for key, turns in self._turns.items()}
        return {**self.settings(), "calls": self._calls, "turns": turns}

    def restore(self, state: Mapping[str, Any]) -> Quota:
        """Goes on where `state` was taken. Raises ValueError if that was with other targets, scope or seed."""
        for name, value in self.settings().items():
            if state.get(name) != value:
                raise ValueError(f"the state was taken with other {name}: {state.get(name)!r}, not {value!r}")
        self._calls = state["calls"]
        self._turns = {key: _Turns(self.seed, key, state=turns) for key, turns in state["turns"].items()}
        return self

    def _visits(self, prompts: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The rows in the order in which they are served, each with its key.

        Where several prompts share a sequence, the order is shuffled: in turn, two prompts that alternate would have
        one group each.
        """
        if self.scope == "prompt":
            yield from enumerate(prompts)
            return
        if self.scope == "client":
            if not isinstance(self.client, str) or not self.client:
                raise ValueError('scope="client" needs a client: set quota.client = "..." before each call')
            key = self.client
        else:
            key = f"batch {self._calls}"
            self._turns.clear()
        order = list(range(len(prompts)))
        random.Random(f"{self.seed}:{key}:{self._calls}:order").shuffle(order)
        for i in order:
            yield i, key

    def __repr__(self) -> str:
        return f"Quota({self.source!r}, scope={self.scope!r}, seed={self.seed})"


QuotaSource = Quota | TargetSource


def resolve_quota(spec: QuotaSource, seed: int = 0) -> Quota:
    """A Quota as it is; of anything else, targets drawn per prompt."""
    return spec if isinstance(spec, Quota) else Quota(spec, seed=seed)


class _Turns:
    """One sequence of draws: what is owed to each cell, from `start` on; `mixed` where the shares may change."""

    def __init__(self, seed: int, key: str, *, mixed: bool = False, state: Mapping[str, Any] | None = None) -> None:
        self.name = f"{seed}:{key}"
        self.mixed = mixed
        self.rounds = 0
        self.counts: dict[Cell, int] = {}
        self.owed: dict[Cell, float] = {}
        self.start: dict[Cell, float] = {}
        if state is not None:
            self.rounds, self.mixed = state["rounds"], state["mixed"]
            for pairs, count, owed, start in state["cells"]:
                cell = tuple((attribute, group) for attribute, group in pairs)
                self.owed[cell], self.start[cell] = owed, start
                if count:
                    self.counts[cell] = count

    def draw(self, shares: Mapping[Cell, float]) -> Cell:
        if all(math.isclose(self.owed[cell], self.start[cell], abs_tol=1e-6) for cell in self.owed):
            # Nothing is owed: the next round takes its turns in another order.
            rng = random.Random(f"{self.name}:{self.rounds}")
            even = not self.mixed and max(shares.values()) - min(shares.values()) < 1e-9
            self.start = _start_even(shares, rng) if even else _start(shares, rng)
            self.owed = dict(self.start)
            self.rounds += 1
        cell = _serve(self.owed, shares)
        for other in self.owed:
            self.start.setdefault(other, 0.0)
        self.counts[cell] = self.counts.get(cell, 0) + 1
        return cell

    def state(self) -> dict[str, Any]:
        cells = [[cell, self.counts.get(cell, 0), owed, self.start[cell]] for cell, owed in self.owed.items()]
        return {"rounds": self.rounds, "mixed": self.mixed, "cells": cells}


def _start(shares: Mapping[Cell, float], rng: random.Random) -> dict[Cell, float]:
    """What is owed to begin with: as much as after very many draws, at a moment chosen at random.

    Each draw adds the shares and takes 1 from one cell, so that, whole numbers apart, what is owed turns round a torus
    by the same step; the even distribution on it stays even. Where it began so, each draw has the shares asked for.
    """
    first, *others = shares
    owed = {cell: rng.random() for cell in others}
    owed[first] = -sum(owed.values())
    while True:  # whole numbers are moved from the cell owed most to the one owed least, until that is the same
        dearest = max(owed, key=_claims(owed).__getitem__)
        owed[dearest] -= 1
        cheapest = min(owed, key=_claims(owed).__getitem__)
        owed[cheapest] += 1
        if dearest == cheapest:
            break
    for _ in range(_SETTLE):
        _serve(owed, shares)
    return owed


def _start_even(shares: Mapping[Cell, float], rng: random.Random) -> dict[Cell, float]:
    """Next to nothing, in a random order: chance between equals is even already, and rounds are complete sooner."""
    return {cell: 1e-3 * rng.random() for cell in shares}


def _serve(owed: dict[Cell, float], shares: Mapping[Cell, float]) -> Cell:
    """Adds the shares to what is owed, and gives 1 to the cell, among those with a share, that is owed most."""
    for cell, share in shares.items():
        owed[cell] = owed.get(cell, 0.0) + share
    claims = _claims(owed)
    chosen = max(shares, key=claims.__getitem__)
    owed[chosen] -= 1
    return chosen


def _claims(owed: Mapping[Cell, float]) -> dict[Cell, float]:
    """What is owed to each cell and, where it has several, to each of its groups."""
    by_group: dict[tuple[str, str], float] = {}
    for cell, value in owed.items():
        for pair in cell:
            by_group[pair] = by_group.get(pair, 0.0) + value
    return {
        cell: value + (sum([by_group[pair] for pair in cell]) if len(cell) > 1 else 0.0) for cell, value in owed.items()
    }
