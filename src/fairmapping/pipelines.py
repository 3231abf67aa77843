"""A pipeline by name: the embedded model, a folder, or a hub id."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Source", "can_be_sent", "draws_portraits", "hush", "load", "made"]

_TEXT = r"(text_encoder|tokenizer|processor)(_\d+)?|scheduler"  # components that reading a prompt may need
_OFFLOAD = {"model": "enable_model_cpu_offload", "sequential": "enable_sequential_cpu_offload"}


def load(
    model: str = "portraits",
    *,
    device: str | None = None,
    dtype: str = "float32",
    offload: str | None = None,
    parts: Literal["all", "text"] = "all",
) -> Any:
    """ "portraits", or whatever ``DiffusionPipeline.from_pretrained`` takes, on `device` ("cuda", ...) in `dtype`.

    `offload` keeps the models in main memory and moves them to the device when they are needed, one after the other
    ("model") or layer by layer ("sequential": the least memory, and slow); images are then decoded one by one.
    `parts` "text" loads text encoders and tokenizers alone, which is all that measuring and fitting by route "text"
    need; nothing else is fetched. Weights are read from safetensors only.
    Raises ValueError where there is no such model, device, dtype, part or way of offloading.
    """
    import torch

    precision = getattr(torch, dtype, None)
    if not (isinstance(precision, torch.dtype) and precision.is_floating_point):
        raise ValueError(f"dtype is {dtype!r}; give float32, float16 or bfloat16")
    if offload not in (None, *_OFFLOAD):
        raise ValueError(f"offload is {offload!r}; give {' or '.join(_OFFLOAD)}")
    if parts not in ("all", "text"):
        raise ValueError(f"parts is {parts!r}; give all or text")
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
            left_out = {} if parts == "all" else _left_out(DiffusionPipeline.load_config(model))
            with warnings.catch_warnings():
                # Newer releases call this argument dtype, and older ones do not know that name.
                warnings.filterwarnings("ignore", "`?torch_dtype", FutureWarning)
                pipe = DiffusionPipeline.from_pretrained(model, torch_dtype=precision, use_safetensors=True, **left_out)
        # What diffusers and the hub raise for names that hold no model, and for a damaged model_index.json.
        except (OSError, ValueError, KeyError, AttributeError) as error:
            said = repr(error) if isinstance(error, KeyError) else str(error).strip() or repr(error)
            reason = said.splitlines()[0]
            raise ValueError(f"no model could be loaded from {model!r}: {reason}") from error
    try:
        if offload is not None:
            getattr(pipe, _OFFLOAD[offload])(**({} if device is None else {"device": device}))
            if hasattr(getattr(pipe, "vae", None), "enable_slicing"):
                pipe.vae.enable_slicing()
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
    parts: Literal["all", "text"] = "all"

    def __call__(self) -> Any:
        return load(self.model, device=self.device, dtype=self.dtype, offload=self.offload, parts=self.parts)


def can_be_sent(pipe: Any) -> bool:
    """Whether this is no pipeline yet, but what makes one: a name, a :class:`Source`, a function without arguments."""
    return isinstance(pipe, (str, Source, functools.partial)) or inspect.isroutine(pipe) or inspect.isclass(pipe)


def made(pipe: Any) -> Any:
    """The pipeline: itself, or of what makes one."""
    if isinstance(pipe, str):
        return load(pipe)
    return pipe() if can_be_sent(pipe) else pipe


def draws_portraits(pipe: Any) -> bool:
    """Whether it is the embedded model, or what makes it. Raises ValueError for a function, whose pipeline is not known
    before it is made."""
    from . import portraits

    if isinstance(pipe, (str, Source)):
        return (pipe if isinstance(pipe, str) else pipe.model) == "portraits"
    if can_be_sent(pipe):
        raise ValueError("the judge is not named, and what a function draws is not known beforehand: name a judge")
    return portraits.is_portraits(pipe)


def _left_out(config: dict[str, Any]) -> dict[str, None]:
    """The components in a model_index.json, each told by its library and class, that reading a prompt does not need."""
    named = [name for name, value in config.items() if isinstance(value, (list, tuple)) and len(value) == 2]
    parts = [name for name in named if all(isinstance(part, str) for part in config[name])]
    return {name: None for name in parts if not re.fullmatch(_TEXT, name)}


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
