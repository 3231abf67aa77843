"""Files that are whole or not there, images and shards, and who may write."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairmapping import lock, store
from fairmapping.lock import locked
from fairmapping.store import Place, holder, picture, png, shard, write_text


@pytest.fixture(params=["local", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(
        {"local": tmp_path / "a b", "file": f"file://{tmp_path}/c", "memory": f"memory://{tmp_path.name}"}[
            request.param
        ]
    )


def test_what_is_written_is_read(place: Place) -> None:
    assert place.size("x/y.bin") is None
    assert place.names("x") == []
    with pytest.raises(FileNotFoundError):
        place.read("x/y.bin")
    for data in (b"one", b"", b"three"):
        place.write("x/y.bin", data)
        assert place.read("x/y.bin") == data
        assert place.size("x/y.bin") == len(data)
    place.write_text("x/a.txt", "Süß")
    with place.writing("x/z.bin") as file:
        file.write(b"12")
        file.write(b"3")
    assert place.names("x") == ["x/a.txt", "x/y.bin", "x/z.bin"]
    assert pickle.loads(pickle.dumps(place)).read("x/a.txt").decode() == "Süß"
    place.remove("x")
    place.remove("x")
    assert not place.exists("x/y.bin")


def test_what_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write("a", b"before")
    with pytest.raises(KeyboardInterrupt), place.writing("a") as file:
        file.write(b"aft")
        raise KeyboardInterrupt
    assert place.read("a") == b"before"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file/below"):
        place.write("file/below", b"x")
    with locked(place):
        (tmp_path / ".partial").mkdir(exist_ok=True)
    assert not (tmp_path / ".partial").exists()


def test_an_image_keeps_its_pixels_and_text_also_in_a_shard(place: Place) -> None:
    image = Image.effect_noise((6, 6), 90).convert("RGB")
    data = png(image, {"fairmapping": "{}"})
    place.write("i/0.png", data)
    place.write("s/b.tar", shard([("a/0.png", data), ("a/0.json", b"{}")]))
    for name in ("i/0.png", "s/b.tar/a/0.png"):
        assert np.array_equal(place.image(name), image)
    assert Image.open(io.BytesIO(place.read("s/b.tar/a/0.png"))).text == {"fairmapping": "{}"}  # type: ignore[attr-defined]
    assert holder("s/b.tar/a/0.png") == "s/b.tar"
    assert place.size("s/b.tar/a/0.png") == place.size("s/b.tar")
    assert shard([("a", b"1")]) == shard([("a", b"1")])
    with tarfile.open(fileobj=io.BytesIO(place.read("s/b.tar"))) as file:
        assert file.getnames() == ["a/0.png", "a/0.json"]
    with pytest.raises(FileNotFoundError, match="a/1.png is gone"):
        place.image("s/b.tar/a/1.png")
    place.write("i/0.png", data[:30])
    with pytest.raises(ValueError, match=r"i/0\.png is no readable image .*the same call draws it again"):
        place.image("i/0.png")
    place.write("s/b.tar", b"no tar")
    with pytest.raises(ValueError, match=r"s/b\.tar is no readable shard"):
        place.image("s/b.tar/a/0.png")


def test_a_lock_on_an_object_store_is_renewed_refused_and_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(f"memory://{tmp_path.name}/locks")
    monkeypatch.setattr(lock, "BEAT", 0.01)
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: None)
    with locked(place):
        first = json.loads(place.read(".lock"))["at"]
        with locked(place):
            pass
        deadline = time.monotonic() + 10
        while json.loads(place.read(".lock"))["at"] == first and time.monotonic() < deadline:
            time.monotonic()
        assert json.loads(place.read(".lock"))["at"] > first
    assert not place.exists(".lock")
    other = {"pid": 1, "host": "elsewhere", "token": "x", "at": time.time()}
    place.write_text(".lock", json.dumps(other))
    with (
        pytest.raises(RuntimeError, match=r"process 1 on elsewhere is at work on memory://.*delete memory://\S+\.lock"),
        locked(place),
    ):
        pass
    place.write_text(".lock", json.dumps(other | {"at": time.time() - lock.STALE - 1}))
    with locked(place):
        assert json.loads(place.read(".lock"))["host"] != "elsewhere"


def test_an_empty_lock_that_was_left_long_ago_is_taken_over(tmp_path: Path) -> None:
    import os

    (tmp_path / ".lock").touch()
    os.utime(tmp_path / ".lock", (1, 1))
    with locked(Place(tmp_path)):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_addresses_of_no_known_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'nowhere://x' is no folder or address"):
        Place("nowhere://x")
    with pytest.raises(ValueError, match="s3fs"):
        Place("s3://bucket/run")
    write_text(tmp_path / "new" / "a.txt", "text")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff"])
def test_a_picture_stands_the_way_up_that_its_camera_says(place: Place, form: str) -> None:
    pixels = np.zeros((24, 48, 3), np.uint8)
    pixels[:, :24] = 255  # bright on the left as it lies in the file, at the top as it was taken
    for orientation, size in ((6, (24, 48)), (1, (48, 24)), (None, (48, 24))):
        exif = Image.Exif()
        if orientation is not None:
            exif[0x0112] = orientation
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format=form, exif=exif)
        place.write("x", file.getvalue())
        seen = place.image("x")
        assert (seen.size, seen.mode) == (size, "RGB")
        bright = np.asarray(seen).mean(-1) > 128
        assert (bright[:20].all() and not bright[28:].any()) == (orientation == 6)
        assert store.turned(seen).size == size, "it is turned once"


def test_broken_exif_data_cost_no_picture() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 2)).save(file, format="png", exif=b"Exif\0\0no such thing")
    assert picture(file.getvalue(), "x").size == (4, 2)
