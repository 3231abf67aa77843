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
    the last.
    """

    leaves: tuple[Any, ...]
    structure: Any
    sequence: int
    pooled: int | None
    mask: int | None
    output: Tensor
    progress: float

    def replay(
        self, denoiser: torch.nn.Module, sequence: Tensor, pooled: Tensor | None, mask: Tensor, device: torch.device
    ) -> Tensor:
        """(B, ...): what the denoiser predicts for the recorded input when the prompt's embeddings are ``sequence`` (B,
        L, D) and ``pooled`` (B, P), with ``mask`` (B, L) on the tokens that count. Gradients flow to the embeddings."""
        leaves = [leaf.to(device) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        for place, value in ((self.sequence, sequence), (self.pooled, pooled), (self.mask, mask)):
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
        prompt = self._encode(list(texts))
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

    def _encode(self, texts: list[str]) -> Encoding:
        found = encoding(self.pipe, texts)
        if found.ragged:
            raise TypeError(
                f"{type(self.pipe).__name__} carries each prompt as a tensor of its own length, which cannot be "
                "replayed in a batch yet; use route='text'"
            )
        return found


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
    leaves, structure = pytree.tree_flatten((list(args), dict(kwargs)))
    found = _place(leaves, prompt.sequence)
    if found is None:
        return None
    index, offset = found
    rows, count = len(leaves[index]), len(prompt.sequence)

    def cut(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        own = leaf[offset : offset + count] if rows > count and leaf.ndim and len(leaf) == rows else leaf
        return own.detach().cpu().clone()

    pooled = None if prompt.pooled is None else _place(leaves, prompt.pooled)
    mask = _place(leaves, prompt.mask)
    for place in (index, None if pooled is None else pooled[0]):
        if place is not None and place not in kept:
            kept[place] = cut(leaves[place])
    return Call(
        leaves=tuple(kept[place] if place in kept else cut(leaf) for place, leaf in enumerate(leaves)),
        structure=structure,
        sequence=index,
        pooled=None if pooled is None else pooled[0],
        mask=None if mask is None else mask[0],
        output=cut(_prediction(output)),
        progress=0.0,
    )


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
    if isinstance(output, Tensor):
        return output
    return output[0] if isinstance(output, tuple) else output.sample


def _is_text(name: str, value: Any) -> bool:
    return isinstance(value, str) and name.startswith(("prompt", "negative_prompt"))
