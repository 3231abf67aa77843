"""Blocks of a run, through every fault that a test can make: what comes out is what an undisturbed run gives."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import quick
from PIL import Image
from quick import Corner, Noise, contents

from fairmapping import tables
from fairmapping.audit import rescore
from fairmapping.judges import load_judge, records, with_card
from fairmapping.plan import Order
from fairmapping.results import Audit
from fairmapping.store import Place
from fairmapping.work import Job


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return quick.run(str(tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def elsewhere() -> Any:
    """Other processes, quick to start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fairmapping.work", "fairmapping.cluster", "pandas", "fairmapping.portraits"])
    return context


def same(folder: Path, whole: Audit) -> None:
    assert contents(folder) == contents(whole.path)
    found = Audit.load(folder)
    assert found.rows.equals(whole.rows)
    assert found.summary("gender").equals(whole.summary("gender"))


def test_killed_at_random_moments_it_ends_as_undisturbed(whole: Audit, tmp_path: Path, elsewhere: Any) -> None:
    moments = random.Random(0)
    for number in range(2):
        folder = tmp_path / str(number)
        for _ in range(3):  # less in all than the 1.1 seconds or more that it takes, for each goes on with the last
            process = elsewhere.Process(target=quick.run_slowly, args=(str(folder),))
            process.start()
            process.join(moments.uniform(0, 0.35))
            process.kill()
            process.join()
            assert process.exitcode != 0
        process = elsewhere.Process(target=quick.run_slowly, args=(str(folder),))
        process.start()
        process.join()
        assert process.exitcode == 0
        same(folder, whole)


def test_another_process_is_refused_and_one_that_is_gone_is_not(whole: Audit, tmp_path: Path, elsewhere: Any) -> None:
    held = elsewhere.Event()
    process = elsewhere.Process(target=quick.hold, args=(str(tmp_path), held))
    process.start()
    assert held.wait(60)
    with pytest.raises(RuntimeError, match=rf"process {process.pid} on .* is at work on .*wait for it"):
        quick.run(str(tmp_path))
    process.kill()
    process.join()
    quick.run(str(tmp_path))
    same(tmp_path, whole)


@pytest.mark.parametrize("kind", ["files", "webdataset"])
def test_whatever_file_is_damaged_it_is_made_again(tmp_path: Path, kind: str) -> None:
    quick.run(str(tmp_path), store=kind)
    before, moments = contents(tmp_path), random.Random(1)
    for path in moments.sample(sorted(before), 12):
        if path == "settings.json":
            continue
        data = before[path]
        middle = len(data) // 2
        how = moments.choice(["cut", "empty", "gone", "changed"])
        if how == "gone":
            (tmp_path / path).unlink()
        else:
            changed = data[:middle] + bytes(255 - byte for byte in data[middle : middle + 4]) + data[middle + 4 :]
            (tmp_path / path).write_bytes({"cut": data[:middle], "empty": b"", "changed": changed}[how])
        if path.endswith("corner.parquet"):
            with pytest.raises((ValueError, FileNotFoundError), match="same call of audit"):
                Audit.load(tmp_path)
        quick.run(str(tmp_path), store=kind)
        after = contents(tmp_path)
        assert after.keys() == before.keys()
        for name in after:  # bytes that no page's checksum covers may stay changed where they change no row
            if after[name] != before[name]:
                assert (name, how) == (path, "changed")
                assert name.count("/") == 2
                assert name.endswith(".parquet")
                assert tables.decode(after[name], name).equals(tables.decode(before[name], name))
                (tmp_path / path).write_bytes(data)


def test_a_finished_run_draws_and_judges_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = quick.run(str(tmp_path))
    monkeypatch.setattr(Noise, "__call__", lambda self, prompt, generator, prompt_embeds=None: 1 / 0)
    monkeypatch.setattr(Corner, "__call__", lambda self, images: 1 / 0)
    assert quick.run(str(tmp_path)).rows.equals(first.rows)


def test_what_is_drawn_is_judged_by_another_without_drawing(
    whole: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick.run(str(tmp_path))
    monkeypatch.setattr(Corner, "card", {"version": 2})
    monkeypatch.setattr(Noise, "__call__", lambda self, prompt, generator, prompt_embeds=None: 1 / 0)
    assert quick.run(str(tmp_path)).rows.equals(whole.rows)


def test_an_object_store_holds_the_same(whole: Audit) -> None:
    """memory:// stands for s3:// and gs://: no folders, no renaming, whole files put at once."""
    for kind in ("files", "webdataset"):
        found = quick.run(f"memory://runs/{kind}", store=kind)
        assert found.path == f"memory://runs/{kind}"
        assert found.rows.drop(columns="image").equals(whole.rows.drop(columns="image"))
        place = Place(f"memory://runs/{kind}")
        assert not place.exists(".lock")
        assert (
            place.image(found.rows["image"][5]).tobytes() == Place(whole.path).image(whole.rows["image"][5]).tobytes()
        )
        again = rescore(f"memory://runs/{kind}", Corner(), progress=False)
        assert again.rows.equals(found.rows)
    names = [f"{name}" for name in place.fs.find(place.root) if name.endswith(".tar")]
    assert len(names) == 11


def test_a_full_disk_says_so_and_the_run_goes_on(whole: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, left = Place.write, [30]

    def full(self: Place, name: str, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device", f"{self}/{name}")
        original(self, name, data)

    monkeypatch.setattr(Place, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        quick.run(str(tmp_path))
    monkeypatch.undo()
    quick.run(str(tmp_path))
    same(tmp_path, whole)


def test_a_grown_run_draws_no_image_twice(tmp_path: Path) -> None:
    few = quick.run(str(tmp_path), images_per_prompt=5)
    before = contents(tmp_path)
    many = quick.run(str(tmp_path), images_per_prompt=9)
    assert len(many.rows) == 27
    assert not many.rows["image"].duplicated().any()
    assert set(few.rows["image"]) < set(many.rows["image"])
    after = contents(tmp_path)
    assert all(after[name] == data for name, data in before.items() if name.endswith(".png"))


def test_settings_stay_readable(whole: Audit) -> None:
    place = Place(whole.path)
    assert json.loads(place.read("settings.json"))["arms"] == {"raw": {"map": None, "strength": None}}
    assert json.loads(place.read("audit.json"))["rows"] == 42
    rows = tables.rows_of(tables.decode(place.read(place.names("rows/raw")[3]), "rows"))
    assert [row["prompt"] for row in rows] == [PROMPT] * 2 + ["a portrait of a nurse"] * 2


PROMPT = "a portrait of a doctor"


@pytest.mark.parametrize("name", ["portraits", "photo", "quick:Corner"])
def test_a_judge_arrives_with_its_card(tmp_path: Path, name: str) -> None:
    """As it is sent to a worker of a cluster."""
    if name == "photo":
        pytest.importorskip("dlib")
    plain = load_judge(name)
    groups = plain.attributes["gender"]
    card = {"judge": plain.name, "attributes": {"gender": list(groups)}, "confusion": {"gender": [[90, 10], [20, 80]]}}
    for judge in (name, with_card(plain, card)):
        job = Job((Order(quick.PROMPTS, arm="raw"),), Place(tmp_path), judge)
        sent = pickle.loads(pickle.dumps(job)).reader
        assert records.describe(sent) == records.describe(job.reader)
        assert (sent.card.get("confusion", {}).get("gender") == [[90, 10], [20, 80]]) == (judge is not name)
        assert len(sent([Image.new("RGB", (64, 64))])) == 1
