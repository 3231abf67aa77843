"""The features that the embedded model's judge reads off an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fairmapping.metrics import frechet_distance
from fairmapping.portraits import judge as module
from fairmapping.portraits.judge import PortraitsJudge


@pytest.fixture(scope="module")
def judge() -> PortraitsJudge:
    return PortraitsJudge()


def noise(n: int, level: int = 255) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, level, (64, 64, 3), dtype=np.uint8)) for _ in range(n)]


def test_features_are_what_the_heads_read(judge: PortraitsJudge) -> None:
    images = noise(3)
    found = judge.features(images)
    assert (found.shape, found.dtype) == ((3, 128), np.float32)
    with torch.inference_mode():
        logits = judge.model.heads["gender"](torch.from_numpy(found))
        pixels = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images])
        _, expected = judge.model(pixels / 127.5 - 1)
    assert torch.allclose(logits, expected["gender"], atol=1e-5)


def test_features_come_in_order_whatever_the_batch(judge: PortraitsJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(5)
    whole = judge.features(images)
    monkeypatch.setattr(module, "BATCH", 2)
    assert np.allclose(judge.features(images), whole, atol=1e-5)
    assert np.allclose(judge.features([image.convert("RGBA") for image in images]), whole, atol=1e-5)
    assert judge.features([]).shape == (0, 128)


def test_images_that_differ_lie_apart(judge: PortraitsJudge) -> None:
    bright, again, dark = judge.features(noise(40)), judge.features(noise(80)[40:]), judge.features(noise(40, 60))
    assert frechet_distance(bright, dark) > 3 * frechet_distance(bright, again)


def test_only_images_have_features(judge: PortraitsJudge) -> None:
    with pytest.raises(TypeError, match="PIL images"):
        judge.features(["face.png"])  # type: ignore[list-item]
