"""What tells one text encoder from another, its finetune included: a digest of what it makes of fixed prompts."""

from __future__ import annotations

import math
from typing import Any

import torch

from .embed import encode, parts_of

__all__ = ["fingerprint"]

_PROBES = ("a portrait of a doctor", "a red bicycle", "two women and a man talking", "the sea at night, oil on canvas")
_DIRECTIONS = 8


def fingerprint(pipe: Any) -> dict[str, Any]:
    """What tells this pipeline's text encoder from another, as plain JSON, for :meth:`FairMap.check_encoder`.

    ``encoders`` are class names, ``width`` is D, ``pooled_width`` P or None, and ``probe`` holds 32 numbers: the mean
    embedding of four fixed prompts, less their common mean, along eight fixed directions. Rounding to another dtype
    moves the probe by about a hundredth of its length; another encoder gives other numbers altogether.
    """
    embeddings = encode(pipe, _PROBES)
    weight = embeddings.mask.unsqueeze(-1).double()
    mean = (embeddings.sequence.double() * weight).sum(1) / weight.sum(1)  # (4, D)
    centred = mean - mean.mean(0)  # what all prompts share would drown the rest: CLIP's start token, its outlier widths
    width = mean.shape[1]
    phase = torch.arange(1, width + 1, dtype=torch.float64)[:, None] * torch.arange(1, _DIRECTIONS + 1).double()
    probe = centred @ torch.cos(math.sqrt(2) * phase) / math.sqrt(width)  # (4, 8)
    return {
        "encoders": [type(module).__name__ for _, module in parts_of(pipe, "text_encoder")],
        "width": width,
        "pooled_width": None if embeddings.pooled is None else embeddings.pooled.shape[1],
        "probe": [float(f"{value:.6g}") for value in probe.flatten().tolist()],
    }
