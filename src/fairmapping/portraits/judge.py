"""The judge of the embedded model: a small classifier of its drawings, trained on renders (training/train_judge.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from fairmapping.judges import Judgement
from fairmapping.portraits import WEIGHTS

if TYPE_CHECKING:
    from PIL import Image

SIZE = 64
BATCH = 256
FEATURES = 128


class PortraitsClassifier(ModelMixin, ConfigMixin):
    """Images (B, 3, 64, 64) in [-1, 1] to logits: one for "there is a face", and one per group of each attribute."""

    @register_to_config
    def __init__(self, attributes: dict[str, list[str]], width: int = 32) -> None:
        super().__init__()

        def stage(inside: int, outside: int) -> list[nn.Module]:
            return [nn.Conv2d(inside, outside, 3, 2, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
                    nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]  # fmt: skip

        self.body = nn.Sequential(
            *stage(3, width), *stage(width, 2 * width), *stage(2 * width, 3 * width), *stage(3 * width, 4 * width)
        )
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(4 * width * 16, FEATURES), nn.ReLU())
        self.face = nn.Linear(FEATURES, 1)
        self.heads = nn.ModuleDict({name: nn.Linear(FEATURES, len(groups)) for name, groups in attributes.items()})

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(face logits (B,), attribute -> logits (B, groups))."""
        features = self.features(self.body(images))
        return self.face(features).squeeze(1), {name: head(features) for name, head in self.heads.items()}


class PortraitsJudge:
    """Judges drawings of ``portraits``: perceived gender and race, expression, and the occupation cue (the sector).

    Made for 64 x 64 drawings of this one model and for nothing else; other sizes are scaled to it. ``card`` holds its
    confusion matrices on held-out renders and on generated images whose prompt was explicit.
    Raises FileNotFoundError if ``folder`` lacks the weights.
    """

    name = "portraits"

    def __init__(self, folder: str | Path = WEIGHTS / "judge") -> None:
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder} has no weights of the judge: reinstall fairmapping, or train it (training/README.md)"
            )
        self.model = PortraitsClassifier.from_pretrained(folder).eval()
        self.attributes = {name: tuple(groups) for name, groups in self.model.config["attributes"].items()}
        card = folder / "card.json"
        self.card: dict[str, Any] = json.loads(card.read_text(encoding="utf-8")) if card.exists() else {}

    def __call__(self, images: Sequence[Image.Image]) -> list[Judgement]:
        """One judgement an image: one face or none. Raises TypeError for anything that is no PIL image."""
        judgements: list[Judgement] = []
        for start in range(0, len(images), BATCH):
            judgements += self._judged(images[start : start + BATCH])
        return judgements

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """What the judge's last layer reads of each image, face or none: (N, 128) float32, for
        :func:`fairmapping.metrics.frechet_distance`. Raises TypeError for anything that is no PIL image."""
        found = [np.zeros((0, FEATURES), np.float32)]
        for start in range(0, len(images), BATCH):
            with torch.inference_mode():
                found.append(self.model.features(self.model.body(_batch(images[start : start + BATCH]))).numpy())
        return np.concatenate(found)

    def _judged(self, images: Sequence[Image.Image]) -> list[Judgement]:
        with torch.inference_mode():
            face, logits = self.model(_batch(images))
        seen = (face > 0).tolist()
        shares = {name: values.softmax(1).tolist() for name, values in logits.items()}
        return [
            Judgement(1, {name: dict(zip(self.attributes[name], shares[name][i], strict=True)) for name in shares})
            if seen[i]
            else Judgement(0)
            for i in range(len(images))
        ]


def _batch(images: Sequence[Image.Image]) -> Tensor:
    """(B, 3, 64, 64) in [-1, 1]."""
    pixels = torch.from_numpy(np.stack([_pixels(image) for image in images])).permute(0, 3, 1, 2)
    return pixels.float() / 127.5 - 1


def _pixels(image: Image.Image) -> np.ndarray:
    """(64, 64, 3) uint8."""
    if not hasattr(image, "convert"):
        raise TypeError(f"the judge takes PIL images, not {type(image).__name__}")
    image = image.convert("RGB")
    return np.asarray(image if image.size == (SIZE, SIZE) else image.resize((SIZE, SIZE)))
