"""From text to embeddings. :func:`encode` is the only place of the package that calls a pipeline's ``encode_prompt``.

One rule serves every family of diffusers, no class has code of its own: ``prompt_embeds`` is an argument of the call
and the first thing ``encode_prompt`` returns. Masks and pooled embeddings are found by the names in the signature and
by shape (:func:`read`). Where the rule does not hold, a TypeError says so.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .progress import progress_bar
from .prompts import Prompt

__all__ = [
    "Embeddings",
    "Encoding",
    "check_pipeline",
    "cut_off",
    "encode",
    "encoding",
    "parts_of",
    "read",
    "spread",
    "texts_of",
    "watched",
]

# How the families call the number of images (videos, sounds) that encode_prompt repeats each prompt for.
_REPEATS = ("num_images_per_prompt", "num_videos_per_prompt", "num_waveforms_per_prompt")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Prompts as the denoiser sees them: ``sequence`` (N, L, D), ``mask`` (N, L), ``pooled`` (N, P) or None.

    All floats are float32 on the CPU, whatever the pipeline's dtype and device. ``mask`` is True on the tokens of the
    text, the encoder's start and end tokens included, and False on padding. ``stands_for`` is how many rows of padding
    each of those held stands for on average, where some were left out. Raises ValueError if the shapes disagree.
    """

    sequence: Tensor
    mask: Tensor
    pooled: Tensor | None = None
    stands_for: float = 1.0

    def __post_init__(self) -> None:
        if self.sequence.ndim != 3:
            raise ValueError(f"sequence has shape {tuple(self.sequence.shape)}; (N, L, D) is needed")
        if self.mask.shape != self.sequence.shape[:2] or self.mask.dtype != torch.bool:
            raise ValueError(
                f"mask is {self.mask.dtype} of shape {tuple(self.mask.shape)}; "
                f"bool of shape {tuple(self.sequence.shape[:2])} is needed"
            )
        if self.pooled is not None and (self.pooled.ndim != 2 or len(self.pooled) != len(self.sequence)):
            raise ValueError(f"pooled has shape {tuple(self.pooled.shape)}; ({len(self)}, P) is needed")

    def __len__(self) -> int:
        return len(self.sequence)

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> Embeddings:
        """The chosen prompts, in the order of ``index``."""
        pooled = None if self.pooled is None else self.pooled[index]
        return replace(self, sequence=self.sequence[index], mask=self.mask[index], pooled=pooled)


@dataclass(frozen=True, eq=False)
class Encoding:
    """What one ``encode_prompt`` returned about the positive prompts, in the pipeline's own dtype and device.

    ``sequence`` (R, L, D) and ``mask`` (R, L), with R = prompts times repeats; ``pooled`` (R, P) stands at
    ``pooled_index`` of the returned tuple. ``ragged``: the pipeline returned one (length, D) tensor per prompt.
    """

    sequence: Tensor
    mask: Tensor
    pooled: Tensor | None
    pooled_index: int | None
    ragged: bool


@torch.no_grad()
def encode(
    pipe: Any,
    prompts: Sequence[str | Prompt],
    *,
    batch_size: int = 64,
    padding: int | None = None,
    progress: bool = False,
) -> Embeddings:
    """Encode ``prompts`` as a call of the pipeline without guidance would, with ``__call__``'s defaults.

    On an attached pipeline this gives the encoder's own embeddings, not the mapped ones: only the pipeline's
    ``__call__`` maps. Batches padded to different lengths are joined with zero rows, masked.

    padding: of the columns in which no prompt of a batch has text, keep so many, evenly spread, and not all: T5 pads to
    512 tokens, which in float32 are 8 MB a prompt. Positions are then no longer those of the encoder.

    Raises ValueError for no prompts, TypeError for a pipeline outside of the general rule (see this module's head).
    """
    texts = texts_of(prompts)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; at least 1 is needed")
    check_pipeline(pipe)
    parts, rows = [], 0
    with progress_bar("encoding", len(texts), "prompts", shown=progress) as advance:
        for start in range(0, len(texts), batch_size):
            chunk = texts[start : start + batch_size]
            found = encoding(pipe, chunk)
            pooled = None if found.pooled is None else found.pooled.float().cpu()
            rows += int((~found.mask).sum())
            kept = slice(None) if padding is None else _columns(found.mask, padding)
            parts.append(Embeddings(found.sequence[:, kept].float().cpu(), found.mask[:, kept].cpu(), pooled))
            advance(len(chunk))
    length = max(part.sequence.shape[1] for part in parts)
    return Embeddings(
        torch.cat([_lengthen(part.sequence, length) for part in parts]),
        torch.cat([_lengthen(part.mask, length) for part in parts]),
        None if parts[0].pooled is None else torch.cat([part.pooled for part in parts if part.pooled is not None]),
        rows / max(sum(int((~part.mask).sum()) for part in parts), 1),
    )


def _columns(mask: Tensor, padding: int) -> Tensor:
    """The columns of ``mask`` (N, L) with text in them, and at most ``padding`` of the others."""
    text = mask.any(0)
    others = (~text).nonzero()[:, 0]
    return torch.cat([text.nonzero()[:, 0], others[spread(len(others), padding).to(others.device)]]).sort().values


def spread(total: int, most: int) -> Tensor:
    """At most ``most`` indices below ``total``, evenly spread."""
    n = min(total, most)
    return torch.arange(n) * total // max(n, 1)


def encoding(pipe: Any, texts: Sequence[str]) -> Encoding:
    """What a call of the pipeline without guidance makes of these texts, in its own dtype and on its own device."""
    arguments = _arguments(pipe, list(texts))
    with watched(pipe) as masks:
        returned = pipe.encode_prompt(**arguments)
    return read(pipe, returned, arguments | {"prompt": list(texts)}, masks)


@contextmanager
def watched(pipe: Any) -> Iterator[list[Tensor]]:
    """The attention masks that the text encoders are given meanwhile, in order.

    Flux2 returns none, and its tokenizer reads a chat around the prompt: only the encoder is told which tokens count.
    """
    masks: list[Tensor] = []

    def note(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        mask = kwargs.get("attention_mask")
        if isinstance(mask, Tensor) and mask.ndim == 2:
            masks.append(mask.detach().bool())

    modules = [part for _, part in parts_of(pipe, "text_encoder") if isinstance(part, torch.nn.Module)]
    handles = [module.register_forward_pre_hook(note, with_kwargs=True) for module in modules]
    try:
        yield masks
    finally:
        for handle in handles:
            handle.remove()


def texts_of(prompts: Sequence[str | Prompt]) -> list[str]:
    """The texts of strings and Prompt rows. Raises ValueError for none, TypeError for a bare string."""
    if isinstance(prompts, str):
        raise TypeError(f"prompts is the string {prompts!r}; give a list of prompts")
    texts = [prompt.text if isinstance(prompt, Prompt) else prompt for prompt in prompts]
    if not texts:
        raise ValueError("no prompts: give at least one")
    return texts


def cut_off(pipe: Any, prompts: Sequence[str | Prompt]) -> list[str]:
    """The texts that no tokenizer of the pipeline reads to their end."""
    texts, windows = texts_of(prompts), [tokenizer for _, tokenizer in parts_of(pipe, "tokenizer")]
    for tokenizer in windows:
        found = tokenizer(texts, verbose=False)["input_ids"] if texts else []
        texts = [text for text, ids in zip(texts, found, strict=True) if len(ids) > tokenizer.model_max_length]
    return texts if windows else []


def check_pipeline(pipe: Any) -> None:
    """Raise TypeError, with the reason, unless ``pipe`` follows the general rule: see :mod:`fairmapping.embed`."""
    name = type(pipe).__name__
    if not callable(getattr(pipe, "encode_prompt", None)):
        raise TypeError(
            f"{name} has no method encode_prompt; give a diffusers text-to-image pipeline "
            "(StableDiffusion, SDXL, SD3, Flux, PixArt, Sana, QwenImage, ...)"
        )
    for method in ("encode_prompt", "__call__"):
        if "prompt_embeds" not in inspect.signature(getattr(type(pipe), method)).parameters:
            raise TypeError(
                f"{name}.{method} takes no prompt_embeds, so its prompt is not carried by one embedding that could be "
                "mapped; use a pipeline whose prompt_embeds can be passed in (StableDiffusion, SDXL, SD3, Flux, ...)"
            )


def read(pipe: Any, returned: Any, arguments: Mapping[str, Any], masks: Sequence[Tensor] = ()) -> Encoding:
    """Find the positive prompts' embeddings in what ``encode_prompt`` ``returned`` when called with ``arguments``.

    The sequence comes first. Families with pooled embeddings or a mask name them in their signature, and return the
    positive one before the negative one: the first (R, P) tensor is the pooled, the first (R, L) after it the mask.
    Where none comes back it is the first of ``masks``, those the encoders were given (:func:`watched`), that has the
    sequence's length, or that of the tokenizer whose encoder made the sequence; where none can be told, every row
    counts that is not all zero.

    Raises TypeError when the first element is not R rows of embeddings.
    """
    elements = returned if isinstance(returned, tuple) else (returned,)
    first = elements[0]
    texts = [arguments["prompt"]] if isinstance(arguments["prompt"], str) else list(arguments["prompt"])
    repeats = next((arguments[name] for name in _REPEATS if arguments.get(name)), 1)
    rows = len(texts) * repeats
    if isinstance(first, list) and len(first) == rows and all(_is_tensor(x, 2) for x in first):
        real = torch.nn.utils.rnn.pad_sequence([x.new_ones(len(x), dtype=torch.bool) for x in first], batch_first=True)
        return Encoding(torch.nn.utils.rnn.pad_sequence(first, batch_first=True), real, None, None, True)
    if not _is_tensor(first, 3) or len(first) != rows:
        shape = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
        raise TypeError(
            f"the first thing that {type(pipe).__name__}.encode_prompt returns is {shape}, not embeddings of shape "
            f"({rows}, length, width) of the {rows} prompts; this pipeline carries its prompt in a way not supported"
        )
    names = inspect.signature(type(pipe).encode_prompt).parameters
    rest = [(i, x) for i, x in enumerate(elements) if i and _is_tensor(x, 2) and len(x) == rows]
    pooled_index, pooled = rest.pop(0) if rest and _names(names, "pooled") else (None, None)
    returns_mask = _names(names, "mask")
    mask = next((x.bool() for _, x in rest if returns_mask and x.shape == first.shape[:2]), None)
    if mask is None:
        given = next((own for own in masks if own.shape == (len(texts), first.shape[1])), None)
        if given is None and not returns_mask:  # QwenImage leaves out one that is true throughout
            given = _tokenizer_mask(pipe, texts, arguments, first.shape[1], first.shape[2])
        mask = first.ne(0).any(-1) if given is None else given.to(first.device).repeat_interleave(repeats, dim=0)
    return Encoding(first, mask, pooled, pooled_index, False)


def _arguments(pipe: Any, texts: list[str]) -> dict[str, Any]:
    """Arguments of ``encode_prompt`` for the positive prompts alone, as ``__call__`` would give them.

    The two methods differ in the defaults of shared arguments (QwenImage's max_sequence_length, Sana's
    complex_human_instruction): the call's are used.
    """
    call = inspect.signature(type(pipe).__call__).parameters
    own = {"device": pipe._execution_device, "do_classifier_free_guidance": False, **dict.fromkeys(_REPEATS, 1)}
    arguments: dict[str, Any] = {"prompt": list(texts)}  # a copy, for ZImage writes into it
    for name, parameter in inspect.signature(pipe.encode_prompt).parameters.items():
        if name in arguments or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name in own:
            arguments[name] = own[name]
        elif not name.startswith("negative") and name in call and call[name].default is not parameter.empty:
            arguments[name] = call[name].default
        elif parameter.default is parameter.empty:
            raise TypeError(
                f"{type(pipe).__name__}.encode_prompt needs {name!r}, which only a call of the pipeline knows; "
                "this pipeline cannot encode a prompt alone"
            )
    return arguments


def _tokenizer_mask(
    pipe: Any, texts: list[str], arguments: Mapping[str, Any], length: int, width: int
) -> Tensor | None:
    """(N, L) attention mask of the tokenizer whose encoder is ``width`` wide, None where none can be told.

    SDXL's two encoders stand side by side and pad alike, so there the first speaks. SD3 puts T5's tokens behind those
    of its two CLIPs, which stand side by side: the masks of the first and of the last tokenizer, one after the other.
    """
    encoders = {name.removeprefix("text_encoder"): _width(module) for name, module in parts_of(pipe, "text_encoder")}
    tokenizers = {name.removeprefix("tokenizer"): tokenizer for name, tokenizer in parts_of(pipe, "tokenizer")}
    suffixes = [suffix for suffix, size in encoders.items() if size == width]
    if not suffixes and sum(encoders.values()) == width:
        suffixes = list(encoders)

    def mask_of(suffix: str, size: int) -> Tensor:
        own = arguments.get(f"prompt{suffix}") or texts  # prompt_2 goes to the second encoder
        own = [own] if isinstance(own, str) else list(own)
        if hasattr(pipe, "maybe_convert_prompt"):  # textual inversion writes one word as several tokens
            own = pipe.maybe_convert_prompt(own, tokenizers[suffix])
        found = tokenizers[suffix](own, padding="max_length", max_length=size, truncation=True, return_tensors="pt")
        return found["attention_mask"].bool()

    asked = arguments.get("max_sequence_length")
    for suffix in suffixes:
        if suffix in tokenizers and length in (tokenizers[suffix].model_max_length, asked):
            mask = mask_of(suffix, length)
            if mask.shape == (len(texts), length):
                return mask
    if len(tokenizers) > 1 and max(tokenizers) in encoders:
        first, last = min(tokenizers), max(tokenizers)
        if asked and length == (window := tokenizers[first].model_max_length) + asked:
            return torch.cat([mask_of(first, window), mask_of(last, asked)], 1)
    return None


def parts_of(pipe: Any, kind: str) -> list[tuple[str, Any]]:
    """The pipeline's components ``kind``, ``kind_2``, ... that are there, in order."""
    found = {name: part for name, part in pipe.components.items() if re.fullmatch(rf"{kind}(_\d+)?", name)}
    return [(name, found[name]) for name in sorted(found) if found[name] is not None]


def _width(encoder: Any) -> int:
    return int(getattr(encoder.config, "hidden_size", 0) or getattr(encoder.config, "d_model", 0))


def _names(parameters: Iterable[str], what: str) -> bool:
    return any(what in name for name in parameters)


def _is_tensor(value: Any, ndim: int) -> bool:
    return isinstance(value, Tensor) and value.ndim == ndim


def _lengthen(rows: Tensor, length: int) -> Tensor:
    """(N, L, ...) with zeros (False) up to ``length``."""
    return torch.cat([rows, rows.new_zeros(len(rows), length - rows.shape[1], *rows.shape[2:])], 1)
