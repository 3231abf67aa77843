"""The pictures themselves: scores, distances inside a group and from a reference, held to hand counts and torchmetrics,
with real loading code on a tiny random CLIP."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_audit import by_hand

import fairmapping as fm
from fairmapping import metrics
from fairmapping.estimates import over_keywords
from fairmapping.features import features_of
from fairmapping.kid import kid
from fairmapping.quality import Quality, quality
from fairmapping.report import report
from fairmapping.results import Audit
from fairmapping.store import Place

SEED = 1  # of CLIP weights by which pictures and prompts happen to point the same way


def features(seed: int, n: int = 60, width: int = 6, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, width)).astype(np.float32)


def drawn(answers: dict[str, dict[str, str]], folder: Path, **settings: Any) -> Audit:
    """An audit whose images lie in `folder`: women reddish, men bluish, the arms of other brightness, all noisy."""
    audit = by_hand(answers, **settings)
    rng = np.random.default_rng(0)
    for row in audit.rows.itertuples():
        light = {"raw": 90, "mapped": 150}[row.arm]
        colour = [light + 60, light, light] if row.gender == "female" else [light, light, light + 60]
        path = folder / row.image
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((np.array(colour) + rng.integers(-40, 40, (8, 8, 3))).clip(0, 255).astype(np.uint8)).save(path)
    return replace(audit, path=folder)


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    raw = {"nurse": "ffffffm0", "cook": "mmmmmmff", "clerk": "fmfmfm00"}
    mapped = {"nurse": "fffffmm0", "cook": "fmmmmmff", "clerk": "fmfmfm00"}
    return drawn({"raw": raw, "mapped": mapped}, tmp_path / "run")


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    tokenizer = tiny.clip_tokenizer()
    text = {"vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 48, "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 8, "patch_size": 4}  # fmt: skip
    torch.manual_seed(SEED)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}).save_pretrained(folder)
    return folder


def colours(images: Sequence[Image.Image]) -> np.ndarray:
    return np.array([np.asarray(image).reshape(-1, 3).mean(0) for image in images])


def of(found: Quality, measure: str, what: str = "") -> Any:
    table = found.table
    return table[(table["measure"] == measure) & (table["of"] == what)].set_index("arm")


# Distances inside a set


def test_mean_distances_by_every_pair() -> None:
    vectors = features(0, n=7)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    sets = np.array([0, 0, 2, 2, 2, 2, 3])
    value, error, n = metrics.mean_distances(vectors, sets, 4)
    pairs = [1 - units[i] @ units[j] for i in range(2, 6) for j in range(i) if j >= 2]
    assert n.tolist() == [2, 0, 4, 1]
    assert value[[0, 2]] == pytest.approx([1 - units[0] @ units[1], np.mean(pairs)])
    assert np.isnan(value[[1, 3]]).all() and np.isnan(error[[0, 1, 3]]).all()
    others = [metrics.mean_distances(np.delete(units[2:6], i, 0), np.zeros(3, int), 1)[0][0] for i in range(4)]
    assert error[2] == pytest.approx(np.sqrt(3 / 4 * np.sum((others - np.mean(others)) ** 2)))
    centred = units[2:6] - units[2:6].mean(0)
    assert value[2] == pytest.approx((centred**2).sum() / 3)  # the trace of the covariance


def test_the_error_of_a_distance_is_what_drawing_again_gives() -> None:
    values, errors = [], []
    for seed in range(300):
        value, error, _ = metrics.mean_distances(features(seed, n=20) + 1, np.zeros(20, int), 1)
        values.append(value[0])
        errors.append(error[0])
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_means_over_few_and_over_many_keywords() -> None:
    few = over_keywords(np.array([0.4, 0.6]), np.array([0.01, 0.01]))
    assert (few.value, few.n) == (0.5, 2)
    assert few.low <= 0.42 and few.high >= 0.58  # the keywords differ more than their errors
    one = over_keywords(np.array([0.4]), np.array([0.1]))
    assert (one.low, one.high) == (pytest.approx(0.2, abs=0.02), pytest.approx(0.6, abs=0.02))
    assert np.isnan(over_keywords(np.array([0.4]), np.array([np.nan])).low)
    many = np.linspace(0, 1, 20)
    assert over_keywords(many, many) == metrics.bootstrap_mean(many)
    assert metrics.mean_distances(np.array([[1.0, 0], [0, 0], [2, 0]]), np.zeros(3, int), 1)[0] == pytest.approx(2 / 3)


# KID and FID


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save:UserWarning")
def test_kid_is_torchmetrics_on_blocks_and_unbiased() -> None:
    import torch
    from torchmetrics.image.kid import KernelInceptionDistance

    class Identity(torch.nn.Module):
        num_features = 6

        def forward(self, x: Any) -> Any:
            return x

    x, y = features(0, n=400), features(1, n=400, shift=0.4)
    metric = KernelInceptionDistance(feature=Identity(), subsets=40, subset_size=200)
    metric.update(torch.from_numpy(y), real=True)
    metric.update(torch.from_numpy(x), real=False)
    found = kid(x, y)
    assert found.low < float(metric.compute()[0]) < found.high
    assert found.n == 400
    same = [kid(features(seed, n=60), features(seed + 1000, n=60)) for seed in range(100)]
    assert abs(np.mean([one.value for one in same])) < 0.03
    assert np.mean([one.low <= 0 <= one.high for one in same]) > 0.88


def test_kid_of_pairs_and_what_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, before = features(0, n=300), features(1, n=300, shift=0.5)
    nearer = kid(before - 0.3, reference, before=before)
    assert nearer.high < 0
    assert nearer.value == pytest.approx(kid(before - 0.3, reference).value - kid(before, reference).value)
    with pytest.raises(ValueError, match="needs 20 images"):
        kid(features(0, n=19), reference)
    monkeypatch.setitem(sys.modules, "torchmetrics.image.kid", None)
    with pytest.raises(ModuleNotFoundError, match=re.escape("fairmapping[quality]")):
        kid(before, reference)


def test_the_frechet_distance_is_torchmetrics() -> None:
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Identity(torch.nn.Module):
        num_features = 6

        def forward(self, x: Any) -> Any:
            return x

    x, y = features(0, n=400), features(1, n=300, shift=0.4)
    metric = FrechetInceptionDistance(feature=Identity())
    metric.update(torch.from_numpy(y), real=True)
    metric.update(torch.from_numpy(x), real=False)
    assert metrics.frechet_distance(x, y) == pytest.approx(float(metric.compute()), rel=1e-4)


# Features of many images


def test_features_are_kept_and_an_interrupted_call_goes_on(audit: Audit, tmp_path: Path, monkeypatch: Any) -> None:
    from fairmapping import features as module

    monkeypatch.setattr(module, "BLOCK", 10)
    assert audit.path is not None
    place, files = Place(audit.path), list(audit.rows["image"])
    seen: list[int] = []

    def counted(images: Sequence[Image.Image]) -> np.ndarray:
        if len(seen) == 3:
            seen.clear()
            raise KeyboardInterrupt
        seen.append(len(images))
        return colours(images)

    options: dict[str, Any] = {"name": "x", "cache": Place(tmp_path / "kept"), "batch_size": 5, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        features_of(counted, place, files, **options)
    assert len(list((tmp_path / "kept/features").iterdir())) == 1  # one block of ten was done, half of the next is lost
    seen.extend([0] * 9)
    found = features_of(counted, place, files, **options)
    assert sum(seen) == len(files) - 10
    np.testing.assert_allclose(found, colours([place.image(file) for file in files]), rtol=1e-6)
    seen.clear()
    features_of(counted, place, files, **options)
    assert not seen
    Image.new("RGB", (8, 8), "red").save(audit.path / files[0])
    assert features_of(counted, place, files, **options)[0].tolist() == [255, 0, 0]
    assert sum(seen) == 10


@pytest.mark.parametrize("wrong", [np.zeros(4), np.zeros((3, 2)), np.full((4, 2), np.nan)])
def test_an_extractor_must_give_one_row_an_image(wrong: np.ndarray, audit: Audit) -> None:
    assert audit.path is not None
    place, files = Place(audit.path), list(audit.rows["image"][:4])
    with pytest.raises(ValueError, match="one row an image"):
        features_of(lambda images: wrong, place, files, name="x", progress=False)
    assert features_of(colours, place, [], name="x", progress=False).shape == (0, 0)
    with pytest.raises(ValueError, match="batch_size"):
        features_of(colours, place, files, name="x", batch_size=0)


# Of an audit


def test_distances_inside_groups_by_hand(audit: Audit) -> None:
    found = quality(audit, features=colours, progress=False)
    assert audit.path is not None
    rows = audit.rows[(audit.rows["arm"] == "raw") & (audit.rows["gender"] == "female")]
    expected = []
    for _, part in rows.groupby("keyword"):
        vectors = colours([Image.open(audit.path / image) for image in part["image"]])
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        n = len(units)
        expected.append(1 - ((units @ units.T).sum() - n) / (n * (n - 1)))
    line = of(found, "within_group", "gender: female").loc["raw"]
    assert line["value"] == pytest.approx(np.mean(expected), rel=1e-4)
    assert (line["n"], line["low"] <= line["value"] <= line["high"]) == (11, True)
    whole = of(found, "within_keyword")
    assert whole["value"]["raw"] > line["value"]  # a keyword of both groups is less alike than one of them
    assert whole["value"]["difference"] == pytest.approx(whole["value"]["mapped"] - whole["value"]["raw"])
    assert set(found.table["measure"]) == {"within_keyword", "within_group"}
    assert (found.settings["features"], found.settings["width"]) == ("colours", 3)


def test_clip_scores_are_hessels_and_paired_on_seeds(audit: Audit, clip_folder: Path) -> None:
    from fairmapping.clip import Clip

    found = quality(audit, clip=clip_folder, progress=False)
    model = Clip(clip_folder)
    assert audit.path is not None
    images = model.images([Image.open(audit.path / image).convert("RGB") for image in audit.rows["image"]])
    for measure, text in (("clip_score", audit.rows["prompt"]), ("human_clip", ["a a person"] * len(audit.rows))):
        words = model.texts(list(text))
        cosine = (images * words).sum(1) / np.linalg.norm(images, axis=1) / np.linalg.norm(words, axis=1)
        scores = audit.rows.assign(score=2.5 * np.maximum(cosine, 0))
        mean = scores.groupby(["arm", "keyword"])["score"].mean().groupby("arm").mean()
        line = of(found, measure)
        assert line["value"]["raw"] == pytest.approx(mean["raw"], rel=1e-4)
        assert line["value"]["difference"] == pytest.approx(mean["mapped"] - mean["raw"], abs=1e-5)
        assert line["value"]["raw"] > 0.01
        assert line["n"].tolist() == [24, 24, 24]
        assert ((line["low"] <= line["value"]) & (line["value"] <= line["high"])).all()
    assert found.settings["clip"] == str(clip_folder)
    assert found.table.equals(quality(audit, clip=model, progress=False).table)  # the second time from what was kept


def test_a_prompt_without_a_template_has_no_human_clip(audit: Audit, clip_folder: Path) -> None:
    plain = replace(audit, rows=audit.rows.assign(template=""))
    assert "human_clip" not in set(quality(plain, clip=clip_folder, progress=False).table["measure"])


def test_distances_from_a_reference(audit: Audit, tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    rng = np.random.default_rng(1)
    reference.mkdir()
    for index in range(24):
        light = 150 + 60 * np.array([index % 2, 0, 1 - index % 2])
        picture = (light + rng.integers(-40, 40, (8, 8, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(reference / f"{index}.png")
    found = quality(audit, features=lambda images: colours(images) / 255, reference=reference, progress=False)
    for measure in ("fid", "kid"):
        line = of(found, measure)
        assert line["value"]["mapped"] < line["value"]["raw"]
        assert line["high"]["difference"] < 0  # as light as the reference
    assert of(found, "fid")["value"]["difference"] == pytest.approx(
        of(found, "fid")["value"]["mapped"] - of(found, "fid")["value"]["raw"]
    )
    assert "biased upwards" in found.notes[0]
    (reference / "0.png").unlink()
    for index in range(1, 10):
        (reference / f"{index}.png").unlink()
    with pytest.raises(ValueError, match="14 reference images and 24 images"):
        quality(audit, features=colours, reference=reference, progress=False)


def test_what_has_no_quality(audit: Audit, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing here reads features of the images of by hand"):
        quality(audit)
    with pytest.raises(ValueError, match="never saved"):
        quality(replace(audit, path=None))
    with pytest.raises(FileNotFoundError, match="is no folder"):
        quality(audit, features=colours, reference=tmp_path / "gone")
    with pytest.raises(ValueError, match="no neutral prompts"):
        quality(replace(audit, rows=audit.rows.assign(groups=[(("gender", "female"),)] * len(audit.rows))))
    with pytest.raises(OSError):
        quality(audit, clip=tmp_path / "no-model")


def test_the_embedded_models_judge_gives_its_features_and_the_report_shows_them(tmp_path: Path) -> None:
    audit = drawn({"raw": {"nurse": "ffmm", "cook": "fmmm"}}, tmp_path, model={"name": "portraits", "pipeline": "x"})
    found = fm.quality(audit, progress=False)
    assert found.settings == {
        "features": "portraits judge", "width": 128, "clip": None, "reference": None, "audit": audit.settings["created"]
    }  # fmt: skip
    found.save(tmp_path)
    again = Quality.load(tmp_path)
    assert again.settings == found.settings
    np.testing.assert_allclose(again.table["value"], found.table["value"])
    page = report(audit, tmp_path / "report.html").read_text()
    assert "The pictures themselves" in page
    assert "two images of one keyword, perceived female" in page
    other = Audit(audit.rows, audit.settings | {"created": "2020-01-01T00:00:00+00:00"}, tmp_path)
    assert "The pictures themselves" not in report(other, tmp_path / "other.html").read_text()


def test_the_command_measures_saves_and_says_what_is_wrong(audit: Audit, clip_folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from fairmapping.cli import app

    assert audit.path is not None
    audit.save(audit.path)
    done = CliRunner().invoke(app, ["quality", str(audit.path), "--clip", str(clip_folder), "--batch-size", "7"])
    assert done.exit_code == 0, done.output
    for figure in ("clip_score", "human_clip", "within_keyword", "female"):
        assert figure in done.output
    assert set(Quality.load(audit.path).table["arm"]) == {"raw", "mapped", "difference"}
    assert len(list((audit.path / "features").glob("*.npy"))) == 1
    for options in (["--reference", str(tmp_path / "gone")], ["--clip", str(tmp_path / "gone")], []):
        wrong = CliRunner().invoke(app, ["quality", str(audit.path), *options])
        assert wrong.exit_code == 2
        assert "Error:" in wrong.output
    Image.new("RGB", (8, 8)).save(audit.path / "x.png")
    (audit.path / audit.rows["image"][0]).write_bytes(b"no image")
    wrong = CliRunner().invoke(app, ["quality", str(audit.path), "--clip", str(clip_folder)])
    assert "is no readable image" in " ".join(wrong.output.split())


def test_audit_prints_how_many_keywords_changed(capsys: pytest.CaptureFixture[str]) -> None:
    from fairmapping.cli.printing import print_audit

    print_audit(by_hand({"raw": {"nurse": "f" * 20, "cook": "mmmf"}, "mapped": {"nurse": "m" * 20, "cook": "mmff"}}))
    assert "gender: 1 of 2 keywords changed measurably, after Holm's correction" in capsys.readouterr().out
    print_audit(by_hand({"raw": {"nurse": "ff"}}))
    assert "changed measurably" not in capsys.readouterr().out
