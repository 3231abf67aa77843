"""FairFace and CLIP on tiny models with random weights, made by configuration and loaded from a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny import make_sd
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from fairmapping import Attribute, Group
from fairmapping.judges import Judge, faces, load_judge
from fairmapping.judges.clip import ClipJudge
from fairmapping.judges.fairface import GROUPS, FairFaceJudge, from_torchvision


@pytest.fixture
def two_faces(monkeypatch: pytest.MonkeyPatch) -> Image.Image:
    """A picture in which the detector finds two faces, and none in any other."""
    image = Image.radial_gradient("L").convert("RGB")
    found = [faces.Face(0.9, (40, 40, 160, 180)), faces.Face(0.8, (180, 100, 240, 170))]
    monkeypatch.setattr(faces, "find_faces", lambda picture, threshold: found if picture.size == image.size else [])
    return image


def vit(folder: Path, labels: list[str], seed: int = 0) -> str:
    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def test_one_model_of_all_groups(tmp_path: Path, two_faces: Image.Image) -> None:
    labels = [group for groups in GROUPS.values() for group in groups]
    judge = load_judge(f"fairface={vit(tmp_path, labels)}")
    assert isinstance(judge, Judge)
    assert judge.attributes == GROUPS
    both, nobody = judge([two_faces, Image.new("RGB", (9, 9))])
    assert (both.faces, nobody.faces, len(both.others)) == (2, 0, 1)
    for face in (both.probabilities, *both.others):
        assert {name: sum(shares.values()) for name, shares in face.items()} == pytest.approx(
            dict.fromkeys(GROUPS, 1.0)
        )
    assert both.probabilities != both.others[0]


def test_models_of_one_attribute_each_with_the_spellings_of_the_hub(tmp_path: Path, two_faces: Image.Image) -> None:
    gender = vit(tmp_path / "g", ["Female", "Male"])
    race = vit(
        tmp_path / "r",
        ["White", "Latino_Hispanic", "East Asian", "Black", "Indian", "Middle Eastern", "Southeast Asian"],
    )
    age = vit(tmp_path / "a", [*GROUPS["age"][:-1], "more than 70"])
    judge = FairFaceJudge(f"{gender},{race},{age}")
    assert judge.attributes["gender"] == ("female", "male")
    assert set(judge.attributes["race"]) == set(GROUPS["race"])
    assert judge.attributes["age"] == GROUPS["age"]
    assert set(judge([two_faces])[0].probabilities) == set(GROUPS)
    with pytest.raises(ValueError, match="two of the models"):
        FairFaceJudge([gender, gender])


class Block(nn.Module):
    """A basic block of torchvision's ResNet, by its names (He et al., CVPR 2016)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class ResNet34(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        wide = [64, 64, 128, 256, 512]
        for stage, depth in enumerate([3, 4, 6, 3], 1):
            first = Block(wide[stage - 1], wide[stage], 1 if stage == 1 else 2)
            setattr(
                self,
                f"layer{stage}",
                nn.Sequential(first, *(Block(wide[stage], wide[stage], 1) for _ in range(depth - 1))),
            )
        self.fc = nn.Linear(512, 18)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def test_the_authors_network_gives_what_torchvision_gives(tmp_path: Path, two_faces: Image.Image) -> None:
    torch.manual_seed(0)
    reference = ResNet34().eval()
    save_file(reference.state_dict(), tmp_path / "fairface.safetensors")
    judge = FairFaceJudge(str(tmp_path / "fairface.safetensors"))
    assert judge.attributes == GROUPS
    assert judge([two_faces])[0].faces == 2
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(judge.models[0][0](images).logits, reference(images), atol=1e-4)
    with pytest.raises(ValueError, match="not the weights of FairFace"):
        from_torchvision({"conv1.weight": torch.zeros(64, 3, 7, 7)})


def test_fairface_without_usable_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no weights of its own"):
        load_judge("fairface")
    with pytest.raises(ValueError, match="'cat'"):
        FairFaceJudge(vit(tmp_path / "cats", ["cat", "dog"]))
    with pytest.raises(FileNotFoundError, match="no file"):
        FairFaceJudge(str(tmp_path / "absent.safetensors"))
    pickled = Path(vit(tmp_path / "pickled", ["male", "female"]))
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(OSError, match="safetensors"):
        FairFaceJudge(str(pickled))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = make_sd().tokenizer
    text = {"vocab_size": len(tokenizer), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 48, "eos_token_id": tokenizer.eos_token_id}  # fmt: skip
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_clip_reads_any_attribute_in_words(clip: str, two_faces: Image.Image) -> None:
    judge = ClipJudge(clip, {"glasses": {"yes": ["a person with glasses", "glasses"], "no": ["a person"]}})
    assert isinstance(judge, Judge)
    both, nobody = judge([two_faces, Image.new("RGB", (9, 9))])
    assert (both.faces, nobody.faces) == (2, 0)
    assert sum(both.probabilities["glasses"].values()) == pytest.approx(1)
    assert json.dumps(judge.card)


def test_clip_by_name_asks_the_packaged_attributes(clip: str) -> None:
    judge = load_judge(f"clip={clip}")
    assert set(judge.attributes) == {"gender", "race"}
    assert "a photo of a female person" in judge.card["texts"]["gender"]["female"]


def test_clip_agrees_with_its_own_model(clip: str, two_faces: Image.Image) -> None:
    """One text a group and one face: the softmax of the logits that CLIPModel gives itself."""
    texts = ["a tall person", "a short person"]
    judge = ClipJudge(clip, {"height": {"tall": texts[:1], "short": texts[1:]}})
    left, top, right, bottom = (40 - 72, 40 - 84, 160 + 72, 180 + 84)
    crop = two_faces.crop((max(0, left), max(0, top), min(256, right), min(256, bottom)))
    tokens = make_sd().tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        own = judge.model(**tokens, **judge.processor(images=[crop], return_tensors="pt")).logits_per_image.softmax(1)[
            0
        ]
    assert list(judge([two_faces])[0].probabilities["height"].values()) == pytest.approx(own.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "attributes", [{}, [], {"glasses": {"yes": ["glasses"]}}, {"glasses": {"yes": ["a"], "no": []}}]
)
def test_clip_without_words_is_refused(clip: str, attributes: Any) -> None:
    with pytest.raises(ValueError, match="attribute"):
        ClipJudge(clip, attributes)


def test_clip_takes_attributes_as_the_rest_of_the_package_does(clip: str) -> None:
    height = Attribute("height", (Group("tall", ("tall",)), Group("short", ("short",))))
    assert ClipJudge(clip, [height, "gender"]).attributes["height"] == ("tall", "short")
