"""Maps that are damaged, tampered with or made to do harm: refused with what to do, nothing is executed."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import struct
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fairmapping.mapping import FairMap, MapConfig
from fairmapping.shifts import GroupShifts

WIDTH = 4


@pytest.fixture
def folder(tmp_path):
    groups = {"gender": ["female", "male"]}
    shifts = GroupShifts(groups, torch.randn(WIDTH, 2), torch.randn(2, 2, WIDTH), torch.randn(2, WIDTH))
    encoder = {"encoders": ["CLIPTextModel"], "width": WIDTH, "pooled_width": None, "probe": [0.0] * 32}
    config = MapConfig(
        encoder=encoder, attributes={"gender": {"female": "female", "male": "male"}}, keywords=["doctor"]
    )
    return FairMap(torch.eye(WIDTH), shifts=shifts, config=config).save_pretrained(tmp_path / "map")


class Bomb:
    """A pickle that would leave a file behind if it were loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def configured(**entries):
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))

    return damage


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def weights(**tensors):
    """Other weights, with no checksum to tell."""

    def damage(folder: Path) -> None:
        save_file(tensors, folder / "model.safetensors")
        configured(sha256={})(folder)

    return damage


def bytes_as_weights(content):
    def damage(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(content)
        configured(sha256={})(folder)

    return damage


def pickled(name):
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(pickle.dumps(Bomb(folder / "executed")))
        if name == "model.safetensors":
            configured(sha256={})(folder)

    return damage


def detector(**entries):
    def damage(folder: Path) -> None:
        path = folder / "detector.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))
        configured(sha256={"detector.json": __import__("hashlib").sha256(path.read_bytes()).hexdigest()})(folder)

    return damage


def truncated(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-20])


def huge(name, size):
    """A file of an absurd size that takes no room on the disk."""

    def damage(folder: Path) -> None:
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return damage


def header(table, length=None):
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


def lost(name):
    return lambda folder: (folder / name).unlink()


HUGE_TENSOR = {"shifts.down": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 2**62]}}
NAN = torch.full((WIDTH, WIDTH), float("nan"))
CASES = {
    "no configuration": (lost("config.json"), FileNotFoundError, "has no config.json"),
    "no weights": (lost("model.safetensors"), FileNotFoundError, "has no model.safetensors"),
    "no detector": (lost("detector.json"), FileNotFoundError, "has no detector.json"),
    "no lexicon": (lost("lexicon.json.gz"), FileNotFoundError, "has no lexicon"),
    "configuration cut off": (truncated("config.json"), ValueError, "no readable JSON"),
    "weights cut off": (truncated("model.safetensors"), ValueError, "not the file that"),
    "detector cut off": (truncated("detector.json"), ValueError, "not the file that"),
    "lexicon cut off": (truncated("lexicon.json.gz"), ValueError, "no lexicon"),
    "configuration of another kind": (written("config.json", b'{"type": "clip"}'), ValueError, "no schema_version"),
    "configuration nested to the ground": (written("config.json", b"[" * 200_000), ValueError, "no readable JSON"),
    "configuration no text": (written("config.json", b"\xff\xfe\x00"), ValueError, "no readable JSON"),
    "configuration of an absurd size": (huge("config.json", 2**30), ValueError, "more than any map's"),
    "newer schema": (configured(schema_version=99), ValueError, "upgrade"),
    "schema of another type": (configured(schema_version="3"), ValueError, "no schema_version"),
    "checksums of another type": (configured(sha256="abc"), ValueError, "sha256 is 'abc'"),
    "keywords of another type": (configured(keywords={"a": 1}), ValueError, "no list"),
    "encoder of another type": (configured(encoder=[]), ValueError, "no dict"),
    "encoder without a probe": (configured(encoder={"width": 4}), ValueError, "lacks the lists"),
    "encoder with words for a probe": (
        configured(encoder={"encoders": [], "probe": ["a"]}), ValueError, "probe of the encoder is no list of numbers"
    ),
    "encoder with another thing for a pooled probe": (
        configured(encoder={"encoders": [], "probe": [], "pooled_probe": 3}), ValueError, "pooled_probe of the encoder"
    ),
    "attributes that are none": (configured(attributes={"gender": {}}), ValueError, "shifts"),
    "weights tampered with": (written("model.safetensors", b"x" * 100), ValueError, "not the file that"),
    "weights no safetensors": (bytes_as_weights(b"x" * 100), ValueError, "no readable safetensors"),
    "weights empty": (bytes_as_weights(b""), ValueError, "no readable safetensors"),
    "weights with an absurd header": (bytes_as_weights(header({}, 2**60)), ValueError, "no readable safetensors"),
    "weights of an absurd shape": (bytes_as_weights(header(HUGE_TENSOR)), ValueError, "no readable safetensors"),
    "weights of an absurd size": (huge("model.safetensors", 9 * 2**30), ValueError, "more than any map's"),
    "weights under another name": (weights(kernel=torch.eye(WIDTH)), ValueError, "hold kernel"),
    "weights with a path for a name": (weights(**{"../../w": torch.eye(WIDTH)}), ValueError, r"hold \.\./\.\./w"),
    "weights not square": (weights(weight=torch.zeros(3, 4)), ValueError, "square matrix"),
    "weights no numbers": (weights(weight=NAN), ValueError, "not finite"),
    "weights of whole numbers": (weights(weight=torch.eye(WIDTH, dtype=torch.int64)), ValueError, "not finite floats"),
    "low rank of an absurd size": (
        weights(**{"weight.down": torch.zeros(WIDTH, 99), "weight.up": torch.zeros(99, WIDTH)}),
        ValueError, "R at most D",
    ),
    "low rank of two shapes": (
        weights(**{"weight.down": torch.zeros(WIDTH, 2), "weight.up": torch.zeros(3, WIDTH)}),
        ValueError, "low rank needs",
    ),
    "low rank no numbers": (
        weights(**{"weight.down": NAN, "weight.up": torch.eye(WIDTH)}), ValueError, "not finite floats"
    ),
    "half of a low rank": (weights(**{"weight.down": torch.eye(WIDTH)}), ValueError, "down and up are needed"),
    "low rank beside a square": (
        weights(**{"weight": torch.eye(WIDTH), "weight.down": torch.eye(WIDTH), "weight.up": torch.eye(WIDTH)}),
        ValueError, "hold weight; a map",
    ),
    "low rank with a part too many": (
        weights(**{"weight.down": torch.eye(WIDTH), "weight.up": torch.eye(WIDTH), "weight.x": torch.eye(WIDTH)}),
        ValueError, "down and up are needed",
    ),
    "low rank of another width than the shifts": (
        weights(**{"weight.down": torch.zeros(8, 1), "weight.up": torch.zeros(1, 8), "shifts.down": torch.eye(WIDTH),
                   "shifts.up": torch.zeros(2, WIDTH, WIDTH), "shifts.bias": torch.zeros(2, WIDTH)}),
        ValueError, "wide beside weight 8 wide",
    ),
    "half of the shifts": (weights(**{"shifts.down": torch.eye(WIDTH)}), ValueError, "down, up and bias are needed"),
    "weights pickled": (pickled("model.safetensors"), ValueError, "no readable safetensors"),
    "configuration pickled": (pickled("config.json"), ValueError, "no readable JSON"),
    "lexicon pickled": (pickled("lexicon.json.gz"), ValueError, "no lexicon"),
    "lexicon that unpacks without end": (
        written("lexicon.json.gz", gzip.compress(b" " * (65 * 2**20), 1)), ValueError, "unpacks to more"
    ),
    "lexicon of an absurd size": (huge("lexicon.json.gz", 2**30), ValueError, "more than any map's"),
    "detector of another lexicon": (detector(lexicon_sha256="0" * 64), ValueError, "another lexicon"),
    "detector of a newer schema": (detector(schema_version=9), ValueError, "upgrade"),
    "detector of other types": (detector(keywords=5), ValueError, "no saved detector"),
    "detector without attributes": (detector(attributes={}), ValueError, "no attributes"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_and_nothing_is_executed(folder, case):
    damage, error, says = CASES[case]
    damage(folder)
    with pytest.raises(error, match=says):
        FairMap.from_pretrained(folder)
    assert not (folder / "executed").exists()


@pytest.mark.parametrize(
    "name", ["../other", "/etc/passwd", "~/map", "a/b/c", "..\\map", "x" * 5000, "a b", "http://127.0.0.1:1/map", ""]
)
def test_names_that_are_no_folder_and_no_hub_id_are_refused(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises((FileNotFoundError, ValueError)):
        FairMap.from_pretrained(name, local_files_only=True)


def test_unknown_entries_warn_and_name_the_remedy(folder):
    configured(colour="blue")(folder)
    with pytest.warns(UserWarning, match="colour; upgrade it"):
        FairMap.from_pretrained(folder)


def test_the_undamaged_map_is_read(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert FairMap.from_pretrained(folder).groups == {"gender": ("female", "male")}
