"""Prompts and seeds to images: in memory, or at a place (:mod:`fairmapping.store`) where a stopped run goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import pipelines, work
from .cluster import Cluster, hands_of
from .draw import call_defaults, ready
from .plan import Order, Plan, image_seed
from .policy import DetectorSource
from .progress import progress_bar
from .prompts import Prompt
from .receipts import Receipt
from .runs import Row
from .store import Place

if TYPE_CHECKING:
    from PIL.Image import Image

    from .mapping import FairMap
    from .quota import QuotaSource

__all__ = ["Generated", "Row", "call_defaults", "generate", "image_seed"]


@dataclass(frozen=True)
class Generated:
    """What :func:`generate` drew, in the order of prompts, then index. Iterating gives the rows, which are worked out
    from the plan as they are asked for.

    ``receipts`` say of each row what was done and why; saved PNG files carry them (:mod:`fairmapping.receipts`).
    """

    plan: Plan
    place: Place | None
    drawn: list[Image]

    @property
    def folder(self) -> Path | None:
        """Where the images lie, if that is on this machine."""
        return None if self.place is None else self.place.path

    @cached_property
    def rows(self) -> list[Row]:
        return list(self.plan)

    @property
    def receipts(self) -> list[Receipt]:
        return [self.plan.receipt(row) for row in self.plan]

    @property
    def images(self) -> list[Image]:
        """The images in the order of ``rows``; read from where they lie, if not in memory."""
        return self.drawn if self.place is None else [self.place.image(row.image) for row in self.plan]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.plan)

    def __len__(self) -> int:
        return len(self.plan)


def generate(
    pipe: Any,
    prompts: Sequence[str | Prompt],
    *,
    images_per_prompt: int = 1,
    out: str | os.PathLike[str] | None = None,
    fair_map: FairMap | None = None,
    strength: float = 1.0,
    quota: QuotaSource | None = None,
    detector: DetectorSource = "auto",
    seed: int = 0,
    batch_size: int = 16,
    arm: str | None = None,
    store: str = "files",
    ray: str | Cluster | None = None,
    progress: bool = True,
    **call_kwargs: Any,
) -> Generated:
    """Draw ``images_per_prompt`` images of every prompt, with the map attached where ``fair_map`` is given.

    The noise of an image depends on ``seed``, its prompt and its index alone (:func:`image_seed`), not on its batch or
    the arm; so images of one prompt and index can be compared across arms. ``arm`` names this set of images within
    the folder, by default "mapped" with a map and "raw" without.

    With ``out``, a folder or any address that fsspec knows (s3://, gs://, memory://), images and rows are written there
    as they are drawn, and what is there already is not drawn again; more prompts or images may be asked for than last
    time. ``store`` is "files", a PNG file an image, or "webdataset", a tar file a block. Without ``out``, images stay
    in memory.

    ``pipe`` is a pipeline, or what makes one: a name or folder, a :class:`fairmapping.pipelines.Source`, a function.
    ``ray`` draws on the workers of a Ray cluster ("local", "auto", an address, or a
    :class:`fairmapping.cluster.Cluster`); each makes its own pipeline, so there ``pipe`` must be one of the latter.

    A map with group shifts (route "sampled") moves every image towards groups of its own, which ``quota`` draws: see
    :func:`fairmapping.attach.attach`. They depend on the quota's seed (``seed``, unless a Quota brings its own), the
    prompt and the index alone, and ``Row.assigned`` holds them.

    Which prompts are mapped, and in which attributes, ``detector`` decides, as in :func:`fairmapping.attach.attach`;
    ``Row.mapped`` holds it. A Prompt that says it names a group is left alone in that attribute by group shifts,
    whatever the detector says.

    call_kwargs go to the pipeline (num_inference_steps, guidance_scale, ...); texts among them, such as
    negative_prompt, hold for every image. The embedded model has defaults of its own (:func:`call_defaults`).

    Raises ValueError for no prompts, a prompt given twice, a number out of range, a map of another encoder, a quota
    that the map cannot follow or that goes on from call to call, or a folder made with other settings; TypeError for an
    argument that the pipeline does not take, or a pipeline that cannot be sent to other machines; RuntimeError if a map
    is attached to ``pipe`` already or another process is at work on the folder.
    """
    order = Order(
        prompts, images_per_prompt, fair_map, strength, quota, detector, seed, batch_size, arm,
        None if out is None else store, call_kwargs,
    )  # fmt: skip
    if out is not None:
        job = work.Job((order,), Place(out))
        work.run(hands_of(ray, pipe, job), job, progress=progress)
        return Generated(job.ledgers[0].plan, job.place, [])
    if ray is not None:
        raise ValueError("images drawn on a cluster must be written somewhere: give out")
    drawn: list[Image] = []
    with ready(pipelines.made(pipe), order) as drawer:
        plan = drawer.plan
        with progress_bar(plan.arm, len(plan), "images", shown=progress) as advance:
            for number in plan.blocks:
                block = plan.block(number)
                drawn += drawer(block)
                advance(len(block))
    return Generated(plan, None, drawn)
