"""A pipeline by name: the embedded model, a folder, or a hub id."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Source", "can_be_sent", "hush", "load", "made"]

_OFFLOAD = {"model": "enable_model_cpu_offload", "sequential": "enable_sequential_cpu_offload"}


def load(
    model: str = "portraits", *, device: str | None = None, dtype: str = "float32", offload: str | None = None
) -> Any:
    """ "portraits", or whatever ``DiffusionPipeline.from_pretrained`` takes, on `device` ("cuda", ...) in `dtype`.

    `offload` keeps the models in main memory and moves them to the device when they are needed, one after the other
    ("model") or layer by layer ("sequential": the least memory, and slow). Weights are read from safetensors only.
    Raises ValueError where there is no such model, device, dtype or way of offloading.
    """
    import torch

    precision = getattr(torch, dtype, None)
    if not (isinstance(precision, torch.dtype) and precision.is_floating_point):
        raise ValueError(f"dtype is {dtype!r}; give float32, float16 or bfloat16")
    if offload not in (None, *_OFFLOAD):
        raise ValueError(f"offload is {offload!r}; give {' or '.join(_OFFLOAD)}")
    if model == "portraits":
        from . import portraits

        pipe: Any = portraits.load(dtype=precision)
    else:
        from diffusers import DiffusionPipeline

        _check_folder(model)
        # diffusers takes components of other packages only from modules that are imported already.
        for part in ("autoencoder", "denoiser"):
            importlib.import_module(f".portraits.{part}", __package__)
        try:
            with warnings.catch_warnings():
                # Newer releases call this argument dtype, and older ones do not know that name.
                warnings.filterwarnings("ignore", "`?torch_dtype", FutureWarning)
                pipe = DiffusionPipeline.from_pretrained(model, torch_dtype=precision, use_safetensors=True)
        # What diffusers and the hub raise for names that hold no model, and for a damaged model_index.json.
        except (OSError, ValueError, KeyError, AttributeError) as error:
            said = repr(error) if isinstance(error, KeyError) else str(error).strip() or repr(error)
            reason = said.splitlines()[0]
            raise ValueError(f"no model could be loaded from {model!r}: {reason}") from error
    try:
        if offload is not None:
            getattr(pipe, _OFFLOAD[offload])(**({} if device is None else {"device": device}))
            return pipe
        return pipe if device is None else pipe.to(device)
    except (RuntimeError, AssertionError) as error:  # a build of torch without CUDA asserts
        where = device if offload is None else f"{device or 'an accelerator'}, offload {offload}"
        raise ValueError(f"the model cannot be moved to {where!r}: {str(error).splitlines()[0]}") from error


@dataclass(frozen=True)
class Source:
    """What :func:`load` is to load: it can be sent to other machines, which a pipeline cannot."""

    model: str = "portraits"
    device: str | None = None
    dtype: str = "float32"
    offload: str | None = None

    def __call__(self) -> Any:
        return load(self.model, device=self.device, dtype=self.dtype, offload=self.offload)


def can_be_sent(pipe: Any) -> bool:
    """Whether this is no pipeline yet, but what makes one: a name, a :class:`Source`, a function without arguments."""
    return isinstance(pipe, (str, Source, functools.partial)) or inspect.isroutine(pipe) or inspect.isclass(pipe)


def made(pipe: Any) -> Any:
    """The pipeline: itself, or of what makes one."""
    if isinstance(pipe, str):
        return load(pipe)
    return pipe() if can_be_sent(pipe) else pipe


def _check_folder(model: str) -> None:
    """Say plainly what is wrong with a path; whatever may be a hub id ("name/model") passes."""
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise ValueError(
                f"no model could be loaded from {model!r}: the folder has no model_index.json; "
                "give the folder that pipe.save_pretrained wrote"
            )
    elif folder.is_file():
        raise ValueError(f"no model could be loaded from {model!r}: it is a file; give the folder of a saved model")
    elif model.count("/") > 1 or model.startswith((".", "~", "/")) or os.sep != "/" and os.sep in model:
        raise ValueError(f"no model could be loaded from {model!r}: there is no such folder")


def hush() -> None:
    """No bars and remarks of the libraries that load models; the bars of downloads, which take long, stay."""
    import diffusers.utils.logging as diffusers
    import transformers.utils.logging as transformers
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars

    downloads = not are_progress_bars_disabled()
    for library in (transformers, diffusers):
        library.set_verbosity_error()
        library.disable_progress_bar()
    if downloads:
        enable_progress_bars()
