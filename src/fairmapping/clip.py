"""A CLIP model from the hub or a folder: images and texts to embeddings in one space."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Clip"]


class Clip:
    """source: a folder or hub id of a CLIP model with safetensors, such as "openai/clip-vit-large-patch14". It runs on
    `device`, in float32. Raises OSError where there are no such weights."""

    def __init__(self, source: str | os.PathLike[str], device: str | None = None) -> None:
        from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

        self.name = os.fspath(source)
        self.model: Any = CLIPModel.from_pretrained(source, use_safetensors=True).eval().to(device or "cpu")
        self.processor: Any = AutoImageProcessor.from_pretrained(source)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(source)

    @torch.inference_mode()
    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(N, D) float32, as long as the model makes them."""
        pixels = self.processor(images=list(images), return_tensors="pt").to(self.model.device)
        return _plain(self.model.get_image_features(**pixels))

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D) float32; texts are cut at the model's length, mostly 77 tokens."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.model.device)
        return _plain(self.model.get_text_features(**tokens))


def _plain(features: Any) -> np.ndarray:
    """transformers 5 wraps what its version 4 returned as it was."""
    values = features if isinstance(features, torch.Tensor) else features.pooler_output
    return values.float().cpu().numpy()
