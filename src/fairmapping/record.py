"""What a pipeline's denoiser was given and gave while the pipeline drew, so that it can be asked again.

No family has code of its own: forward hooks see every call of the UNet or the transformer, and the prompt's embeddings
are found among its arguments because they equal what ``encode_prompt`` returned. So the noisy inputs come from the
real sampling path, guidance included, and :meth:`Call.replay` asks the denoiser once more with another embedding in
place of the recorded one, everything else being the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .embed import Encoding, check_pipeline, encoding
from .progress import silenced

__all__ = ["Call", "Recorder", "denoiser_of", "takes_guidance"]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of the denoiser for B prompts.

    ``leaves`` are its arguments, flattened, tensors on the CPU, cut to the rows of the prompts. ``sequence``,
    ``pooled`` and ``mask`` are the places of the prompt's embeddings among them (None: not given to the denoiser).
    ``output`` (B, ...) is what it predicted. ``progress`` is 0 at the first call of a drawing, pure noise, and 1 at
    the last. ``ragged``: the embeddings are B leaves from ``sequence`` on, one (length, D) for each prompt.
    """

    leaves: tuple[Any, ...]
    structure: Any
    sequence: int
    pooled: int | None
    mask: int | None
    output: Tensor
    progress: float
    ragged: bool = False

    def replay(
        self, denoiser: torch.nn.Module, sequence: Tensor, pooled: Tensor | None, mask: Tensor, device: torch.device
    ) -> Tensor:
        """(B, ...): what the denoiser predicts for the recorded input when the prompt's embeddings are ``sequence`` (B,
        L, D) and ``pooled`` (B, P), with ``mask`` (B, L) on the tokens that count. Gradients flow to the embeddings."""
        leaves = [leaf.to(device) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        parts: list[tuple[int | None, Tensor | None]] = [(self.pooled, pooled), (self.mask, mask)]
        if self.ragged:
            parts += [
                (self.sequence + i, own[tokens]) for i, (own, tokens) in enumerate(zip(sequence, mask, strict=True))
            ]
        else:
            parts.append((self.sequence, sequence))
        for place, value in parts:
            if place is not None and value is not None:
                leaves[place] = value.to(device, leaves[place].dtype)
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        return _prediction(denoiser(*args, **kwargs))


class Recorder:
    """Draws with a pipeline and keeps the denoiser's calls. Nothing of the pipeline is changed."""

    def __init__(self, pipe: Any) -> None:
        check_pipeline(pipe)
        self.pipe, self.denoiser = pipe, denoiser_of(pipe)

    @torch.no_grad()
    def draw(self, texts: Sequence[str], seeds: Sequence[int], call: Mapping[str, Any]) -> list[Call]:
        """The calls made while one image of each text was drawn from its seed; nothing is decoded.

        A string in ``call``, such as a negative prompt, holds for every image.
        Raises TypeError where the denoiser is not given the prompt's embeddings as ``encode_prompt`` returns them.
        """
        prompt = encoding(self.pipe, list(texts))
        calls: list[Call] = []
        kept: dict[int, Tensor] = {}

        def keep(module: Any, args: Any, kwargs: Any, output: Any) -> None:
            found = _recorded(args, kwargs, output, prompt, kept)
            if found is not None:  # None: the negative prompt, given in a call of its own
                calls.append(found)

        hook = self.denoiser.register_forward_hook(keep, with_kwargs=True)
        try:
            generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
            each = {name: [value] * len(texts) for name, value in call.items() if _is_text(name, value)}
            with silenced(self.pipe):
                self.pipe(prompt=list(texts), generator=generators, output_type="latent", **(dict(call) | each))
        finally:
            hook.remove()
        if not calls:
            raise TypeError(
                f"the {type(self.denoiser).__name__} of {type(self.pipe).__name__} was never given the embeddings "
                "that encode_prompt returns, so the map cannot be fitted through it; use route='text'"
            )
        last = max(len(calls) - 1, 1)
        return [replace(found, progress=index / last) for index, found in enumerate(calls)]


def denoiser_of(pipe: Any) -> torch.nn.Module:
    """The UNet or transformer of a pipeline. Raises TypeError where there is none."""
    for name in ("transformer", "unet"):
        part = pipe.components.get(name)
        if isinstance(part, torch.nn.Module):
            return part
    raise TypeError(
        f"{type(pipe).__name__} has neither a unet nor a transformer, so no denoiser can be asked; use route='text'"
    )


def takes_guidance(pipe: Any) -> bool:
    """Whether guidance was distilled into the denoiser, which then is told the guidance scale."""
    config: Any = denoiser_of(pipe).config
    return bool(config.get("guidance_embeds") or config.get("time_cond_proj_dim"))


def _recorded(args: Any, kwargs: Any, output: Any, prompt: Encoding, kept: dict[int, Tensor]) -> Call | None:
    """The call, or None where it was not given this prompt. ``kept`` holds the embeddings, which are the same in all
    calls of a drawing and can be larger than all the rest, so they are stored once."""
    given, count = (list(args), dict(kwargs)), len(prompt.sequence)
    if prompt.ragged:
        rows, offset = _in_list(given, prompt)
        given = _cut_lists(given, rows, offset, count)
    leaves, structure = pytree.tree_flatten(given)
    if prompt.ragged:
        index = next((i for i, leaf in enumerate(leaves) if _same(leaf, _row(prompt, 0))), None)
    else:
        index, offset = _place(leaves, prompt.sequence) or (None, 0)
        rows = 0 if index is None else len(leaves[index])
    if index is None:
        return None

    def cut(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        batched = not prompt.ragged and rows > count and leaf.ndim and len(leaf) == rows
        own = leaf[offset : offset + count] if batched else leaf
        return own.detach().cpu().clone()

    pooled = None if prompt.pooled is None else _place(leaves, prompt.pooled)
    mask = None if prompt.ragged else _place(leaves, prompt.mask)
    same = range(index, index + count) if prompt.ragged else (index,)
    for place in (*same, *(() if pooled is None else pooled[:1])):
        if place not in kept:
            kept[place] = cut(leaves[place])
    return Call(
        leaves=tuple(kept[place] if place in kept else cut(leaf) for place, leaf in enumerate(leaves)),
        structure=structure,
        sequence=index,
        pooled=None if pooled is None else pooled[0],
        mask=None if mask is None else mask[0],
        output=_prediction(output)[offset : offset + count].detach().cpu().clone(),
        progress=0.0,
        ragged=prompt.ragged,
    )


def _row(prompt: Encoding, row: int) -> Tensor:
    """(length, D) of one prompt."""
    return prompt.sequence[row][prompt.mask[row]]


def _same(leaf: Any, wanted: Tensor) -> bool:
    return isinstance(leaf, Tensor) and leaf.shape == wanted.shape and torch.equal(leaf.to(wanted), wanted)


def _in_list(given: Any, prompt: Encoding) -> tuple[int, int]:
    """Length of the list that holds the prompts' rows, and from which element on: guidance appends the negative ones.
    (0, 0) where there is none."""
    wanted = [_row(prompt, row) for row in range(len(prompt.sequence))]
    for value in [*given[0], *given[1].values()]:
        if isinstance(value, list) and len(value) >= len(wanted):
            for offset in range(len(value) - len(wanted) + 1):
                if all(_same(leaf, row) for leaf, row in zip(value[offset:], wanted, strict=False)):
                    return len(value), offset
    return 0, 0


def _cut_lists(given: Any, rows: int, offset: int, count: int) -> Any:
    """The arguments, every list or batch of ``rows`` elements cut to those of the prompts."""

    def cut(value: Any) -> Any:
        is_batch = isinstance(value, list) or (isinstance(value, Tensor) and value.ndim > 0)
        return value[offset : offset + count] if is_batch and len(value) == rows else value

    return [cut(value) for value in given[0]], {name: cut(value) for name, value in given[1].items()}


def _place(leaves: Sequence[Any], wanted: Tensor) -> tuple[int, int] | None:
    """Which leaf holds the rows of ``wanted``, and from which row on: after the negative ones, where guidance doubles
    the batch, so the last match counts."""
    count = len(wanted)
    for index, leaf in enumerate(leaves):
        if not isinstance(leaf, Tensor) or leaf.ndim != wanted.ndim or leaf.shape[1:] != wanted.shape[1:]:
            continue
        for offset in range(len(leaf) - count, -1, -count):
            if torch.equal(leaf[offset : offset + count].to(wanted), wanted):
                return index, offset
    return None


def _prediction(output: Any) -> Tensor:
    if not isinstance(output, Tensor):
        output = output[0] if isinstance(output, tuple) else output.sample
    return torch.stack(list(output)) if isinstance(output, list) else output


def _is_text(name: str, value: Any) -> bool:
    return isinstance(value, str) and name.startswith(("prompt", "negative_prompt"))
