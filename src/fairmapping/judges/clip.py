"""A judge of any attribute that can be put into words: CLIP asked which of the groups' texts a face is nearest to
(zero-shot classification; Radford et al., ICML 2021, section 3.1).

CLIP was learnt from pictures and captions of the web, and its stereotypes with them: it may call a nurse female for
the uniform. Make a card on pictures of yours before you believe it (docs/judges.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..prompts import Attribute, resolve_attributes, with_article
from . import Judgement, need_photo
from .faces import Face, judge_faces

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ClipJudge"]

DEFAULT_MODEL = "openai/clip-vit-large-patch14"
TEMPLATES = ("a photo of {}", "a portrait of {}", "a close-up photo of the face of {}")
MARGIN = 0.6  # of the face's size, on every side: hair and shoulders, as in the pictures that captions describe


class ClipJudge:
    """Judges every face by the groups of `attributes`: packaged names ("gender"), :class:`fairmapping.Attribute`, or
    attribute -> group -> texts, as in {"glasses": {"yes": ["a person with glasses"], "no": ["a person"]}}.

    source: a folder or hub id of a CLIP model with safetensors. The texts of a group are averaged after they are
    embedded. Raises ValueError for no attributes or a group without texts; OSError for weights that are not there.
    """

    name = "clip"

    def __init__(
        self,
        source: str = DEFAULT_MODEL,
        attributes: Sequence[str | Attribute] | Mapping[str, Mapping[str, Sequence[str]]] = ("gender", "race"),
        *,
        threshold: float | None = None,
    ) -> None:
        from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

        need_photo("clip finds faces as the judge of photographs does")
        texts = _texts(attributes)
        self.attributes = {name: tuple(groups) for name, groups in texts.items()}
        self.model = CLIPModel.from_pretrained(source, use_safetensors=True).eval()
        self.processor: Any = AutoImageProcessor.from_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(source)
        self.directions = {
            name: torch.stack([self._embedded(tokenizer, words) for words in groups.values()])
            for name, groups in texts.items()
        }
        self.threshold = threshold
        self.card: dict[str, Any] = {
            "domain": f"photographs of faces, by {source} without training; not measured here: make a card",
            "caution": "It reads what captions of the web call such pictures, their stereotypes included.",
            "texts": texts,
        }

    def __call__(self, images: Sequence[Image.Image]) -> list[Judgement]:
        """Raises TypeError for anything that is no PIL image."""
        return judge_faces(images, self._read, self.threshold)

    def _read(self, image: Image.Image, faces: Sequence[Face]) -> list[dict[str, dict[str, float]]]:
        crops = [image.crop(_around(face, image.size)) for face in faces]
        with torch.inference_mode():
            seen = _unit(self.model.get_image_features(**self.processor(images=crops, return_tensors="pt")))
            scale = self.model.logit_scale.exp()
            shares = {name: (scale * seen @ words.T).softmax(1).tolist() for name, words in self.directions.items()}
        return [
            {name: dict(zip(self.attributes[name], shares[name][i], strict=True)) for name in shares}
            for i in range(len(faces))
        ]

    def _embedded(self, tokenizer: Any, texts: Sequence[str]) -> Tensor:
        """The direction of a group: (D,) of length 1."""
        with torch.inference_mode():
            tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
            return _unit(_unit(self.model.get_text_features(**tokens)).mean(0))


def _texts(
    attributes: Sequence[str | Attribute] | Mapping[str, Mapping[str, Sequence[str]]],
) -> dict[str, dict[str, list[str]]]:
    if isinstance(attributes, Mapping):
        found = {name: {group: list(texts) for group, texts in groups.items()} for name, groups in attributes.items()}
    else:
        found = {
            attribute.name: {
                group.name: [template.format(with_article(f"{group.words[0]} person")) for template in TEMPLATES]
                for group in attribute.groups
            }
            for attribute in resolve_attributes(attributes)
        }
    bad = [name for name, groups in found.items() if len(groups) < 2 or not all(groups.values())]
    if bad or not found:
        raise ValueError(f"clip needs attributes with two groups or more, each with texts; {bad or 'none'} has not")
    return found


def _around(face: Face, size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = face.box
    wide, high = MARGIN * (right - left), MARGIN * (bottom - top)
    right, bottom = min(size[0], int(right + wide)), min(size[1], int(bottom + high))
    return max(0, int(left - wide)), max(0, int(top - high)), int(right), int(bottom)


def _unit(features: Any) -> Tensor:
    """Rows of length 1. transformers 5 wraps what its version 4 returned as it was."""
    values: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    return values / values.norm(dim=-1, keepdim=True)
