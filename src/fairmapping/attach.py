"""Attach a map to a pipeline that the user goes on calling.

A wrapper around ``encode_prompt`` alone cannot know which prompt it is given: pipelines without a negative argument
(Flux with true guidance among them) encode the negative prompt by a second call. So the object's class is swapped for
a subclass of the same name and module: its ``__call__`` announces that the next encoding is the prompt, and its
``encode_prompt`` maps that one and nothing else. Nothing is written on the object, so detaching restores it exactly,
and ``save_pretrained`` writes what it would have written.

Not mapped: the negative prompt, ``prompt_embeds`` that the caller passes in, and ``encode_prompt`` called outside of a
call, so :func:`fairmapping.embed.encode` sees the encoder itself. ``from_pipe`` makes a new, unattached object.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .embed import check_pipeline, fingerprint, read

if TYPE_CHECKING:
    from .mapping import FairMap

__all__ = ["attach", "attached", "detach", "is_attached"]


def attach(pipe: Any, fair_map: FairMap, *, strength: float = 1.0) -> None:
    """From now on, map every prompt that ``pipe`` is called with; :func:`detach` undoes it.

    The negative prompt stays untouched; pooled embeddings are mapped where the map has a pooled part. ``strength``
    1 applies the whole map, 0 leaves every image as it was, bit for bit.

    Raises RuntimeError if a map is attached already, TypeError for a pipeline outside of the general rule (see
    :mod:`fairmapping.embed`), ValueError for a map made for another text encoder or a strength that is no number.
    """
    if is_attached(pipe):
        raise RuntimeError(f"this {type(pipe).__name__} has a map attached already; detach(pipe) it first")
    check_pipeline(pipe)
    if not math.isfinite(strength):
        raise ValueError(f"strength is {strength}; give a number, 0 for none of the map and 1 for all of it")
    fair_map.check_encoder(fingerprint(pipe))
    pipe.__class__ = _mapping_class(type(pipe), fair_map, strength)


def detach(pipe: Any) -> None:
    """Give ``pipe`` its own class back. Raises RuntimeError if no map is attached."""
    if not is_attached(pipe):
        raise RuntimeError(f"this {type(pipe).__name__} has no map attached")
    pipe.__class__ = type(pipe).__base__


@contextmanager
def attached(pipe: Any, fair_map: FairMap, *, strength: float = 1.0) -> Iterator[Any]:
    """``with attached(pipe, fair_map): images = pipe(prompts).images``; see :func:`attach`. Detaches on errors too."""
    attach(pipe, fair_map, strength=strength)
    try:
        yield pipe
    finally:
        if is_attached(pipe):  # the body may have detached it
            detach(pipe)


def is_attached(pipe: Any) -> bool:
    """Whether a map is attached to ``pipe``."""
    return "_fair_map" in vars(type(pipe))


def _mapping_class(cls: Any, fair_map: FairMap, strength: float) -> type:
    """A subclass of ``cls`` that maps the first encoding of each call."""
    call_signature = inspect.signature(cls.__call__)
    encode_signature = inspect.signature(cls.encode_prompt)
    prompt_is_next = False

    @functools.wraps(cls.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal prompt_is_next
        # Some classes call encode_prompt although the caller passed embeddings, others do not: then the first
        # encoding would be the negative prompt's.
        prompt_is_next = call_signature.bind(self, *args, **kwargs).arguments.get("prompt_embeds") is None
        try:
            return cls.__call__(self, *args, **kwargs)
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
        return _mapped(self, returned, arguments, fair_map, strength) if mapped else returned

    namespace = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__call__": call,
        "encode_prompt": encode_prompt,
        "_fair_map": fair_map,
    }
    return type(cls.__name__, (cls,), namespace)


def _mapped(pipe: Any, returned: Any, arguments: dict[str, Any], fair_map: FairMap, strength: float) -> Any:
    """``returned`` with the positive sequence, and the pooled where there is one, mapped."""
    found = read(pipe, returned, arguments)
    sequence: Any = fair_map(found.sequence, found.mask, strength)
    if found.ragged:
        sequence = [rows[mask] for rows, mask in zip(sequence, found.mask, strict=True)]
    if isinstance(returned, Tensor):
        return sequence
    result = [sequence, *returned[1:]]
    if found.pooled_index is not None and found.pooled is not None:
        result[found.pooled_index] = fair_map.map_pooled(found.pooled, strength)
    return tuple(result)
