"""A fair map as a block of a modular pipeline, where some new models exist only as such.

A block that stands right behind the text encoder's reads and writes ``prompt_embeds`` (and pooled ones); the negative
prompt has names of its own and stays untouched. The prompts are decided on as in :func:`fairmapping.attach.attach`.
"""

from __future__ import annotations

import copy
import functools
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers.modular_pipelines import InputParam, ModularPipelineBlocks, OutputParam

from .policy import Attachment, DetectorSource, detector_of, quota_of
from .quota import QuotaSource
from .receipts import Receipt

if TYPE_CHECKING:
    from .mapping import FairMap

__all__ = ["FairMapBlock", "with_map"]

FOLDER = "fair_map"  # of the map, in that of a saved pipeline


class FairMapBlock(ModularPipelineBlocks):
    """Maps the prompts' embeddings; ``receipts`` tells what was done in the last call, one receipt a prompt.

    The pipeline makes the images of a prompt from one embedding, so with group shifts they get the groups of one: give
    a prompt as often as images of it are wanted. Raises ValueError as :func:`fairmapping.attach.attach` does for
    strength, quota and detector, and in the call for embeddings of another width.
    """

    def __init__(
        self,
        fair_map: FairMap,
        *,
        strength: float = 1.0,
        quota: QuotaSource | None = None,
        detector: DetectorSource = "auto",
    ) -> None:
        super().__init__()
        self.attachment = Attachment(fair_map, strength, quota_of(fair_map, quota), detector_of(fair_map, detector))

    def __deepcopy__(self, memo: dict[int, Any]) -> FairMapBlock:
        """Pipelines copy their blocks whenever they are asked for them; map, quota and receipts stay one."""
        return copy.copy(self)

    @property
    def description(self) -> str:
        return "Maps the prompts' embeddings by a fair map, where its detector says so"

    @property
    def inputs(self) -> list[InputParam]:
        embeds = InputParam("prompt_embeds", required=True, type_hint=torch.Tensor)
        return [InputParam("prompt", required=True), embeds, InputParam("pooled_prompt_embeds", type_hint=torch.Tensor)]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        names = ("prompt_embeds", "pooled_prompt_embeds")
        return [OutputParam(name, type_hint=torch.Tensor, kwargs_type="denoiser_input_fields") for name in names]

    def save_pretrained(self, save_directory: str | os.PathLike[str], **_: Any) -> None:
        """Raises TypeError: diffusers saves of a block where its code is, which brings no map back."""
        raise TypeError(
            "a FairMapBlock cannot be saved by itself; save its map "
            "(block.attachment.fair_map.save_pretrained(folder)) and make the block anew: "
            "FairMapBlock(FairMap.from_pretrained(folder))"
        )

    @property
    def receipts(self) -> list[Receipt]:
        return list(self.attachment.receipts)

    @torch.no_grad()
    def __call__(self, components: Any, state: Any) -> tuple[Any, Any]:
        block = self.get_block_state(state)
        texts = [block.prompt] if isinstance(block.prompt, str) else list(block.prompt)
        applied, cells = self.attachment.plan(texts)
        block.prompt_embeds, block.pooled_prompt_embeds = self.attachment.move(
            block.prompt_embeds, None, block.pooled_prompt_embeds, applied, cells
        )
        self.set_block_state(state, block)
        return components, state


def with_map(pipe: Any, fair_map: FairMap, **options: Any) -> Any:
    """A modular pipeline like ``pipe``, sharing its models, with a :class:`FairMapBlock` behind its text encoder.

    ``options`` are the block's. ``pipe`` itself stays as it is. Raises TypeError for a pipeline without a block
    "text_encoder".

    Its ``save_pretrained(folder)`` writes the map to ``folder/fair_map`` besides. ``ModularPipeline.from_pretrained``
    makes its blocks by the name of their class and so leaves the map out: give it to this function again.
    """
    blocks = getattr(pipe, "blocks", None)
    names = list(getattr(blocks, "sub_blocks", ()))
    if blocks is None or "text_encoder" not in names:
        found = ", ".join(names) or "none"
        raise TypeError(
            f"{type(pipe).__name__} is no modular pipeline with a block 'text_encoder' (its blocks: {found}); use "
            "attach for an ordinary pipeline, or insert a FairMapBlock behind the block that makes prompt_embeds"
        )
    blocks.sub_blocks.insert("fair_map", FairMapBlock(fair_map, **options), names.index("text_encoder") + 1)
    made = blocks.init_pipeline()
    own = {name: part for name, part in pipe.components.items() if part is not None}
    chosen = ("guider", "scheduler")  # the new pipeline makes some of its own, with settings of its own
    made.update_components(
        **{name: part for name, part in own.items() if name in chosen or getattr(made, name, None) is None}
    )
    made.__class__ = _saving_class(type(made), fair_map)
    return made


def _saving_class(cls: Any, fair_map: FairMap) -> type:
    """A subclass of the same name that saves the map beside the models, and says how to have it back."""

    @functools.wraps(cls.save_pretrained)
    def save_pretrained(self: Any, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Any:
        folder = fair_map.save_pretrained(Path(save_directory) / FOLDER)  # first, so that it is pushed with the rest
        saved = cls.save_pretrained(self, os.fspath(save_directory), *args, **kwargs)
        warnings.warn(
            f"the fair map is saved in {folder}, and ModularPipeline.from_pretrained reads the rest without it; to "
            f"have it back: with_map(pipe, FairMap.from_pretrained({str(folder)!r}), strength=..., quota=...)",
            stacklevel=2,
        )
        return saved

    names = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(cls.__name__, (cls,), names | {"save_pretrained": save_pretrained})
