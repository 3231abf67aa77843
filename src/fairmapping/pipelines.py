"""A pipeline by name: the embedded model, a folder, or a hub id."""

from __future__ import annotations

import warnings
from typing import Any

__all__ = ["load"]


def load(model: str = "portraits", *, device: str | None = None, dtype: str = "float32") -> Any:
    """ "portraits", or whatever ``DiffusionPipeline.from_pretrained`` takes, on `device` ("cuda", ...) in `dtype`.

    Raises ValueError where there is no such model, device or dtype.
    """
    import torch

    precision = getattr(torch, dtype, None)
    if not (isinstance(precision, torch.dtype) and precision.is_floating_point):
        raise ValueError(f"dtype is {dtype!r}; give float32, float16 or bfloat16")
    if model == "portraits":
        from . import portraits

        pipe: Any = portraits.load(dtype=precision)
    else:
        from diffusers import DiffusionPipeline

        try:
            with warnings.catch_warnings():
                # Newer releases call this argument dtype, and older ones do not know that name.
                warnings.filterwarnings("ignore", "`?torch_dtype", FutureWarning)
                pipe = DiffusionPipeline.from_pretrained(model, torch_dtype=precision)
        except OSError as error:  # what diffusers and the hub raise for folders and names that hold no model
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"no model could be loaded from {model!r}: {reason}") from error
    if device is None:
        return pipe
    try:
        return pipe.to(device)
    except (RuntimeError, AssertionError) as error:  # a build of torch without CUDA asserts
        raise ValueError(f"the model cannot be moved to {device!r}: {str(error).splitlines()[0]}") from error
