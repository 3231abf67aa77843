from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from fairmapping import draw, store, tables
from fairmapping.attach import attached, is_attached
from fairmapping.generate import call_defaults, generate, image_seed
from fairmapping.lock import locked
from fairmapping.policy import Decided
from fairmapping.prompts import Prompt
from fairmapping.quota import Quota
from fairmapping.runs import Row, read_rows
from fairmapping.store import Place

PROMPTS = [
    Prompt("a portrait of a doctor", "doctor", (), "a portrait of {}"),
    Prompt("a portrait of a female doctor", "doctor", (("gender", "female"),), "a portrait of {}"),
    Prompt("Café! / chef?", "chef"),
]
CALL = {"num_inference_steps": 2, "guidance_scale": 3.0, "negative_prompt": "a hat", "progress": False}


def pixels(images):
    return [np.asarray(image) for image in images]


def contents(folder):
    """Every file of a run by its path, so that two folders can be compared whole."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(folder):
    """The rows that were written, in the order of their blocks."""
    files = sorted((folder / "rows").rglob("*.parquet"))
    return [row for file in files for row in tables.rows_of(tables.decode(file.read_bytes(), str(file)))]


@pytest.fixture
def crashing(monkeypatch):
    """Make the given drawing of a block, or writing of a file, raise, as if the process had been stopped there."""

    def arrange(name, number, error=KeyboardInterrupt):
        count, owner = 0, draw if name == "_draw" else store.os
        original = getattr(owner, name)

        def sometimes(*args, **kwargs):
            nonlocal count
            count += 1
            if count == number:
                raise error
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, sometimes)
        return lambda: monkeypatch.setattr(owner, name, original)

    return arrange


def test_an_image_is_what_the_pipeline_draws_from_its_seed(tiny_sd):
    result = generate(tiny_sd, PROMPTS, images_per_prompt=2, seed=3, **CALL)
    assert [row.index for row in result] == [0, 1] * 3
    call = {name: value for name, value in CALL.items() if name != "progress"}
    for row, image in zip(result, result.images, strict=True):
        expected = tiny_sd(row.prompt, generator=torch.Generator().manual_seed(row.seed), **call).images[0]
        assert np.abs(np.asarray(image, int) - np.asarray(expected, int)).max() <= 1  # batches round differently


def test_rows_say_what_was_asked(tiny_sd):
    row = generate(tiny_sd, PROMPTS[1:2], seed=3, **CALL).rows[0]
    text = PROMPTS[1].text
    groups = (("gender", "female"),)
    assert row == Row("", "raw", text, "doctor", "a portrait of {}", groups, 0, image_seed(3, text, 0))
    plain = generate(tiny_sd, ["a man"], **CALL).rows[0]
    assert (plain.prompt, plain.keyword, plain.groups) == ("a man", "a man", ())


def test_noise_depends_on_seed_prompt_and_index_alone(tiny_sd, monkeypatch):
    seen = {}

    def record(**call):
        for prompt, generator in zip(call["prompt"], call["generator"], strict=True):
            seen.setdefault((prompt, generator.initial_seed()), []).append(torch.randn(3, generator=generator))
        return type("Output", (), {"images": [Image.new("RGB", (2, 2))] * len(call["prompt"])})

    class Recorded(type(tiny_sd)):
        def __call__(self, prompt=None, prompt_embeds=None, generator=None):
            return record(prompt=prompt, generator=generator)

    pipe = tiny.make_sd()
    pipe.__class__ = Recorded
    for prompts, size, fair_map in (
        (PROMPTS, 16, None),
        (PROMPTS[::-1], 2, None),
        (PROMPTS[:1], 1, None),
        (PROMPTS, 5, tiny.random_map(pipe)),
    ):
        generate(pipe, prompts, images_per_prompt=3, seed=5, batch_size=size, fair_map=fair_map, progress=False)
    assert set(seen) == {(prompt.text, image_seed(5, prompt.text, i)) for prompt in PROMPTS for i in range(3)}
    for draws in seen.values():
        assert all(torch.equal(draw, draws[0]) for draw in draws)
    assert len({tuple(draws[0].tolist()) for draws in seen.values()}) == 3 * len(PROMPTS)
    assert image_seed(5, "a", 2) != image_seed(5, "a", 3) != image_seed(4, "a", 3)
    assert 0 <= image_seed(0, "", 0) < 2**63


def test_batches_are_filled_across_prompts(tiny_sd, monkeypatch):
    sizes, original = [], draw._draw
    monkeypatch.setattr(draw, "_draw", lambda pipe, rows, call: sizes.append(len(rows)) or original(pipe, rows, call))
    generate(tiny_sd, PROMPTS, images_per_prompt=3, batch_size=4, **CALL)
    assert sizes == [4, 4, 1]


def test_the_mapped_arm_is_the_attached_pipeline(tiny_sdxl):
    fair_map = tiny.random_map(tiny_sdxl)
    found = generate(tiny_sdxl, PROMPTS, fair_map=fair_map, strength=0.7, **CALL)
    assert {row.arm for row in found} == {"mapped"}
    with attached(tiny_sdxl, fair_map, strength=0.7):
        expected = tiny_sdxl(
            [prompt.text for prompt in PROMPTS],
            generator=[torch.Generator().manual_seed(image_seed(0, prompt.text, 0)) for prompt in PROMPTS],
            num_inference_steps=2,
            guidance_scale=3.0,
            negative_prompt=["a hat"] * len(PROMPTS),
        ).images
    np.testing.assert_array_equal(pixels(found.images), pixels(expected))
    raw = generate(tiny_sdxl, PROMPTS, **CALL)
    assert [row.seed for row in raw] == [row.seed for row in found]
    assert (np.array(pixels(raw.images)) != np.array(pixels(found.images))).any()


def test_flux_with_a_negative_prompt(tiny_flux):
    call = {"height": 8, "width": 8, "num_inference_steps": 1, "true_cfg_scale": 2.0, "negative_prompt": "a hat"}
    assert len(generate(tiny_flux, PROMPTS, batch_size=2, progress=False, **call).images) == 3


def test_a_folder_holds_images_manifest_and_settings(tiny_sd, tmp_path):
    memory = generate(tiny_sd, PROMPTS, images_per_prompt=2, batch_size=4, **CALL)
    result = generate(tiny_sd, PROMPTS, images_per_prompt=2, batch_size=4, out=tmp_path / "new" / "run", **CALL)
    folder = result.folder
    np.testing.assert_array_equal(pixels(result.images), pixels(memory.images))
    assert [line["image"] for line in lines(folder)] == [row.image for row in result]
    assert lines(folder)[2] == {
        "image": result.rows[2].image,
        "arm": "raw",
        "prompt": "a portrait of a female doctor",
        "keyword": "doctor",
        "template": "a portrait of {}",
        "groups": (("gender", "female"),),
        "index": 0,
        "seed": image_seed(0, PROMPTS[1].text, 0),
        "assigned": (),
        "mapped": (),
        "bytes": (folder / result.rows[2].image).stat().st_size,
        "digest": hashlib.sha256((folder / result.rows[2].image).read_bytes()).hexdigest()[:16],
    }
    assert result.rows[2].image.startswith("images/raw/a-portrait-of-a-female-doctor-")
    assert result.rows[2].image.endswith("/0000.png")
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["call"] == {"num_inference_steps": 2, "guidance_scale": 3.0, "negative_prompt": "a hat"}
    assert settings["pipeline"] == "StableDiffusionPipeline"
    assert settings["arms"] == {"raw": {"map": None, "strength": None}}
    assert {path.split("/")[0] for path in contents(folder)} == {"images", "rows", "settings.json"}


@pytest.mark.parametrize(
    ("name", "number"), [("_draw", 1), ("_draw", 3), ("replace", 2), ("replace", 6), ("replace", 8), ("replace", 12)]
)
def test_a_stopped_run_ends_like_an_undisturbed_one(tiny_sd, tmp_path, crashing, name, number):
    call = {"images_per_prompt": 3, "batch_size": 4, "fair_map": tiny.random_map(tiny_sd)} | CALL
    whole = generate(tiny_sd, PROMPTS, out=tmp_path / "whole", **call)
    repair = crashing(name, number)
    with pytest.raises(KeyboardInterrupt):
        generate(tiny_sd, PROMPTS, out=tmp_path / "stopped", **call)
    assert not is_attached(tiny_sd)
    stopped = tmp_path / "stopped"
    for line in lines(stopped):
        Image.open(stopped / line["image"]).load()  # whatever the rows name is there and whole
    repair()
    resumed = generate(tiny_sd, PROMPTS, out=stopped, **call)
    assert resumed.rows == whole.rows
    assert contents(stopped) == contents(whole.folder)


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-20], lambda data: data[:99] + b"oops" + data[103:]]
)
@pytest.mark.parametrize("kind", ["files", "webdataset"])
def test_damaged_rows_are_made_again(tiny_sd, tmp_path, damage, kind):
    call = {"images_per_prompt": 3, "batch_size": 4, "store": kind} | CALL
    generate(tiny_sd, PROMPTS, out=tmp_path, **call)
    before = contents(tmp_path)
    file = sorted((tmp_path / "rows" / "raw").iterdir())[1]
    file.write_bytes(damage(file.read_bytes()))
    generate(tiny_sd, PROMPTS, out=tmp_path, **call)
    assert contents(tmp_path) == before


def test_a_lost_image_is_drawn_again_and_listed_once(tiny_sd, tmp_path):
    call = {"images_per_prompt": 2, "batch_size": 3} | CALL
    result = generate(tiny_sd, PROMPTS, out=tmp_path, **call)
    before = contents(tmp_path)
    os.remove(tmp_path / result.rows[4].image)
    generate(tiny_sd, PROMPTS, out=tmp_path, **call)
    assert contents(tmp_path) == before


def test_a_torn_image_is_drawn_again(tiny_sd, tmp_path):
    result = generate(tiny_sd, PROMPTS, out=tmp_path, **CALL)
    before = contents(tmp_path)
    for row, size in zip(result.rows, (0, 10, 60), strict=True):
        os.truncate(tmp_path / row.image, size)
    with pytest.raises(ValueError, match=r"0000\.png is no readable image .*delete it, and the same call"):
        _ = result.images
    generate(tiny_sd, PROMPTS, out=tmp_path, **CALL)
    assert contents(tmp_path) == before


def test_a_full_disk_names_the_file(tiny_sd, tmp_path, monkeypatch):
    original, space = Path.open, [2]

    class Full(io.BufferedWriter):
        def write(self, data):
            space[0] -= 1
            if space[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    def full(self, mode="r", **options):
        return Full(io.FileIO(self, "w")) if mode == "wb" else original(self, mode, **options)

    whole = generate(tiny_sd, PROMPTS, out=tmp_path / "whole", **CALL)
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match=r"No space left on device: .*0000\.png"):
        generate(tiny_sd, PROMPTS, out=tmp_path / "full", **CALL)
    assert len(contents(tmp_path / "full")) == 2  # the settings and one image: nothing half written
    space[0] = 100
    generate(tiny_sd, PROMPTS, out=tmp_path / "full", **CALL)
    assert contents(tmp_path / "full") == contents(whole.folder)


HOLD = """
import sys
from pathlib import Path
from fairmapping.lock import locked
from fairmapping.store import Place
with locked(Place(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_write_one_folder(tiny_sd, tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(store.__file__).parents[1])},
    )
    with other:
        try:
            assert other.stdout.readline().strip() == b"held"
            with pytest.raises(RuntimeError, match=rf"process {other.pid} on .* is at work on .*delete .*\.lock"):
                generate(tiny_sd, PROMPTS, out=tmp_path, **CALL)
            assert set(contents(tmp_path)) == {".lock"}
        finally:
            other.kill()  # and leaves its lock
    assert (tmp_path / ".lock").exists()
    generate(tiny_sd, PROMPTS, out=tmp_path, **CALL)
    assert len(lines(tmp_path)) == len(PROMPTS)
    assert not (tmp_path / ".lock").exists()


def test_a_lock_nests_in_one_process_and_goes_with_an_error(tmp_path):
    lock = tmp_path / "run" / ".lock"
    with pytest.raises(KeyboardInterrupt), locked(Place(tmp_path / "run")):
        with locked(Place(tmp_path / "run")):
            assert lock.exists()
        assert lock.exists()
        raise KeyboardInterrupt
    assert not lock.exists()
    for left in ("", json.dumps({"pid": 1, "host": "elsewhere"})):
        lock.write_text(left)
        with pytest.raises(RuntimeError, match="at work on"), locked(Place(tmp_path / "run")):
            pass
        assert lock.read_text() == left


def test_a_folder_of_before_rows_were_parquet_is_refused(tiny_sd, tmp_path):
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"before rows were Parquet .*give another folder"):
        generate(tiny_sd, PROMPTS, out=tmp_path, **CALL)


def test_a_finished_run_draws_nothing(tiny_sd, tmp_path, crashing):
    first = generate(tiny_sd, PROMPTS, out=tmp_path, **CALL)
    crashing("_draw", 1, AssertionError("drew again"))
    assert generate(tiny_sd, PROMPTS, out=tmp_path, **CALL).rows == first.rows
    assert [row.prompt for row in generate(tiny_sd, PROMPTS[2:], out=tmp_path, **CALL)] == [PROMPTS[2].text]


def test_a_run_grows(tiny_sd, tmp_path):
    first = generate(tiny_sd, PROMPTS[:2], images_per_prompt=2, out=tmp_path, **CALL)
    kept = contents(tmp_path)
    second = generate(tiny_sd, PROMPTS, images_per_prompt=3, out=tmp_path, **CALL)
    assert set(first.rows) < set(second.rows)
    assert len(read_rows(Place(tmp_path))) == len(second) == 9
    assert set(read_rows(Place(tmp_path))) == set(second.rows)
    for row in first:
        assert contents(tmp_path)[row.image] == kept[row.image]


def test_both_arms_share_a_folder(tiny_sd, tmp_path):
    raw = generate(tiny_sd, PROMPTS, out=tmp_path, **CALL)
    mapped = generate(tiny_sd, PROMPTS, out=tmp_path, fair_map=tiny.random_map(tiny_sd), **CALL)
    assert [(row.prompt, row.seed) for row in raw] == [(row.prompt, row.seed) for row in mapped]
    assert not {row.image for row in raw} & {row.image for row in mapped}
    assert set(json.loads((tmp_path / "settings.json").read_text())["arms"]) == {"raw", "mapped"}
    half = generate(tiny_sd, PROMPTS, out=tmp_path, fair_map=tiny.random_map(tiny_sd), strength=0.5, arm="half", **CALL)
    assert half.rows[0].image.startswith("images/half/")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own, with NumPy 2
def test_settings_are_plain_json_for_a_scheduler_with_infinities(tmp_path):
    from diffusers import DPMSolverMultistepScheduler

    pipe = tiny.make_sd()
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    assert pipe.scheduler.config["lambda_min_clipped"] == -np.inf
    for _ in range(2):
        generate(pipe, PROMPTS[:1], out=tmp_path, **CALL)

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    found = json.loads((tmp_path / "settings.json").read_text(), parse_constant=refuse)["scheduler"]
    assert (found["class"], found["lambda_min_clipped"]) == ("DPMSolverMultistepScheduler", "-inf")


def test_other_settings_are_refused_with_every_difference(tiny_sd, tmp_path):
    fair_map = tiny.random_map(tiny_sd)
    generate(tiny_sd, PROMPTS[:1], out=tmp_path, fair_map=fair_map, **CALL)
    before = contents(tmp_path)
    other = CALL | {"guidance_scale": 5.0, "eta": 0.5}
    with pytest.raises(ValueError, match="made with other settings") as caught:
        generate(tiny_sd, PROMPTS[:1], out=tmp_path, fair_map=fair_map, strength=0.5, seed=1, **other)
    for part in (
        "call.guidance_scale is 3.0 there and 5.0 now",
        "call.eta is null there and 0.5 now",
        "seed is 0 there and 1 now",
        "mapped.strength is 1.0 there and 0.5 now",
    ):
        assert part in str(caught.value)
    with pytest.raises(ValueError, match=r"mapped\.map is "):
        generate(tiny_sd, PROMPTS[:1], out=tmp_path, fair_map=tiny.random_map(tiny_sd, seed=1), **CALL)
    with pytest.raises(ValueError, match=r"models\.text_encoder is .*models\.unet is .*models\.vae is "):
        generate(tiny.make_sd(seed=2), PROMPTS[:1], out=tmp_path, **CALL)
    with pytest.raises(ValueError, match="pipeline is .*StableDiffusionPipeline"):
        pipe = tiny.make_sd()
        pipe.__class__ = type("Another", (type(pipe),), {})
        generate(pipe, PROMPTS[:1], out=tmp_path, **CALL)
    assert contents(tmp_path) == before


def test_a_quota_assigns_by_seed_prompt_and_index_alone(tiny_sd, tmp_path):
    fair_map = tiny.sampled_map(tiny_sd)
    call = {"fair_map": fair_map, "quota": {"gender": {"female": 0.25, "male": 0.75}}} | CALL
    found = generate(tiny_sd, [*PROMPTS, "a smith"], images_per_prompt=4, batch_size=5, **call)
    of = {prompt: [row.assigned for row in found if row.prompt == prompt] for prompt in {row.prompt for row in found}}
    female, male = (("gender", "female"),), (("gender", "male"),)
    assert of[PROMPTS[1].text] == [()] * 4, "the prompt names this attribute's group itself"
    for text in (PROMPTS[0].text, PROMPTS[2].text, "a smith"):
        assert sorted(of[text]) == [female, male, male, male]
    again = generate(tiny_sd, [PROMPTS[2], PROMPTS[0]], images_per_prompt=2, batch_size=3, **call)
    assert {(row.prompt, row.index, row.assigned) for row in again} < {
        (row.prompt, row.index, row.assigned) for row in found
    }
    with attached(
        tiny_sd,
        fair_map,
        quota=Decided([row.mapped for row in again.rows[:3]], [row.assigned for row in again.rows[:3]]),
    ):
        expected = tiny_sd(
            [row.prompt for row in again.rows[:3]],
            generator=[torch.Generator().manual_seed(row.seed) for row in again.rows[:3]],
            num_inference_steps=2,
            guidance_scale=3.0,
            negative_prompt=["a hat"] * 3,
        ).images
    np.testing.assert_array_equal(pixels(again.images[:3]), pixels(expected))


def test_an_explicit_prompt_keeps_what_it_names_and_is_assigned_the_rest(tiny_sd):
    rows = generate(tiny_sd, PROMPTS[:2], images_per_prompt=8, fair_map=tiny.sampled_map(tiny_sd), **CALL).rows
    assert [[name for name, _ in row.assigned] for row in rows] == [["gender", "race"]] * 8 + [["race"]] * 8
    assert len({row.assigned for row in rows[:8]}) == 8
    assert [row.assigned[0][1] for row in rows[8:]].count("asian") == 2


def test_a_keyword_s_own_targets_hold_for_its_prompts_and_for_strings_with_it(tiny_sd):
    own = {"chef": {"gender": {"female": 1.0}}, "pilot": {"gender": {"male": 1.0}}}
    call = {"fair_map": tiny.sampled_map(tiny_sd), "quota": own, "images_per_prompt": 2} | CALL
    rows = generate(tiny_sd, [Prompt("a cook", "chef"), "a portrait of a pilot", "a clerk"], **call).rows
    genders = [dict(row.assigned)["gender"] for row in rows]
    assert genders[:4] == ["female", "female", "male", "male"]
    assert set(genders[4:]) == {"female", "male"}


@pytest.mark.parametrize(("name", "number"), [("_draw", 2), ("replace", 8)])
def test_a_stopped_run_under_a_quota_ends_like_an_undisturbed_one(tiny_sd, tmp_path, crashing, name, number):
    call = {"images_per_prompt": 3, "batch_size": 4, "fair_map": tiny.sampled_map(tiny_sd), "quota": "even"} | CALL
    whole = generate(tiny_sd, PROMPTS, out=tmp_path / "whole", **call)
    repair = crashing(name, number)
    with pytest.raises(KeyboardInterrupt):
        generate(tiny_sd, PROMPTS, out=tmp_path / "stopped", **call)
    repair()
    resumed = generate(tiny_sd, PROMPTS, out=tmp_path / "stopped", **call)
    assert resumed.rows == whole.rows == read_rows(Place(whole.folder))
    assert contents(tmp_path / "stopped") == contents(whole.folder)


def test_a_folder_is_refused_for_another_quota(tiny_sd, tmp_path):
    call = {"out": tmp_path, "fair_map": tiny.sampled_map(tiny_sd)} | CALL
    generate(tiny_sd, PROMPTS[:1], **call, quota={"gender": {"female": 0.5, "male": 0.5}})
    before = contents(tmp_path)
    changed = r"mapped\.quota\.targets\.shares\.gender\.female is 0\.5 there and 0\.25 now"
    with pytest.raises(ValueError, match=changed):
        generate(tiny_sd, PROMPTS[:1], **call, quota={"gender": {"female": 0.25, "male": 0.75}})
    with pytest.raises(ValueError, match=r"mapped\.quota\.seed is 0 there and 1 now"):
        generate(tiny_sd, PROMPTS[:1], **call, quota=Quota({"gender": {"female": 0.5, "male": 0.5}}, seed=1))
    with pytest.raises(ValueError, match=r"by_keyword\.\S+ is null there .*; and \d+ more") as caught:
        generate(tiny_sd, PROMPTS[:1], **call, quota="labour")
    assert len(str(caught.value)) < 5000
    assert contents(tmp_path) == before
    assert "quota" in json.loads((tmp_path / "settings.json").read_text())["arms"]["mapped"]


@pytest.mark.parametrize(
    ("quota", "sampled", "says"),
    [
        ("even", False, "has none; fit one with"),
        ("even", None, "there is no map"),
        (Quota(scope="batch"), True, "a quota per batch goes on from call to call"),
        ({"gender": {"femal": 1.0}}, True, "femal"),
    ],
)
def test_a_quota_that_cannot_be_kept_is_refused_before_anything_is_written(tiny_sd, tmp_path, quota, sampled, says):
    fair_map = {True: tiny.sampled_map, False: tiny.random_map, None: lambda pipe: None}[sampled](tiny_sd)
    with pytest.raises(ValueError, match=says):
        generate(tiny_sd, PROMPTS, fair_map=fair_map, quota=quota, out=tmp_path / "run", **CALL)
    assert not (tmp_path / "run").exists()
    assert not is_attached(tiny_sd)


def test_the_pipeline_comes_back_as_it_was(crashing):
    pipe = tiny.make_sd()
    pipe.set_progress_bar_config(desc="mine", disable=True)
    generate(pipe, PROMPTS, **CALL)
    assert pipe._progress_bar_config == {"desc": "mine", "disable": True}
    del pipe._progress_bar_config
    cls = type(pipe)
    crashing("_draw", 1)
    with pytest.raises(KeyboardInterrupt):
        generate(pipe, PROMPTS, fair_map=tiny.random_map(pipe), **CALL)
    assert not hasattr(pipe, "_progress_bar_config")
    assert type(pipe) is cls


def test_progress_shows_images_and_time_left(tiny_sd, tmp_path, capfd):
    call = CALL | {"progress": True}
    generate(tiny_sd, PROMPTS[:1], out=tmp_path, **call)
    generate(tiny_sd, PROMPTS, out=tmp_path, **call)
    shown = capfd.readouterr().err
    assert "raw" in shown
    assert "3/3 images" in shown
    assert "left" in shown


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (ValueError, "no prompts", {"prompts": []}),
        (TypeError, "give a list", {"prompts": "a man"}),
        (ValueError, "'a man' is given twice", {"prompts": ["a man", "a man"]}),
        (ValueError, "images_per_prompt is 0", {"images_per_prompt": 0}),
        (ValueError, "seed is -1", {"seed": -1}),
        (ValueError, "batch_size is 0", {"batch_size": 0}),
        (ValueError, r"arm is '\.\./x'", {"arm": "../x"}),
        (TypeError, "takes no argument 'guidence_scale'; it takes prompt, height", {"guidence_scale": 3.0}),
        (TypeError, "generator is set by generate; use seed", {"generator": None}),
        (TypeError, "negative_prompt is list; give one string", {"negative_prompt": ["a hat"]}),
        (ValueError, "guidance_scale is nan; give a finite number", {"guidance_scale": float("nan")}),
        (ValueError, "num_inference_steps is 0; at least 1", {"num_inference_steps": 0}),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tiny_sd, tmp_path, error, match, arguments):
    with pytest.raises(error, match=match):
        generate(tiny_sd, **({"prompts": ["a man"], "out": tmp_path / "run", "progress": False} | arguments))
    assert not (tmp_path / "run").exists()


def test_a_pipeline_with_a_map_attached_or_another_encoder_is_refused(tiny_sd, tiny_sdxl, tmp_path):
    with attached(tiny_sd, tiny.random_map(tiny_sd)), pytest.raises(RuntimeError, match="attached to this pipeline"):
        generate(tiny_sd, PROMPTS, **CALL)
    with pytest.raises(ValueError, match="wide"):
        generate(tiny_sd, PROMPTS, fair_map=tiny.random_map(tiny_sdxl), out=tmp_path / "run", **CALL)
    assert not (tmp_path / "run").exists()


def test_only_the_embedded_model_has_defaults(tiny_sd):
    from fairmapping import portraits
    from fairmapping.portraits.denoiser import PortraitsDenoiser

    assert call_defaults(tiny_sd) == {}
    pipe = tiny.make_sd()
    pipe.register_modules(unet=PortraitsDenoiser(width=32, depth=1, in_channels=4))
    assert call_defaults(pipe) == portraits.DEFAULTS
