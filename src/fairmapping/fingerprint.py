"""What tells one text encoder from another, its finetune included: a digest of what it makes of fixed prompts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .embed import encode, parts_of
from .mapping import PROBE_TOLERANCE, FairMap

__all__ = ["check_encoder", "fingerprint", "without_adapters"]

_PROBES = ("a portrait of a doctor", "a red bicycle", "two women and a man talking", "the sea at night, oil on canvas")
_DIRECTIONS = 8


def fingerprint(pipe: Any) -> dict[str, Any]:
    """What tells this pipeline's text encoder from another, as plain JSON, for :meth:`FairMap.check_encoder`.

    ``encoders`` are class names, ``width`` is D, ``pooled_width`` P or None, and ``probe`` holds 32 numbers: the mean
    embedding of four fixed prompts, less their common mean, along eight fixed directions; ``pooled_probe`` is the same
    of the pooled embeddings, which in Flux come from an encoder that has no part in the others. Rounding to another
    dtype moves a probe by about a hundredth of its length; another encoder gives other numbers altogether.
    """
    embeddings = encode(pipe, _PROBES)
    weight = embeddings.mask.unsqueeze(-1).double()
    mean = (embeddings.sequence.double() * weight).sum(1) / weight.sum(1)  # (4, D)
    return {
        "encoders": [type(module).__name__ for _, module in parts_of(pipe, "text_encoder")],
        "width": mean.shape[1],
        "pooled_width": None if embeddings.pooled is None else embeddings.pooled.shape[1],
        "probe": _probe(mean),
        **({} if embeddings.pooled is None else {"pooled_probe": _probe(embeddings.pooled.double())}),
    }


def _probe(rows: Tensor) -> list[float]:
    """Of a row each prompt (4, D): 8 numbers each."""
    centred = rows - rows.mean(0)  # what all prompts share would drown the rest: CLIP's start token, its outlier widths
    width = rows.shape[1]
    phase = torch.arange(1, width + 1, dtype=torch.float64)[:, None] * torch.arange(1, _DIRECTIONS + 1).double()
    probe = centred @ torch.cos(math.sqrt(2) * phase) / math.sqrt(width)  # (4, 8)
    return [float(f"{value:.6g}") for value in probe.flatten().tolist()]


def check_encoder(fair_map: FairMap, pipe: Any) -> None:
    """Raise ValueError if the map was made for another text encoder than this pipeline's.

    A LoRA on the text encoder shifts what it embeds, so the map does not fit it as it fits the encoder alone. Where the
    encoder is the map's but for that, a UserWarning tells the measured distance, and the map may be used.
    """
    found = fingerprint(pipe)
    distance = fair_map.encoder_distance(found)
    if distance <= PROBE_TOLERANCE or not _adapters(pipe):
        fair_map.check_encoder(found)
        return
    with without_adapters(pipe):
        fair_map.check_encoder(fingerprint(pipe))
    warnings.warn(
        "a LoRA (or another adapter) on the text encoder makes it embed prompts otherwise than the encoder that the "
        f"map was fitted for (relative distance {distance:.2g}); the map is used all the same and may mitigate less: "
        "audit the images, or fit a map with the adapter loaded",
        stacklevel=3,
    )


@contextmanager
def without_adapters(pipe: Any) -> Iterator[None]:
    """The text encoders alone, without a LoRA that is loaded or fused; afterwards all is as before, bit for bit."""
    before = [
        (
            layer,
            layer.disable_adapters,
            list(layer.merged_adapters),
            {n: value.clone() for n, value in layer.get_base_layer().state_dict().items()} if layer.merged else None,
            [(parameter, parameter.requires_grad) for parameter in layer.parameters()],
        )
        for layer in _adapters(pipe)
    ]
    try:
        for layer, *_ in before:
            if layer.merged:
                layer.unmerge()
            layer.enable_adapters(False)
        yield
    finally:
        for layer, disabled, merged, weights, trained in before:
            layer.enable_adapters(not disabled)
            layer.merged_adapters[:] = merged
            if weights is not None:  # subtracting a fused LoRA rounds
                layer.get_base_layer().load_state_dict(weights)
            for parameter, wanted in trained:
                parameter.requires_grad_(wanted)


def _adapters(pipe: Any) -> list[Any]:
    """The layers of the text encoders that peft has put a LoRA on."""
    layers = [layer for _, encoder in parts_of(pipe, "text_encoder") for layer in encoder.modules()]
    return [layer for layer in layers if hasattr(layer, "merged_adapters") and hasattr(layer, "get_base_layer")]
