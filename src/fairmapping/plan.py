"""What one arm of a run draws, worked out row by row when asked for, so that a million rows cost no more memory than a
few; and in which blocks.

A block is a batch as the pipeline draws it: its size can change the last bits of an image, so a resumed run draws
whole blocks, and ends in the very files of an undisturbed one.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

from . import runs
from .embed import texts_of
from .layout import ByPrompt, ByRound
from .policy import Attachment, DetectorSource, applied_by, detector_of, quota_of
from .prompts import Cell, Prompt
from .receipts import Receipt
from .runs import Row
from .store import IN_SHARD, STORES

if TYPE_CHECKING:
    from .mapping import FairMap
    from .quota import QuotaSource

__all__ = ["Order", "Plan", "image_seed"]


@dataclass(frozen=True)
class Order:
    """One arm to draw: all that it depends on but the pipeline, so that it can be sent to another machine.

    store: "files" or "webdataset", None in memory. call: arguments of the pipeline's call.
    """

    prompts: Sequence[str | Prompt]
    images_per_prompt: int = 1
    fair_map: FairMap | None = None
    strength: float = 1.0
    quota: QuotaSource | None = None
    detector: DetectorSource = "auto"
    seed: int = 0
    batch_size: int = 16
    arm: str | None = None
    store: str | None = None
    call: Mapping[str, Any] = field(default_factory=dict)


class Plan(Sequence[Row]):
    """The rows of an order: by prompt, then index, in ``len(plan.blocks)`` blocks of ``batch_size`` rows; or, where
    keywords may stop early, ``in_rounds`` (:mod:`fairmapping.layout`).

    Raises ValueError for no prompts, a prompt given twice, a number out of range, a quota that the map cannot follow
    or that goes on from call to call; TypeError for what is no number.
    """

    def __init__(self, order: Order, *, in_rounds: bool = False) -> None:
        texts = texts_of(order.prompts)
        if len(set(texts)) < len(texts):
            twice = next(text for text in texts if texts.count(text) > 1)
            raise ValueError(f"the prompt {twice!r} is given twice; for more images of it raise images_per_prompt")
        _check(order)
        self.order = order
        self.arm = order.arm or ("raw" if order.fair_map is None else "mapped")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.arm):
            raise ValueError(f"arm is {self.arm!r}; it names a folder: letters, digits, '.', '_' and '-'")
        self.asked = [p if isinstance(p, Prompt) else Prompt(text=p, keyword=p) for p in order.prompts]
        self.layout: ByPrompt | ByRound = ByPrompt(len(texts), order.images_per_prompt, order.batch_size)
        if in_rounds:
            keywords = [prompt.keyword for prompt in self.asked]
            self.layout = ByRound(keywords, order.images_per_prompt, order.batch_size)
        self.quota = quota_of(order.fair_map, order.quota, seed=order.seed)
        self.detector = detector_of(order.fair_map, order.detector)
        self.attachment: Attachment | None = None
        if order.fair_map is not None:
            self.attachment = Attachment(order.fair_map, order.strength, self.quota, self.detector)
            self._decisions = dict(zip(texts, self.attachment.decide(texts), strict=True))
        if self.quota is not None and self.quota.scope != "prompt":
            raise ValueError(
                f"a quota per {self.quota.scope} goes on from call to call, and what generate draws depends on the "
                "seed, the prompt and the index alone; use a Quota(scope='prompt'), or attach the map and call the "
                "pipeline"
            )
        # Of the last few only: rows are asked for in order.
        self._cells = functools.lru_cache(4)(self._cells_of)
        self.block = functools.lru_cache(4)(self._block)

    def __len__(self) -> int:
        return len(self.asked) * self.order.images_per_prompt

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> list[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | list[Row]:
        if isinstance(number, slice):
            return [self[index] for index in range(*number.indices(len(self)))]
        block, place = self.layout.find(range(len(self))[number])
        return self.block(block)[place]

    def __iter__(self) -> Iterator[Row]:
        for number in self.blocks:
            yield from self.block(number)

    @property
    def blocks(self) -> range:
        return self.layout.blocks

    def name(self, number: int) -> str:
        """Of a block: its number, and a digest of what it draws, for a grown run has others."""
        wanted = "\n".join(f"{self.asked[prompt].text} {index}" for prompt, index in self.layout.within(number))
        return f"{number:06d}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"

    def receipt(self, row: Row) -> Receipt:
        if self.attachment is None:
            return Receipt(row.prompt)
        return self.attachment.receipt(row.prompt, self._decisions[row.prompt], row.mapped, row.assigned)

    def _block(self, number: int) -> tuple[Row, ...]:
        folder = {
            None: "",
            "files": f"images/{self.arm}/",
            "webdataset": f"shards/{self.arm}/{self.name(number)}{IN_SHARD}",
        }[self.order.store]
        return tuple(self._row(folder, *at) for at in self.layout.within(number))

    def _row(self, folder: str, number: int, index: int) -> Row:
        prompt = self.asked[number]
        row = Row(
            image=f"{folder}{runs.slug(prompt.text)}/{index:04d}.png" if folder else "",
            arm=self.arm,
            prompt=prompt.text,
            keyword=prompt.keyword,
            template=prompt.template,
            groups=tuple((name, group) for name, group in prompt.groups),
            index=index,
            seed=image_seed(self.order.seed, prompt.text, index),
        )
        if self.order.fair_map is None:
            return row
        applied = applied_by(self.order.fair_map, self._decisions[row.prompt])
        # Group shifts leave alone what the row says it names.
        named = dict(row.groups) if self.order.fair_map.groups else {}
        row = replace(row, mapped=tuple(name for name in applied if name not in named))
        if self.quota is None:
            return row
        return replace(row, assigned=tuple(pair for pair in self._cells(number)[index] if pair[0] in row.mapped))

    def _cells_of(self, number: int) -> list[Cell]:
        prompt, quota = self.asked[number], self.quota
        assert quota is not None
        # A plain string is its own keyword, and may hold one that has targets of its own.
        return quota.sequence(prompt.text, quota.targets.keyword_in(prompt.keyword), self.order.images_per_prompt)


def image_seed(seed: int, prompt: str, index: int) -> int:
    """The seed of the torch.Generator that draws image ``index`` of ``prompt``: 63 bits of a digest of all three.

    Prompts do not share their noise, so images of different prompts are independent draws; arms do share it.
    """
    digest = hashlib.sha256(f"{seed} {index} {prompt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _check(order: Order) -> None:
    for name, least in (("images_per_prompt", 1), ("seed", 0), ("batch_size", 1)):
        value = getattr(order, name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}; a whole number is needed")
        if value < least:
            raise ValueError(f"{name} is {value}; give {least} or more")
    if order.store not in (None, *STORES):
        raise ValueError(f"store is {order.store!r}; give {' or '.join(STORES)}")
