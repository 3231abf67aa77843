"""Attach a map to a pipeline that the user goes on calling.

A wrapper around ``encode_prompt`` alone cannot know which prompt it is given: pipelines without a negative argument
(Flux with true guidance among them) encode the negative prompt by a second call. So the object's class is swapped for
a subclass of the same name and module: its ``__call__`` announces that the next encoding is the prompt, and its
``encode_prompt`` maps that one and nothing else. Nothing is written on the object, so detaching restores it exactly,
and ``save_pretrained`` writes what it would have written.

Not mapped: the negative prompt, ``prompt_embeds`` that the caller passes in, and ``encode_prompt`` called outside of a
call, so :func:`fairmapping.embed.encode` sees the encoder itself. ``from_pipe`` makes a new, unattached object.

A map with group shifts also needs to know which groups each image is for: a quota draws them, one cell an image.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .embed import Encoding, check_pipeline, fingerprint, read
from .prompts import Cell
from .quota import Quota, QuotaSource, resolve_quota
from .targets import Targets

if TYPE_CHECKING:
    from .mapping import FairMap

__all__ = ["Decided", "attach", "attached", "detach", "is_attached", "quota_of"]


@dataclass
class Decided:
    """Stands in for a quota where the ``cells`` of the next call's images are known already."""

    cells: Sequence[Cell] = ()

    def draw(self, prompts: Sequence[str]) -> list[Cell]:
        """The cells, one for each prompt."""
        if len(self.cells) != len(prompts):
            raise ValueError(f"{len(self.cells)} cells were decided for a call that draws {len(prompts)} images")
        return list(self.cells)


def attach(pipe: Any, fair_map: FairMap, *, strength: float = 1.0, quota: QuotaSource | Decided | None = None) -> None:
    """From now on, map every prompt that ``pipe`` is called with; :func:`detach` undoes it.

    The negative prompt stays untouched; pooled embeddings are mapped where the map has a pooled part. ``strength``
    1 applies the whole map, 0 leaves every image as it was, bit for bit.

    A map with group shifts (route "sampled") moves every image towards groups of its own. ``quota`` says how they are
    drawn: a :class:`fairmapping.quota.Quota`, or what one is made of ("even", "labour", shares, a file); by default the
    map's own targets. A Quota that the caller keeps tells in ``quota.last`` what the last call's images were drawn for,
    in the order of the images; a call that fails leaves it as it was.

    Raises RuntimeError if a map is attached already, TypeError for a pipeline outside of the general rule (see
    :mod:`fairmapping.embed`), ValueError for a map made for another text encoder, a strength that is no number, a quota
    for a map without group shifts or one of groups that the map does not know.
    """
    if is_attached(pipe):
        raise RuntimeError(f"this {type(pipe).__name__} has a map attached already; detach(pipe) it first")
    check_pipeline(pipe)
    if not math.isfinite(strength):
        raise ValueError(f"strength is {strength}; give a number, 0 for none of the map and 1 for all of it")
    fair_map.check_encoder(fingerprint(pipe))
    quota = quota if isinstance(quota, Decided) else quota_of(fair_map, quota)
    pipe.__class__ = _mapping_class(type(pipe), fair_map, strength, quota)


def detach(pipe: Any) -> None:
    """Give ``pipe`` its own class back. Raises RuntimeError if no map is attached."""
    if not is_attached(pipe):
        raise RuntimeError(f"this {type(pipe).__name__} has no map attached")
    pipe.__class__ = type(pipe).__base__


@contextmanager
def attached(
    pipe: Any, fair_map: FairMap, *, strength: float = 1.0, quota: QuotaSource | Decided | None = None
) -> Iterator[Any]:
    """``with attached(pipe, fair_map): images = pipe(prompts).images``; see :func:`attach`. Detaches on errors too."""
    attach(pipe, fair_map, strength=strength, quota=quota)
    try:
        yield pipe
    finally:
        if is_attached(pipe):  # the body may have detached it
            detach(pipe)


def is_attached(pipe: Any) -> bool:
    """Whether a map is attached to ``pipe``."""
    return "_fair_map" in vars(type(pipe))


def quota_of(fair_map: FairMap | None, quota: QuotaSource | None = None, *, seed: int = 0) -> Quota | None:
    """The quota that draws the groups of this map: ``quota``, or by default the map's own targets; None without a map
    or for one without group shifts.

    ``seed`` is for a quota made here; a Quota has its own. Raises ValueError for a quota where there are no shifts, and
    for one of attributes or groups that there is none for.
    """
    if fair_map is None or not fair_map.groups:
        if quota is None:
            return None
        found = "there is no map" if fair_map is None else f"this one (route {fair_map.config.route!r}) has none"
        raise ValueError(
            f"a quota needs a map with group shifts, and {found}; fit one with fit(..., route='sampled'), or leave the "
            "quota out"
        )
    if quota is None:
        quota = Targets.from_dict(fair_map.config.targets) if fair_map.config.targets else "even"
    return resolve_quota(quota, seed=seed).bind(fair_map.groups)


def _mapping_class(cls: Any, fair_map: FairMap, strength: float, quota: Quota | Decided | None) -> type:
    """A subclass of ``cls`` that maps the first encoding of each call."""
    call_signature = inspect.signature(cls.__call__)
    encode_signature = inspect.signature(cls.encode_prompt)
    prompt_is_next, repeats = False, 1

    @functools.wraps(cls.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal prompt_is_next, repeats
        given = call_signature.bind(self, *args, **kwargs).arguments
        repeats = next((count for name, count in given.items() if re.fullmatch(r"num_\w+_per_prompt", name)), 1) or 1
        # Some classes call encode_prompt although the caller passed embeddings, others do not: then the first
        # encoding would be the negative prompt's.
        prompt_is_next = given.get("prompt_embeds") is None
        before = (quota.state(), quota.last) if isinstance(quota, Quota) and prompt_is_next else None
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
        returned = cls.encode_prompt(self, *args, **kwargs)
        if not mapped:
            return returned
        found = read(self, returned, arguments)
        cells = None if quota is None else _drawn(quota, arguments["prompt"], repeats, len(found.sequence))
        return _mapped(returned, found, fair_map, strength, cells)

    namespace = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__call__": call,
        "encode_prompt": encode_prompt,
        "_fair_map": fair_map,
    }
    return type(cls.__name__, (cls,), namespace)


def _drawn(quota: Quota | Decided, prompt: str | Sequence[str], repeats: int, rows: int) -> list[Cell]:
    """A cell for every row, which must be an image's own: the prompts one after the other, ``repeats`` rows each."""
    texts = [prompt] if isinstance(prompt, str) else list(prompt)
    if rows != len(texts) * repeats:
        raise ValueError(
            f"this pipeline encodes a prompt once for its {repeats} images, so that they would all get the groups of "
            "one; give each prompt as often as images of it are wanted, and one image per prompt"
        )
    return quota.draw([text for text in texts for _ in range(repeats)])


def _mapped(returned: Any, found: Encoding, fair_map: FairMap, strength: float, cells: Sequence[Cell] | None) -> Any:
    """``returned`` with the positive sequence, and the pooled where there is one, mapped."""
    sequence: Any = fair_map(found.sequence, found.mask, strength, cells)
    if found.ragged:
        sequence = [rows[mask] for rows, mask in zip(sequence, found.mask, strict=True)]
    if isinstance(returned, Tensor):
        return sequence
    result = [sequence, *returned[1:]]
    if found.pooled_index is not None and found.pooled is not None:
        result[found.pooled_index] = fair_map.map_pooled(found.pooled, strength, cells)
    return tuple(result)
