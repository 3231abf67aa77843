"""The map itself: what strength, padding, dtypes and devices do to it; saving, reading and refusing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from fairmapping.mapping import SCHEMA_VERSION, FairMap, MapConfig, model_card
from fairmapping.shifts import GroupShifts

FINGERPRINT = {"encoders": ["BertModel"], "width": 6, "pooled_width": 4, "probe": [1.0, -2.0, 0.5]}
FINGERPRINT |= {"pooled_probe": [3.0, -1.0]}
CONFIG = MapConfig(
    encoder=FINGERPRINT,
    attributes={"gender": {"female": "female", "male": "male"}, "age": {"old": "elderly", "young": "young"}},
    keywords=["doctor", "nurse"],
    held_out=["judge"],
    templates=["a portrait of {}"],
    solver="exact",
    distance="pooled",
    weight=0.6,
    loss=0.25,
    bias_before={"gender": 0.1, "age": 0.2},
    bias_after={"gender": 0.01, "age": 0.02},
    held_out_bias_before={"gender": 0.11, "age": 0.21},
    held_out_bias_after={"gender": 0.03, "age": 0.04},
    relative_change=0.05,
    held_out_relative_change=0.06,
    versions={"fairmapping": "0.1.0"},
)


@pytest.fixture
def fair_map() -> FairMap:
    generator = torch.Generator().manual_seed(0)
    return FairMap(
        torch.eye(6) + 0.1 * torch.randn(6, 6, generator=generator),
        torch.randn(6, generator=generator),
        pooled_weight=torch.eye(4) + 0.1 * torch.randn(4, 4, generator=generator),
        pooled_bias=torch.randn(4, generator=generator),
        config=CONFIG,
    )


def embeddings(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def test_rows_are_multiplied_from_the_left(fair_map: FairMap) -> None:
    x = embeddings(2, 3, 6)
    expected = torch.stack([torch.stack([row @ fair_map.weight + fair_map.bias for row in prompt]) for prompt in x])
    torch.testing.assert_close(fair_map(x), expected)
    pooled = embeddings(2, 4)
    torch.testing.assert_close(
        fair_map.map_pooled(pooled), torch.nn.functional.linear(pooled, fair_map.pooled_weight.mT, fair_map.pooled_bias)
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_strength_zero_is_the_identity_bit_for_bit(fair_map: FairMap, dtype: torch.dtype) -> None:
    x, pooled = embeddings(2, 5, 6, dtype=dtype), embeddings(2, 4, dtype=dtype)
    assert torch.equal(fair_map(x, None, 0.0), x)
    assert torch.equal(fair_map.map_pooled(pooled, 0.0), pooled)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_identity_map_is_exact_in_every_dtype(dtype: torch.dtype) -> None:
    x = embeddings(2, 5, 6, dtype=dtype)
    assert torch.equal(FairMap.identity(6)(x), x)


def test_strength_moves_along_a_line(fair_map: FairMap) -> None:
    x = embeddings(2, 5, 6)
    for strength in (0.25, 0.5, 2.0, -1.0):
        torch.testing.assert_close(fair_map(x, None, strength), x + strength * (fair_map(x) - x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_output_has_the_dtype_of_the_input(fair_map: FairMap, dtype: torch.dtype) -> None:
    x = embeddings(2, 5, 6, dtype=dtype)
    mapped = fair_map(x)
    assert mapped.dtype == dtype
    torch.testing.assert_close(mapped.double(), fair_map(x.double()), atol=4 * torch.finfo(dtype).eps + 1e-6, rtol=0.02)
    assert fair_map.map_pooled(embeddings(2, 4, dtype=dtype)).dtype == dtype


def test_the_map_follows_the_device_of_its_input(fair_map: FairMap) -> None:
    x = torch.empty(2, 5, 6, device="meta")
    assert FairMap(fair_map.weight)(x).device.type == "meta"
    assert FairMap(fair_map.weight, pooled_weight=torch.eye(4)).map_pooled(x[:, 0, :4]).device.type == "meta"


def test_zero_padding_stays_zero_and_other_padding_is_mapped(fair_map: FairMap) -> None:
    x = embeddings(2, 5, 6)
    x[0, 3:] = 0
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], dtype=torch.bool)
    for mapped in (fair_map(x), fair_map(x, mask)):
        assert not mapped[0, 3:].any()
        torch.testing.assert_close(mapped[1], x[1] @ fair_map.weight + fair_map.bias)
    # A row of text that happens to be all zero is text all the same.
    assert torch.equal(fair_map(x, torch.ones(2, 5, dtype=torch.bool))[0, 4], fair_map.bias)


def test_without_a_pooled_part_pooled_embeddings_pass() -> None:
    pooled = embeddings(2, 9)
    assert FairMap.identity(6).map_pooled(pooled) is pooled
    assert FairMap.identity(6).pooled_width is None
    assert FairMap.identity(6, 4).pooled_width == 4


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 3, 5), r"shape \(2, 3, 5\); the map takes floats \(..., 6\)"),
        (torch.zeros(2, 3, 6, dtype=torch.int64), "int64"),
        (torch.tensor(1.0), "shape"),
    ],
)
def test_wrong_input_is_refused(x: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FairMap.identity(6)(x)


@pytest.mark.parametrize("strength", [float("nan"), float("inf")])
def test_strength_must_be_a_number(strength: float) -> None:
    with pytest.raises(ValueError, match="strength is"):
        FairMap.identity(6)(torch.zeros(1, 6), None, strength)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": torch.zeros(3, 4)}, r"weight has shape \(3, 4\); a square matrix"),
        ({"weight": torch.zeros(0, 0)}, "square matrix"),
        ({"weight": torch.eye(3), "bias": torch.zeros(4)}, r"bias has shape \(4,\); \(3,\) is needed"),
        ({"weight": torch.eye(3), "pooled_bias": torch.zeros(4)}, "give both or neither"),
        ({"weight": torch.full((3, 3), torch.nan)}, "not finite"),
        ({"weight": torch.eye(3), "pooled_weight": torch.eye(2, dtype=torch.int64)}, "pooled_weight"),
    ],
)
def test_wrong_tensors_are_refused(arguments: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FairMap(**arguments)


def test_saving_and_reading_gives_the_same_map(fair_map: FairMap, tmp_path: Path) -> None:
    folder = fair_map.save_pretrained(tmp_path / "new" / "map")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "detector.json",
        "lexicon.json.gz",
        "model.safetensors",
    ]
    again = FairMap.from_pretrained(folder)
    assert again.config == fair_map.config
    for name, tensor in fair_map.named_buffers():
        assert torch.equal(again.get_buffer(name), tensor)
    again.save_pretrained(folder)  # over itself
    FairMap.identity(3).save_pretrained(folder)  # and over another
    assert FairMap.from_pretrained(str(folder)).width == 3


def test_the_card_tells_figures_keywords_and_caution(fair_map: FairMap, tmp_path: Path) -> None:
    text = (fair_map.save_pretrained(tmp_path) / "README.md").read_text(encoding="utf-8")
    assert text == model_card(fair_map.config, fair_map.width, fair_map.pooled_width)
    for part in (
        "For BertModel, embeddings 6 wide, pooled embeddings 4 wide",
        "| gender | fitted | 2 | 0.1000 | 0.0100 |",
        "| age | held out | 1 | 0.2100 | 0.0400 |",
        "5.0% away from the originals on average (6.0% on held-out keywords)",
        "- 2 fitted keywords: doctor, nurse",
        "- 1 held-out: judge",
        "- age: old (elderly), young",
        "audit the images too",
        "- weight: 0.6",
    ):
        assert part in text
    assert "Language bias" not in model_card(MapConfig(), 2, None)


def test_a_torn_save_is_never_taken_for_a_map(
    fair_map: FairMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FairMap.identity(6).save_pretrained(tmp_path)
    replace, done = os.replace, []

    def fail_at_the_second(source: Path, target: Path) -> None:
        if done:
            raise OSError("no space left")
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_at_the_second)
    with pytest.raises(OSError, match="no space"):
        fair_map.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "config.json",
        "detector.json",
        "lexicon.json.gz",
        "model.safetensors",
    ]
    with pytest.raises(ValueError, match="is not the file that config.json was written with"):
        FairMap.from_pretrained(tmp_path)


def test_a_failed_write_leaves_the_old_map(fair_map: FairMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FairMap.identity(6).save_pretrained(tmp_path)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no space"):
        fair_map.save_pretrained(tmp_path)
    assert torch.equal(FairMap.from_pretrained(tmp_path).weight.square(), torch.eye(6))


def changed_config(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | changes))


def test_a_newer_schema_is_refused(fair_map: FairMap, tmp_path: Path) -> None:
    changed_config(fair_map.save_pretrained(tmp_path), schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(
        ValueError,
        match=rf"schema_version {SCHEMA_VERSION + 1} .* reads up to {SCHEMA_VERSION}; upgrade it: pip install",
    ):
        FairMap.from_pretrained(tmp_path)


def test_unknown_entries_are_left_out_with_a_warning(fair_map: FairMap, tmp_path: Path) -> None:
    changed_config(fair_map.save_pretrained(tmp_path), colour="red")
    with pytest.warns(UserWarning, match="unknown to this fairmapping, left out: colour"):
        assert FairMap.from_pretrained(tmp_path).config == fair_map.config


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(fair_map: FairMap, tmp_path: Path, name: str) -> None:
    (fair_map.save_pretrained(tmp_path) / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {name}"):
        FairMap.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no readable JSON"),
        ("[]", "no schema_version"),
        ("{}", "no schema_version"),
        ('{"schema_version": true}', "no schema_version"),
        ('{"schema_version": 0}', "no schema_version"),
        ('{"schema_version": 1, "keywords": null}', "keywords is None, no list"),
        ('{"schema_version": 1, "keywords": "doctor"}', "keywords is 'doctor', no list"),
        ('{"schema_version": 1, "encoder": [1]}', "no dict"),
        ('{"schema_version": 1, "encoder": {"width": 4}}', "lacks the lists encoders and probe"),
    ],
)
def test_a_damaged_config_is_refused(fair_map: FairMap, tmp_path: Path, content: str, message: str) -> None:
    (fair_map.save_pretrained(tmp_path) / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        FairMap.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": torch.zeros(3, 4)}, "square matrix"),
        ({"weight": torch.eye(3), "bias": torch.zeros(2)}, "bias has shape"),
        ({"kernel": torch.eye(3)}, "hold kernel; a map holds weight"),
        ({"weight": torch.eye(3), "extra": torch.eye(3)}, "hold extra, weight"),
    ],
)
def test_wrong_weights_are_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    folder = FairMap.identity(3).save_pretrained(tmp_path)
    save_file(tensors, folder / "model.safetensors")
    changed_config(folder, sha256={})
    with pytest.raises(ValueError, match=message):
        FairMap.from_pretrained(folder)


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    folder = FairMap.identity(3).save_pretrained(tmp_path)
    (folder / "model.safetensors").write_bytes(b"not at all")
    changed_config(folder, sha256={})
    with pytest.raises(ValueError, match="no readable safetensors file"):
        FairMap.from_pretrained(folder)


def test_saved_tensors_are_plain_safetensors(fair_map: FairMap, tmp_path: Path) -> None:
    tensors = load_file(fair_map.save_pretrained(tmp_path) / "model.safetensors")
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "weight": (6, 6), "bias": (6,), "pooled_weight": (4, 4), "pooled_bias": (4,),
    }  # fmt: skip


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "map").write_text("")
    with pytest.raises(FileExistsError, match="is a file; give a folder"):
        FairMap.identity(3).save_pretrained(tmp_path / "map")


def test_a_map_comes_from_the_hub(fair_map: FairMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = fair_map.save_pretrained(tmp_path), []

    def snapshot(hub_id: str, **settings: object) -> str:
        asked.append((hub_id, settings))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert FairMap.from_pretrained("someone/my-map", revision="v1").config == fair_map.config
    assert asked[0][0] == "someone/my-map" and asked[0][1]["revision"] == "v1"
    assert not any("bin" in pattern or "pkl" in pattern for pattern in asked[0][1]["allow_patterns"])


@pytest.mark.parametrize("name", ["./no/such", "/no/such/map", "a/b/c", "no\\such"])
def test_a_folder_that_is_not_there_is_no_hub_id(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)  # calling it would raise a TypeError
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        FairMap.from_pretrained(name)


def test_an_unreachable_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(FileNotFoundError, match=r"no folder someone/my-map, and no map .* hub: no connection"):
        FairMap.from_pretrained("someone/my-map")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 8}, "for embeddings 6 wide, and this pipeline's are 8"),
        ({"pooled_width": None}, "for pooled embeddings 4 wide, and this pipeline's are not there"),
        ({"probe": [1.0, 2.0, 0.5]}, "another BertModel: they embed the same prompts differently"),
        ({"probe": [1.0, 2.0, 0.5], "encoders": ["CLIP"]}, "for BertModel, and this pipeline has CLIP"),
        ({"probe": [1.0]}, "differently"),
        ({"probe": [float("nan"), -2.0, 0.5]}, "differently"),
        ({"pooled_probe": [1.0, 2.0]}, "differently"),
    ],
)
def test_another_encoder_is_refused(fair_map: FairMap, change: dict[str, object], message: str) -> None:
    fair_map.check_encoder(FINGERPRINT)
    fair_map.check_encoder(FINGERPRINT | {"probe": [1.01, -2.01, 0.5]})  # what another dtype does
    with pytest.raises(ValueError, match=message):
        fair_map.check_encoder(FINGERPRINT | change)


def test_a_map_without_fingerprint_is_checked_by_width() -> None:
    FairMap.identity(6).check_encoder(FINGERPRINT)
    with pytest.raises(ValueError, match="for embeddings 5 wide"):
        FairMap.identity(5).check_encoder(FINGERPRINT)


FEMALE, OLD = (("gender", "female"),), (("age", "old"),)


def shifts(width: int, rank: int = 2) -> GroupShifts:
    generator = torch.Generator().manual_seed(2)
    shapes = (width, rank), (4, rank, width), (4, width)
    return GroupShifts(CONFIG.attributes, *(torch.randn(*shape, generator=generator) for shape in shapes))


@pytest.fixture
def shifting() -> FairMap:
    """What route "sampled" makes: the identity, and shifts of both parts."""
    settings = {"shifts": shifts(6), "pooled_shifts": shifts(4), "config": CONFIG}
    return FairMap(torch.eye(6), pooled_weight=torch.eye(4), **settings)


def test_rows_are_shifted_towards_their_cells(shifting: FairMap) -> None:
    x, pooled, cells = embeddings(3, 5, 6), embeddings(3, 4), [FEMALE, (), FEMALE + OLD]
    torch.testing.assert_close(shifting(x, None, 0.5, cells), x + 0.5 * shifting.shifts(x, cells))
    torch.testing.assert_close(shifting.map_pooled(pooled, 1.0, cells), pooled + shifting.pooled_shifts(pooled, cells))
    for moved, before in ((shifting(x, cells=cells), x), (shifting.map_pooled(pooled, cells=cells), pooled)):
        assert torch.equal(moved[1], before[1])
        assert not torch.equal(moved[0], before[0])
    assert torch.equal(shifting(x), x) and torch.equal(shifting.map_pooled(pooled), pooled)
    assert shifting.groups == {"gender": ("female", "male"), "age": ("old", "young")}


def test_a_map_and_its_shifts_add_up(fair_map: FairMap) -> None:
    both = FairMap(fair_map.weight, fair_map.bias, shifts=shifts(6), config=CONFIG)
    x = embeddings(2, 5, 6)
    torch.testing.assert_close(both(x, cells=[OLD] * 2), fair_map(x) + both.shifts(x, [OLD] * 2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_shifts_of_strength_zero_are_none_bit_for_bit(shifting: FairMap, dtype: torch.dtype) -> None:
    x, pooled = embeddings(2, 5, 6, dtype=dtype), embeddings(2, 4, dtype=dtype)
    assert torch.equal(shifting(x, None, 0.0, [FEMALE, OLD]), x)
    assert torch.equal(shifting.map_pooled(pooled, 0.0, [FEMALE, OLD]), pooled)
    assert shifting(x, cells=[FEMALE, OLD]).dtype == shifting.map_pooled(pooled, cells=[FEMALE, OLD]).dtype == dtype


def test_zero_padding_is_not_shifted(shifting: FairMap) -> None:
    x = embeddings(2, 5, 6)
    x[0, 3:] = 0
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], dtype=torch.bool)
    step = shifting.shifts(x, [FEMALE] * 2)
    for moved in (shifting(x, cells=[FEMALE] * 2), shifting(x, mask, cells=[FEMALE] * 2)):
        assert not moved[0, 3:].any()
        torch.testing.assert_close(moved[1], x[1] + step[1])  # other padding is, as it is mapped
    assert shifting(x, torch.ones(2, 5, dtype=torch.bool), cells=[FEMALE] * 2)[0, 4].any()


def test_shifts_are_saved_and_read(shifting: FairMap, tmp_path: Path) -> None:
    folder = shifting.save_pretrained(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    parts = [f"{prefix}shifts.{name}" for prefix in ("", "pooled_") for name in ("bias", "down", "up")]
    assert sorted(tensors) == sorted(parts), "the identity is left out"
    again, x, pooled = FairMap.from_pretrained(folder), embeddings(1, 5, 6), embeddings(1, 4)
    assert (again.groups, again.width, again.pooled_width) == (shifting.groups, 6, 4)
    assert torch.equal(again(x, cells=[FEMALE]), shifting(x, cells=[FEMALE]))
    assert torch.equal(again.map_pooled(pooled, cells=[OLD]), shifting.map_pooled(pooled, cells=[OLD]))


def test_a_weight_beside_shifts_is_saved_with_them(fair_map: FairMap, tmp_path: Path) -> None:
    both = FairMap(fair_map.weight, fair_map.bias, shifts=shifts(6), config=CONFIG)
    again = FairMap.from_pretrained(both.save_pretrained(tmp_path))
    assert torch.equal(again.weight, fair_map.weight) and torch.equal(again.bias, fair_map.bias)
    assert torch.equal(again.shifts.up, both.shifts.up) and again.pooled_shifts is None


def test_cells_that_the_map_does_not_know_are_refused(fair_map: FairMap, shifting: FairMap) -> None:
    x, pooled = embeddings(1, 5, 6), embeddings(1, 4)
    for call in (lambda: fair_map(x, cells=[FEMALE]), lambda: fair_map.map_pooled(pooled, cells=[FEMALE])):
        with pytest.raises(ValueError, match="without group shifts; fit one with fit.*route='sampled'"):
            call()
    with pytest.raises(ValueError, match="no shift for gender 'queer'; it has gender: female, male; age: old, young"):
        shifting(x, cells=[(("gender", "queer"),)])
    with pytest.raises(ValueError, match="2 cells for 1 embeddings"):
        shifting(x, cells=[FEMALE, OLD])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shifts": shifts(5)}, "shifts are 5 wide beside weight 6 wide"),
        ({"shifts": shifts(6), "pooled_shifts": shifts(4)}, "pooled_shifts are 4 wide beside pooled_weight None wide"),
        ({"pooled_weight": torch.eye(4), "pooled_shifts": shifts(4)}, "pooled_shifts need shifts of the same groups"),
    ],
)
def test_shifts_that_do_not_fit_the_map_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FairMap(torch.eye(6), **settings)


def test_a_file_with_half_its_shifts_is_refused(shifting: FairMap, tmp_path: Path) -> None:
    folder = shifting.save_pretrained(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["shifts.up"]
    save_file(tensors, folder / "model.safetensors")
    changed_config(folder, sha256={})
    with pytest.raises(ValueError, match="shifts there are bias, down; down, up and bias are needed"):
        FairMap.from_pretrained(folder)
