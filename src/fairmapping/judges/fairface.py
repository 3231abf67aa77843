"""A judge of the groups of FairFace: seven races, two genders, nine age groups (Karkkainen and Joo, WACV 2021).

No weights come with the package. Give a folder or hub id of a transformers image-classification model whose labels
are FairFace's (several models, one for each attribute, separated by commas), or the authors' own ResNet-34 as one
safetensors file; docs/judges.md says how to make that from what they publish. Pickles are never loaded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import Judgement, need_photo
from .faces import Face, judge_faces, upright

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["GROUPS", "FairFaceJudge", "from_torchvision"]

GROUPS = {
    "race": ("white", "black", "latino", "east asian", "southeast asian", "indian", "middle eastern"),
    "gender": ("male", "female"),
    "age": ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"),
}  # in the order of the authors' 18 outputs
_SPELT = {"latino hispanic": "latino", "hispanic": "latino", "more than 70": "70+", "man": "male", "woman": "female"}
_FACE_SIZE, _PADDING = 300, 0.25  # how the authors cut a face out (predict.py of their repository)


class FairFaceJudge:
    """Perceived race, gender and age group of every face, by the models given.

    Raises ValueError for no source, or a model with labels that are not FairFace's; OSError for weights that are not
    there or are no safetensors.
    """

    name = "fairface"

    def __init__(self, source: str | Sequence[str] = "", *, threshold: float | None = None) -> None:
        need_photo("fairface finds faces as the judge of photographs does")
        sources = source.split(",") if isinstance(source, str) else list(source)
        if not all(sources):
            raise ValueError(
                "fairface has no weights of its own: give --judge fairface=FOLDER_OR_HUB_ID, or FairFaceJudge(source); "
                "docs/judges.md says where they are"
            )
        self.models = [_load(one.strip()) for one in sources]
        self.attributes: dict[str, tuple[str, ...]] = {}
        for _, _, places in self.models:
            for attribute in places:
                if attribute in self.attributes:
                    raise ValueError(f"two of the models of fairface read {attribute}: give one for each attribute")
                self.attributes[attribute] = tuple(places[attribute])
        self.threshold = threshold
        self.card: dict[str, Any] = {
            "domain": f"photographs of faces, by the models {', '.join(sources)}; not measured here: make a card",
            "caution": "It reads perceived race, gender and age; its seven races are the ones that its authors chose.",
        }

    def __call__(self, images: Sequence[Image.Image]) -> list[Judgement]:
        """Raises TypeError for anything that is no PIL image."""
        return judge_faces(images, self._read, self.threshold)

    def _read(self, image: Image.Image, faces: Sequence[Face]) -> list[dict[str, dict[str, float]]]:
        chips = [upright(image, face, _FACE_SIZE, _PADDING) for face in faces]
        found: list[dict[str, dict[str, float]]] = [{} for _ in faces]
        for model, processor, places in self.models:
            with torch.inference_mode():
                logits = model(**processor(images=chips, return_tensors="pt")).logits
            for attribute, groups in places.items():
                shares = logits[:, list(groups.values())].softmax(1).tolist()
                for face, row in zip(found, shares, strict=True):
                    face[attribute] = dict(zip(groups, row, strict=True))
        return found


def from_torchvision(state: dict[str, torch.Tensor]) -> Any:
    """The authors' ResNet-34 (torchvision's names, 18 outputs) as a transformers model, in evaluation mode.

    Raises ValueError where the tensors are not those of that network.
    """
    from transformers import ResNetConfig, ResNetForImageClassification

    labels = [group for groups in GROUPS.values() for group in groups]
    config = ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[3, 4, 6, 3], layer_type="basic",
        id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    model = ResNetForImageClassification(config).eval()
    try:
        model.load_state_dict({_renamed(name): value for name, value in state.items()})
    except RuntimeError as error:
        raise ValueError(f"these are not the weights of FairFace's ResNet-34: {str(error)[:300]}") from error
    return model


def _renamed(name: str) -> str:
    """torchvision's name of a tensor of a ResNet -> that of transformers."""
    name = re.sub(r"^conv1\.", "resnet.embedder.embedder.convolution.", name)
    name = re.sub(r"^bn1\.", "resnet.embedder.embedder.normalization.", name)
    name = re.sub(r"^fc\.", "classifier.1.", name)
    block = re.match(r"layer(\d)\.(\d+)\.(.*)", name)
    if not block:
        return name
    stage, layer, rest = int(block[1]) - 1, block[2], block[3]
    rest = re.sub(r"^conv(\d)\.", lambda found: f"layer.{int(found[1]) - 1}.convolution.", rest)
    rest = re.sub(r"^bn(\d)\.", lambda found: f"layer.{int(found[1]) - 1}.normalization.", rest)
    rest = rest.replace("downsample.0.", "shortcut.convolution.").replace("downsample.1.", "shortcut.normalization.")
    return f"resnet.encoder.stages.{stage}.layers.{layer}.{rest}"


def _load(source: str) -> tuple[Any, Any, dict[str, dict[str, int]]]:
    """(model, processor, attribute -> group -> which of its outputs)."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification, ViTImageProcessor

    if source.endswith(".safetensors"):
        from safetensors.torch import load_file

        if not Path(source).is_file():
            raise FileNotFoundError(f"there is no file {source}")
        model: Any = from_torchvision(load_file(source))
        mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        processor: Any = ViTImageProcessor(size={"height": 224, "width": 224}, image_mean=mean, image_std=std)
    else:
        model = AutoModelForImageClassification.from_pretrained(source, use_safetensors=True).eval()
        processor = AutoImageProcessor.from_pretrained(source)
    places: dict[str, dict[str, int]] = {}
    for index, label in model.config.id2label.items():
        group = " ".join(re.sub(r"[_/]", " ", str(label)).lower().split())
        group = _SPELT.get(group, group)
        attribute = next((name for name, groups in GROUPS.items() if group in groups), None)
        if attribute is None:
            raise ValueError(
                f"{source} has the label {label!r}, which is none of FairFace's: "
                + "; ".join(f"{name}: {', '.join(groups)}" for name, groups in GROUPS.items())
            )
        places.setdefault(attribute, {})[group] = int(index)
    return model, processor, places
