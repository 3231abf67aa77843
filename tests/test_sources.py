"""Folders of images that somebody else made, as an audit: prompts, arms, what cannot be used, going on after a stop."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import fairmapping as fm
from fairmapping.audit import rescore
from fairmapping.judges import Judgement
from fairmapping.receipts import KEY, Receipt
from fairmapping.report import report
from fairmapping.results import Audit
from fairmapping.sources import audit_images
from fairmapping.sources.folder import read_folder
from fairmapping.sources.rows import Known, arms_of, as_rows
from fairmapping.sources.texts import told_by_json, told_by_png, told_by_text

DARK, BRIGHT = 40, 200


class Shade:
    """Bright pictures are female, dark ones male, black ones without a face. Counts what it was shown."""

    name = "shade"
    card: dict[str, Any] = {"confusion": {"gender": [[9, 1], [2, 8]]}}

    def __init__(self, stop_after: int | None = None) -> None:
        self.attributes = {"gender": ("female", "male")}
        self.seen, self.stop_after = 0, stop_after

    def __call__(self, images: Any) -> list[Judgement]:
        if self.stop_after is not None and self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        levels = [float(np.asarray(image).mean()) / 255 for image in images]
        return [
            Judgement(1, {"gender": {"female": level, "male": 1 - level}}) if level else Judgement(0)
            for level in levels
        ]


def draw(path: Path, level: int, **texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new("L", (4, 4), level).save(path, **({"pnginfo": info} if path.suffix == ".png" else {}))
    return path


def notes_of(audit: Audit) -> str:
    return " ".join(audit.settings["source"]["notes"])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for index in range(4):
        draw(tmp_path / "pictures" / "a_photo_of_a_nurse" / f"{index}.png", BRIGHT)
        draw(tmp_path / "pictures" / "a female doctor" / f"{index}.jpg", BRIGHT)
        draw(tmp_path / "pictures" / "doctor" / f"{index}.webp", DARK if index else 0)
    return tmp_path / "pictures"


def test_folders_are_prompts_and_the_detector_finds_their_keywords(pictures: Path, tmp_path: Path) -> None:
    found = fm.audit_images(pictures, judge=Shade(), out=tmp_path / "out", progress=False)
    assert found.keywords == ["nurse", "doctor"]
    assert set(found.rows["prompt"]) == {"a photo of a nurse", "a female doctor", "doctor"}
    table = found.table("gender").set_index("keyword")
    assert (table.loc["doctor", "images"], table.loc["doctor", "no_face"], table.loc["doctor", "male"]) == (4, 1, 1)
    assert found.obeyed().set_index("group").loc["female", "share"] == 1
    assert "explicit, not as neutral: 4 images" in notes_of(found)
    assert "name of their folder: 12" in notes_of(found)


def test_it_is_an_audit_like_any_other(pictures: Path, tmp_path: Path) -> None:
    found = audit_images(pictures, judge=Shade(), out=tmp_path / "out", model="theirs", progress=False)
    again = Audit.load(tmp_path / "out")
    pd.testing.assert_frame_equal(found.rows, again.rows)
    assert again.settings == found.settings
    page = report(again, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What theirs draws" in page
    assert "Fair Mapping</h1>" not in page
    assert "name of their folder" in page
    assert page.count("data:image/png;base64,") == 2  # the pictures of both neutral keywords are shown
    other = Shade()
    other.name = "other"
    assert rescore(tmp_path / "out", other, progress=False).settings["source"] == found.settings["source"]
    assert other.seen == 12


def test_a_table_names_prompts_arms_and_seeds(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    rows = []
    for arm, level in (("old", DARK), ("new", BRIGHT)):
        for seed in range(8):
            name = draw(folder / arm / f"{seed}.png", level).relative_to(folder)
            rows.append({"File": str(name), "Prompt": "a portrait of a judge", "arm": arm, "seed": f"{seed}.0"})
    draw(folder / "spare.png", DARK)
    frame = pd.DataFrame([*rows, rows[0], {"File": "gone.png", "Prompt": "x", "arm": "old", "seed": 1}])
    frame.to_csv(tmp_path / "prompts.csv", index=False, encoding="utf-8-sig", sep=";")
    frame.astype(str).to_parquet(tmp_path / "prompts.parquet")
    frame.to_json(tmp_path / "prompts.jsonl", lines=True, orient="records")
    for ending in ("csv", "parquet", "jsonl"):
        table, out = tmp_path / f"prompts.{ending}", tmp_path / ending
        found = audit_images(folder, judge=Shade(), out=out, prompts=table, arms=("old", "new"), progress=False)
        compared = found.compare("gender")
        assert (compared.changed.value, compared.changed.n) == (1, 8)
        assert "1 image that the table does not name" in notes_of(found)
        assert "1 row of the table" in notes_of(found)
        assert "both arms: 8" in notes_of(found)


def test_two_folders_are_two_arms_and_pairs_need_seeds(tmp_path: Path) -> None:
    for index in range(12):
        draw(tmp_path / "old" / "clerk" / f"{index}.png", DARK)
        draw(tmp_path / "new" / "clerk" / f"{index}.png", BRIGHT if index % 2 else DARK)
    folders = {"before": tmp_path / "old", "after": tmp_path / "new"}
    apart = audit_images(folders, judge=Shade(), out=tmp_path / "apart", progress=False)
    compared = apart.compare("gender")
    assert compared.changed.n == 0
    assert compared.difference.value == -1
    assert compared.difference.low < compared.difference.high < 0
    assert compared.verdict == "fell"
    assert "compared as independent" in notes_of(apart)
    page = report(apart, tmp_path / "apart.html").read_text(encoding="utf-8")
    assert "drawn apart" in page
    assert "with the fair map" not in page
    assert "same starting noise" not in page
    paired = audit_images(folders, judge=Shade(), out=tmp_path / "paired", pair_by="name", progress=False)
    assert paired.compare("gender").changed.n == 12


def test_what_cannot_be_used_is_counted(pictures: Path, tmp_path: Path) -> None:
    (pictures / "doctor" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    whole = draw(pictures / "doctor" / "torn.jpg", DARK).read_bytes()
    (pictures / "doctor" / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    (pictures / "doctor" / "empty.gif").touch()
    (pictures / "notes.md").write_text("x")
    (pictures / "film.mp4").write_text("x")
    (pictures / ".hidden.png").write_text("x")
    found = audit_images(pictures, judge=Shade(), out=pictures / "audit", progress=False)
    assert len(found.rows) == 12
    assert [Path(path).name for path in found.settings["source"]["unreadable"]] == [
        "broken.png",
        "empty.gif",
        "torn.jpg",
    ]
    assert "3 images that cannot be read (broken.png, empty.gif, torn.jpg)" in notes_of(found)
    assert "2 files of other kinds (1 .mp4, 1 .md)" in notes_of(found)
    judge = Shade()
    again = audit_images(pictures, judge=judge, out=pictures / "audit", progress=False)
    assert judge.seen == 0  # the audit's own folder is no picture, and what was judged stays judged
    assert again.settings["source"]["notes"] == found.settings["source"]["notes"]


def test_an_interrupted_judging_goes_on(tmp_path: Path) -> None:
    for index in range(150):
        draw(tmp_path / "pictures" / f"{index}.png", 1 + index)
    with pytest.raises(KeyboardInterrupt):
        audit_images(tmp_path / "pictures", judge=Shade(stop_after=64), out=tmp_path / "out", progress=False)
    judge = Shade()
    found = audit_images(tmp_path / "pictures", judge=judge, out=tmp_path / "out", progress=False)
    assert judge.seen == 150 - 64
    whole = audit_images(tmp_path / "pictures", judge=Shade(), out=tmp_path / "whole", progress=False)
    pd.testing.assert_frame_equal(found.rows, whole.rows)


def test_names_in_any_alphabet(tmp_path: Path) -> None:
    folder = tmp_path / "bilder"
    for name in ("Ärztin/größe é.png", "看護師/一.png"):
        draw(folder / name, BRIGHT)
    parted = unicodedata.normalize("NFD", "Ärztin/größe é.png")
    table = pd.DataFrame({"image": [parted, "看護師\\一.png"], "keyword": ["doctor", "nurse"]})
    found = audit_images(folder, judge=Shade(), out=tmp_path / "out", prompts=table, progress=False)
    assert found.keywords == ["doctor", "nurse"]
    assert audit_images(folder, judge=Shade(), out=tmp_path / "names", progress=False).keywords == ["Ärztin", "看護師"]


def test_bare_names_in_a_table_must_fit_one_image(tmp_path: Path) -> None:
    for place in ("a", "b"):
        draw(tmp_path / "p" / place / "1.png", DARK)
    with pytest.raises(ValueError, match="fits a/1.png and b/1.png"):
        read_folder(tmp_path / "p", [*_table("1.png")], progress=False)
    draw(tmp_path / "p" / "c" / "2.png", DARK)
    assert [one.name for one in read_folder(tmp_path / "p", [*_table("2")], progress=False).found] == ["c/2.png"]
    assert read_folder(tmp_path / "p", [*_table("p/a/1.png")], progress=False).found[0].name == "a/1.png"


def _table(*names: str) -> Any:
    from fairmapping.sources.folder import read_prompts

    return read_prompts(pd.DataFrame({"image": list(names), "prompt": "a cook"}))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: None, "is no folder"),
        (lambda folder: folder.mkdir(), "holds no image"),
        (lambda folder: (folder.mkdir(), (folder / "a.txt").touch()), r"it holds 1 \.txt"),
        (lambda folder: (folder.mkdir(), (folder / "a.png").touch()), "none of the 1 image can be read"),
    ],
)
def test_a_folder_without_images_is_refused(tmp_path: Path, make: Any, says: str) -> None:
    make(tmp_path / "p")
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        audit_images(tmp_path / "p", judge=Shade(), out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "audit.json").exists()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"image": ["1.png"]}, "no column is called prompt or caption or text, or keyword"),
        ({"prompt": ["a cook"]}, "no column is called image"),
        ({"image": ["x.png"], "prompt": ["a cook"]}, "names none of the 12 images"),
        ({"image": ["1.png"] * 2, "prompt": ["a cook", "a clerk"]}, "'1.png' twice, with different entries"),
        ({"image": [], "prompt": []}, "has no rows"),
        ({"image": ["0.webp"], "prompt": [" "]}, "neither a prompt nor a keyword|no image has a prompt"),
        ({"image": ["0.webp", "1.webp"], "prompt": "a cook", "arm": ["raw", "odd"]}, "an arm is 'odd'"),
    ],
)
def test_a_table_that_says_too_little_is_refused(pictures: Path, tmp_path: Path, table: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        audit_images(pictures, judge=Shade(), out=tmp_path / "out", prompts=pd.DataFrame(table), progress=False)


def test_arguments_that_contradict_each_other_are_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pair_by is 'luck'"):
        audit_images(pictures, judge=Shade(), out=tmp_path / "out", pair_by="luck")
    with pytest.raises(ValueError, match="there are neither"):
        audit_images(pictures, judge=Shade(), out=tmp_path / "out", arms=("a", "b"))
    with pytest.raises(ValueError, match="two that differ"):
        audit_images({"before": pictures, "after": pictures}, judge=Shade(), out=tmp_path / "out")
    with pytest.raises(ValueError, match="does not judge 'race'"):
        audit_images(pictures, judge=Shade(), out=tmp_path / "out", attributes="race")
    with pytest.raises(ValueError, match="an arm is"):
        audit_images({"one": pictures, "two": pictures.parent}, judge=Shade(), out=tmp_path / "out", progress=False)


def test_another_audit_is_not_written_over(pictures: Path, tmp_path: Path) -> None:
    audit_images(pictures, judge=Shade(), out=tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match="holds an audit of"):
        audit_images(pictures / "doctor", judge=Shade(), out=tmp_path / "out", progress=False)
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "settings.json").write_text("{}")
    with pytest.raises(ValueError, match="fairmapping drew"):
        audit_images(pictures, judge=Shade(), out=tmp_path / "drawn", progress=False)


GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 9, "positive": ["6", 0], "negative": ["7", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["8", 0]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly"}},
    "8": {"class_type": "String", "inputs": {"value": "a welder"}},
}
PARAMETERS = "a welder,\nat work\nNegative prompt: ugly\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 4x4"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"prompt": " a welder ", "seed": 3}, ("a welder", 3)),
        ({"prompt": "a welder", "seed": -1}, ("a welder", None)),
        ({"caption": "a welder"}, ("a welder", None)),
        ({"meta": {"prompt": "a welder", "seed": "4"}}, ("a welder", 4)),
        ({"positive_prompt": "a welder", "seed": 2**63}, ("a welder", 2**63)),
        ({"parameters": PARAMETERS}, ("a welder,\nat work", 5)),
        (GRAPH, ("a welder", 9)),
        ({"3": {"class_type": "KSampler", "inputs": {"positive": ["3", 0]}}}, None),
        ({"prompt": ""}, None),
        ([], None),
        (7, None),
    ],
)
def test_json_beside_an_image(tmp_path: Path, value: Any, told: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value), encoding="utf-8-sig")
    assert told_by_json(tmp_path / "a.json") == told


def test_text_beside_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(PARAMETERS)
    assert told_by_text(tmp_path / "a.txt") == ("a welder,\nat work", 5)
    (tmp_path / "a.txt").write_text("a photo of a welder\n")
    assert told_by_text(tmp_path / "a.txt") == ("a photo of a welder", None)
    (tmp_path / "a.txt").write_text(" ")
    assert told_by_text(tmp_path / "a.txt") is None


def test_text_inside_an_image(tmp_path: Path) -> None:
    receipt = Receipt("a welder").to_json()
    for texts, told in (
        ({"parameters": PARAMETERS}, ("a welder,\nat work", 5)),
        ({"prompt": json.dumps(GRAPH)}, ("a welder", 9)),
        ({"prompt": "a welder"}, ("a welder", None)),
        ({"invokeai_metadata": json.dumps({"positive_prompt": "a welder", "seed": 1})}, ("a welder", 1)),
        ({"Comment": "not json", "Description": "a welder"}, ("a welder", None)),
        ({KEY: receipt}, ("a welder", None)),
        ({KEY: "{"}, None),
        ({"Software": "x"}, None),
    ):
        assert told_by_png(draw(tmp_path / "a.png", DARK, **texts)) == told
    (tmp_path / "a.png").write_bytes(b"no image")
    assert told_by_png(tmp_path / "a.png") is None


def test_what_is_told_beside_goes_before_what_is_told_inside(tmp_path: Path) -> None:
    folder = tmp_path / "cook"
    for name in ("1.png", "2.png", "3.png"):
        draw(folder / name, DARK, parameters="a welder")
    (folder / "1.json").write_text('{"prompt": "a nurse"}')
    (folder / "2.png.json").write_text("{broken")
    draw(folder / "4.jpg", DARK)
    read = read_folder(folder, progress=False)
    assert [one.prompt for one in read.found] == ["a nurse", "a welder", "a welder", "cook"]
    assert "Not to be read: 1 file beside images, such as 2.png.json." in read.notes


def test_a_prompt_that_settles_a_group_is_never_neutral() -> None:
    prompts = ["a nurse", "Maria the nurse", "a man and a woman, both nurses", "an asian nurse"]
    rows, _ = as_rows([Known(str(i), "raw", prompt) for i, prompt in enumerate(prompts)], ["gender"], progress=False)
    assert [row["groups"] for row in rows] == [(), (("gender", None),), (("gender", None),), ()]


def test_seeds_make_pairs_only_where_both_arms_have_them_once() -> None:
    seeds = {"raw": [1, 2, 2, None], "mapped": [1, 2, 3, None]}
    known = [Known(f"{arm}{i}", arm, "a cook", seed=seed) for arm, of in seeds.items() for i, seed in enumerate(of)]
    rows, notes = as_rows(known, ["gender"], progress=False)
    kept = {arm: {row["seed"] for row in rows if row["arm"] == arm} for arm in seeds}
    assert kept["raw"] & kept["mapped"] == {1}
    assert len({(row["arm"], row["seed"]) for row in rows}) == len(rows)
    assert notes == ["Pairs of the same prompt and seed in both arms: 1."]


def test_seeds_fit_into_tables() -> None:
    rows, _ = as_rows([Known("a", "raw", "a cook", seed=2**64 - 1)], ["gender"], progress=False)
    assert rows[0]["seed"] == 2**63 - 1


def test_arms_by_any_name() -> None:
    assert arms_of([None, None], None) == ["raw", "raw"]
    assert arms_of(["sd15"], None) == ["raw"]
    assert arms_of(["after", "before"], None) == ["mapped", "raw"]
    assert arms_of(["b", "a"], ("a", "b")) == ["mapped", "raw"]
    for names in ("ab", ("a",), ("a", "a"), ("a", "b", "c")):
        with pytest.raises(ValueError, match="give two different names"):
            arms_of(["a"], names)


def test_keywords_with_few_images_are_pointed_out() -> None:
    known = [Known(str(i), "raw", None, "cook" if i else "clerk") for i in range(41)]
    assert "from 1 to 40 images" in as_rows(known, ["gender"], progress=False)[1][0]


def test_a_judge_sees_photographs_upright(tmp_path: Path) -> None:
    class Sizes(Shade):
        def __call__(self, images: Any) -> list[Judgement]:
            sizes.extend(image.size for image in images)
            return super().__call__(images)

    sizes: list[tuple[int, int]] = []
    exif = Image.Exif()
    exif[0x0112] = 8
    (tmp_path / "nurse").mkdir()
    Image.new("RGB", (8, 4), (90, 90, 90)).save(tmp_path / "nurse" / "a.jpg", exif=exif)
    before = (tmp_path / "nurse" / "a.jpg").read_bytes()
    audit_images(tmp_path, judge=Sizes(), out=tmp_path / "out", progress=False)
    assert sizes == [(4, 8)]
    assert (tmp_path / "nurse" / "a.jpg").read_bytes() == before
