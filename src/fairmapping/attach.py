"""Attach a map to a pipeline that the user goes on calling.

A wrapper around ``encode_prompt`` alone cannot know which prompt it is given: pipelines without a negative argument
(Flux with true guidance among them) encode the negative prompt by a second call. So the object's class is swapped for
a subclass of the same name and module: its ``__call__`` announces that the next encoding is the prompt, and its
``encode_prompt`` maps that one and nothing else. Nothing is written on the object, so detaching restores it exactly,
and ``save_pretrained`` writes what it would have written.

Not mapped: the negative prompt, ``prompt_embeds`` that the caller passes in, and ``encode_prompt`` called outside of a
call, so :func:`fairmapping.embed.encode` sees the encoder itself. ``from_pipe`` makes a new, unattached object. Who
makes the embeddings, as prompt weighting does, maps them by :func:`map_embeds`.

Which prompts are mapped, and in which attributes, a detector decides (:mod:`fairmapping.detect`). A map with group
shifts also needs to know which groups each image is for: a quota draws them, one cell an image.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .embed import Encoding, check_pipeline, read, watched
from .fingerprint import check_encoder
from .policy import Attachment, Decided, DetectorSource, detector_of, quota_of
from .prompts import Cell
from .quota import Quota, QuotaSource
from .receipts import Receipt

if TYPE_CHECKING:
    from .mapping import FairMap

__all__ = ["MappedEmbeds", "attach", "attached", "detach", "is_attached", "map_embeds", "receipts"]


def attach(
    pipe: Any,
    fair_map: FairMap,
    *,
    strength: float = 1.0,
    quota: QuotaSource | Decided | None = None,
    detector: DetectorSource = "auto",
) -> None:
    """From now on, map the prompts that ``pipe`` is called with; :func:`detach` undoes it.

    The negative prompt stays untouched; pooled embeddings are mapped where the map has a pooled part. ``strength``
    1 applies the whole map, 0 leaves every image as it was, bit for bit.

    ``detector`` decides which prompts are mapped and in which attributes: "auto" is the map's own, "off" maps every
    prompt whatever it says, and a :class:`fairmapping.detect.Detector` decides in its place. A prompt that is left
    alone gives the image that it gave before, bit for bit. A map without group shifts moves all of its attributes at
    once, so it is applied where all of them are open. :func:`receipts` tells what was done in the last call.

    A map with group shifts (route "sampled") moves every image towards groups of its own. ``quota`` says how they are
    drawn: a :class:`fairmapping.quota.Quota`, or what one is made of ("even", "labour", shares, a file); by default the
    map's own targets. A Quota that the caller keeps tells in ``quota.last`` what the last call's images were drawn for,
    in the order of the images; a call that fails leaves it as it was.

    Raises RuntimeError if a map is attached already, TypeError for a pipeline outside of the general rule (see
    :mod:`fairmapping.embed`), ValueError for a map made for another text encoder, a strength that is no number, a quota
    for a map without group shifts or one of groups that the map does not know, and a detector that does not know the
    map's attributes.
    """
    if is_attached(pipe):
        raise RuntimeError(f"this {type(pipe).__name__} has a map attached already; detach(pipe) it first")
    check_pipeline(pipe)
    check_encoder(fair_map, pipe)
    if not isinstance(quota, Decided):
        quota = quota_of(fair_map, quota)
    attachment = Attachment(fair_map, strength, quota, detector_of(fair_map, detector))
    pipe.__class__ = _mapping_class(type(pipe), attachment)


def detach(pipe: Any) -> None:
    """Give ``pipe`` its own class back. Raises RuntimeError if no map is attached."""
    if not is_attached(pipe):
        raise RuntimeError(f"this {type(pipe).__name__} has no map attached")
    pipe.__class__ = type(pipe).__base__


@contextmanager
def attached(
    pipe: Any,
    fair_map: FairMap,
    *,
    strength: float = 1.0,
    quota: QuotaSource | Decided | None = None,
    detector: DetectorSource = "auto",
) -> Iterator[Any]:
    """``with attached(pipe, fair_map): images = pipe(prompts).images``; see :func:`attach`. Detaches on errors too."""
    attach(pipe, fair_map, strength=strength, quota=quota, detector=detector)
    try:
        yield pipe
    finally:
        if is_attached(pipe):  # the body may have detached it
            detach(pipe)


def is_attached(pipe: Any) -> bool:
    """Whether a map is attached to ``pipe``."""
    return "_attachment" in vars(type(pipe))


def receipts(pipe: Any) -> list[Receipt]:
    """What was done to each image of the last call of a pipeline with a map attached, in the order of the images.

    Raises RuntimeError if no map is attached.
    """
    if not is_attached(pipe):
        raise RuntimeError(f"this {type(pipe).__name__} has no map attached")
    return list(vars(type(pipe))["_attachment"].receipts)


class MappedEmbeds(NamedTuple):
    """What :func:`map_embeds` returns; ``receipts`` tell what was done to each row."""

    prompt_embeds: Tensor
    pooled_prompt_embeds: Tensor | None
    receipts: list[Receipt]


@torch.no_grad()
def map_embeds(
    fair_map: FairMap,
    prompts: str | Sequence[str],
    prompt_embeds: Tensor,
    pooled_prompt_embeds: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    strength: float = 1.0,
    quota: QuotaSource | None = None,
    detector: DetectorSource = "auto",
) -> MappedEmbeds:
    """Map embeddings that the caller made, prompt weighting by compel among them, to be passed to a pipeline.

    ``prompt_embeds`` (N, L, D), ``pooled_prompt_embeds`` (N, P) and ``mask`` (N, L), true on text, are of the positive
    prompts. ``prompts`` are their texts, one a row or one for all, in plain words without weights: the detector and the
    quota go by them. Strength, quota and detector are :func:`attach`'s, and rows that it leaves alone come back bit
    for bit. A Quota counts the rows as drawn for when they are mapped.

    Raises ValueError for other numbers of rows, another width than the map's, pooled embeddings missing where the map
    has a pooled part, and as :func:`attach` does. Which encoder made the embeddings is not checked beyond the width.
    """
    if not isinstance(prompt_embeds, Tensor) or prompt_embeds.ndim != 3:
        shape = tuple(getattr(prompt_embeds, "shape", ()))
        raise ValueError(f"prompt_embeds are {type(prompt_embeds).__name__} {shape}; a tensor (N, L, D) is needed")
    rows = len(prompt_embeds)
    texts = [prompts] * rows if isinstance(prompts, str) else list(prompts)
    if len(texts) != rows or pooled_prompt_embeds is not None and len(pooled_prompt_embeds) != rows:
        pooled = "no" if pooled_prompt_embeds is None else len(pooled_prompt_embeds)
        raise ValueError(f"{len(texts)} prompts for {rows} rows of embeddings and {pooled} pooled; give one a row")
    if fair_map.pooled_width is not None and pooled_prompt_embeds is None:
        raise ValueError("the map has a part for pooled embeddings; give pooled_prompt_embeds too")
    attachment = Attachment(fair_map, strength, quota_of(fair_map, quota), detector_of(fair_map, detector))
    moved = attachment.move(prompt_embeds, mask, pooled_prompt_embeds, *attachment.plan(texts))
    return MappedEmbeds(*moved, attachment.receipts)


def _mapping_class(cls: Any, attachment: Attachment) -> type:
    """A subclass of ``cls`` that maps the first encoding of each call."""
    call_signature = inspect.signature(cls.__call__)
    encode_signature = inspect.signature(cls.encode_prompt)
    prompt_is_next, repeats = False, 1
    quota = attachment.quota

    @functools.wraps(cls.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal prompt_is_next, repeats
        given = call_signature.bind(self, *args, **kwargs).arguments
        repeats = next((count for name, count in given.items() if re.fullmatch(r"num_\w+_per_prompt", name)), 1) or 1
        # Some classes call encode_prompt although the caller passed embeddings, others do not: then the first
        # encoding would be the negative prompt's.
        prompt_is_next = given.get("prompt_embeds") is None
        before = (quota.state(), quota.last) if isinstance(quota, Quota) and prompt_is_next else None
        attachment.receipts = []
        try:
            return cls.__call__(self, *args, **kwargs)
        except BaseException:
            if isinstance(quota, Quota) and before is not None:
                quota.restore(before[0])  # the images that were drawn for do not exist, so they must not count
                quota.last = before[1]
            raise
        finally:
            prompt_is_next = False

    @functools.wraps(cls.encode_prompt)
    def encode_prompt(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal prompt_is_next
        bound = encode_signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = {  # copies, for ZImage writes into the list of prompts
            name: list(value) if name.startswith("prompt") and isinstance(value, list) else value
            for name, value in bound.arguments.items()
        }
        mapped, prompt_is_next = prompt_is_next and arguments["prompt_embeds"] is None, False
        if not mapped:
            return cls.encode_prompt(self, *args, **kwargs)
        with watched(self) as masks:
            returned = cls.encode_prompt(self, *args, **kwargs)
        found = read(self, returned, arguments, masks)
        texts = [arguments["prompt"]] if isinstance(arguments["prompt"], str) else list(arguments["prompt"])
        each = _rows_per_prompt(len(found.sequence), len(texts), repeats, own=quota is not None)
        applied, cells = attachment.plan([text for text in texts for _ in range(each)])
        if each < repeats:  # the pipeline repeats them later; one receipt an image
            attachment.receipts = [receipt for receipt in attachment.receipts for _ in range(repeats // each)]
        return _mapped(returned, found, attachment, applied, cells)

    namespace = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__call__": call,
        "encode_prompt": encode_prompt,
        "_attachment": attachment,
    }
    return type(cls.__name__, (cls,), namespace)


def _rows_per_prompt(rows: int, prompts: int, repeats: int, *, own: bool) -> int:
    """How many rows of embeddings each prompt has; with ``own``, every image must have one of its own."""
    if own and rows != prompts * repeats:
        raise ValueError(
            f"this pipeline encodes a prompt once for its {repeats} images, so that they would all get the groups of "
            "one; give each prompt as often as images of it are wanted, and one image per prompt"
        )
    return rows // prompts


def _mapped(
    returned: Any,
    found: Encoding,
    attachment: Attachment,
    applied: Sequence[tuple[str, ...]],
    cells: Sequence[Cell] | None,
) -> Any:
    """``returned`` with the positive sequence, and the pooled where there is one, mapped."""
    if not any(applied):
        return returned
    sequence: Any
    sequence, pooled = attachment.move(found.sequence, found.mask, found.pooled, applied, cells)
    if found.ragged:
        sequence = [row[mask] for row, mask in zip(sequence, found.mask, strict=True)]
    if isinstance(returned, Tensor):
        return sequence
    result = [sequence, *returned[1:]]
    if found.pooled_index is not None:
        result[found.pooled_index] = pooled
    return tuple(result)
