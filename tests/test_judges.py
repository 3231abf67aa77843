"""Judgements, judges by name, cards, and judging a folder that can be interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fairmapping import tables
from fairmapping.judges import FunctionJudge, Judge, Judgement, confusion, default_judge, load_judge, records
from fairmapping.store import Place


class Shade:
    """Dark pictures are "night", bright ones "day", black ones hold no face. Counts what it was shown."""

    name = "shade"

    def __init__(self, *, version: int = 1) -> None:
        self.attributes = {"light": ("day", "night")}
        self.card: dict[str, Any] = {"version": version, "confusion": {"light": [[9, 1], [2, 8]]}}
        self.seen = 0

    def __call__(self, images: Any) -> list[Judgement]:
        self.seen += len(images)
        found = []
        for image in images:
            level = float(np.asarray(image).mean()) / 255
            day = {"light": {"day": level, "night": 1 - level}}
            found.append(Judgement(1, day) if level > 0 else Judgement(0))
        return found


class Interrupted(Shade):
    """Stops in the second chunk."""

    def __call__(self, images: Any) -> list[Judgement]:
        if self.seen:
            raise KeyboardInterrupt
        return super().__call__(images)


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """150 grey pictures, the first of them black, and a row for each."""
    rows = []
    for index in range(150):
        Image.new("L", (4, 4), index).save(tmp_path / f"{index}.png")
        rows.append({"image": f"{index}.png", "prompt": "a light", "seed": index})
    return tmp_path, rows


def test_the_label_is_the_most_probable_group() -> None:
    judgement = Judgement(1, {"gender": {"female": 0.3, "male": 0.7}})
    assert judgement.label("gender") == "male"
    assert judgement.label("race") is None
    assert Judgement(0).label("gender") is None


def test_a_judge_does_not_guess_without_a_face() -> None:
    with pytest.raises(ValueError, match="without a face"):
        Judgement(0, {"gender": {"female": 1.0}})
    with pytest.raises(ValueError, match="faces is -1"):
        Judgement(-1)


def test_a_judge_is_found_by_object_or_import_path() -> None:
    judge = Shade()
    assert load_judge(judge) is judge
    assert load_judge(f"{__name__}:Shade").name == "shade"
    assert isinstance(judge, Judge)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("deepface", ValueError, "no judge is called 'deepface'"),
        ("no_such_module:Judge", ValueError, "No module named"),
        (f"{__name__}:Absent", ValueError, "Absent"),
        (object(), TypeError, "lacks name, attributes, card"),
    ],
)
def test_what_is_no_judge_is_refused(given: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        load_judge(given)


def test_confusion_follows_the_order_of_the_groups_asked_about() -> None:
    card = {"confusion": {"race": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]}}
    judged = ("asian", "black", "white")
    assert confusion(card, "race", ("white", "asian"), judged).tolist() == [[9, 7], [3, 1]]  # type: ignore[union-attr]
    assert confusion(card, "gender", ("female", "male"), ("female", "male")) is None
    with pytest.raises(ValueError, match="shape"):
        confusion(card, "race", ("asian", "black"), ("asian", "black"))


def test_every_image_gets_its_answer_in_order(folder: tuple[Path, list[dict[str, Any]]]) -> None:
    path, rows = folder
    judged = records.judge_images(Shade(), rows, path, progress=False)
    assert [row["image"] for row in judged] == [row["image"] for row in rows]
    assert judged[0]["faces"] == 0
    assert judged[0]["light"] is judged[0]["light_p"] is None
    assert judged[1]["light"] == "night"
    assert judged[149]["light"] == "day"
    assert judged[149]["light_p"] == pytest.approx(149 / 255, abs=1e-4)
    saved = records.read(Place(path), records.describe(Shade()))
    assert tables.about(saved)["judge"] == "shade"
    assert tables.rows_of(saved) == judged
    assert [file.name for file in (path / "judgements").iterdir()] == ["shade.parquet"]


def test_an_interrupted_judge_goes_on_where_it_stopped(folder: tuple[Path, list[dict[str, Any]]]) -> None:
    path, rows = folder
    with pytest.raises(KeyboardInterrupt):
        records.judge_images(Interrupted(), rows, path, progress=False)
    (lot,) = (path / "judgements").rglob("*.parquet")
    (lot.parent / "torn.parquet").write_bytes(lot.read_bytes()[:-20])
    again = Shade()
    judged = records.judge_images(again, rows, path, progress=False)
    assert again.seen == 150 - 64
    assert judged == records.judge_images(Shade(), rows, path / ".." / path.name, progress=False)
    assert len(records.read(Place(path), records.describe(Shade()))) == 150


def test_an_image_that_changed_is_judged_again(folder: tuple[Path, list[dict[str, Any]]]) -> None:
    path, rows = folder
    records.judge_images(Shade(), rows, path, progress=False)
    Image.effect_noise((8, 8), 50).save(path / "3.png")
    again = Shade()
    records.judge_images(again, rows, path, progress=False)
    assert again.seen == 1


def test_another_version_of_a_judge_judges_anew(folder: tuple[Path, list[dict[str, Any]]]) -> None:
    path, rows = folder
    records.judge_images(Shade(), rows, path, progress=False)
    other = Shade(version=2)
    records.judge_images(other, rows, path, progress=False)
    assert other.seen == 150


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:90] + b"oops" + data[94:]])
def test_damaged_answers_are_named_and_judged_again(folder: tuple[Path, list[dict[str, Any]]], damage: Any) -> None:
    path, rows = folder
    judged = records.judge_images(Shade(), rows, path, progress=False)
    described = records.describe(Shade())
    file = path / records.file_of(described)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=r"shade\.parquet is no readable Parquet file .*same call of audit"):
        records.read(Place(path), described)
    again = Shade()
    assert records.judge_images(again, rows, path, progress=False) == judged
    assert again.seen == 150


def test_missing_images_and_miscounting_judges_are_refused(folder: tuple[Path, list[dict[str, Any]]]) -> None:
    path, rows = folder

    class Short(Shade):
        def __call__(self, images: Any) -> list[Judgement]:
            return super().__call__(images)[1:]

    with pytest.raises(ValueError, match="gave 63 judgements for 64 images"):
        records.judge_images(Short(), rows, path, progress=False)
    (path / "5.png").unlink()
    with pytest.raises(FileNotFoundError, match="5.png"):
        records.judge_images(Shade(), rows, path, progress=False)


def test_a_judge_is_described_in_plain_json() -> None:
    described = records.describe(Shade())
    assert json.loads(json.dumps(described)) == described
    assert described["attributes"] == {"light": ["day", "night"]}


class Needy(Shade):
    def __init__(self, path: str) -> None:
        super().__init__()


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("os:path", TypeError, "'os:path' is a module, which cannot be called"),
        ("os:getcwd", TypeError, "str is not a judge"),
        ("os:gone", ValueError, "'os:gone' could not be loaded"),
        ("no_such_module:Judge", ValueError, "no_such_module"),
        (f"{__name__}:Needy", TypeError, "cannot be called without arguments: missing a required argument: 'path'"),
    ],
)
def test_a_path_that_makes_no_judge_is_explained(path: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        load_judge(path)


def test_more_faces_than_counted_are_refused() -> None:
    two = Judgement(2, {"light": {"day": 1.0}}, ({"light": {"night": 1.0}},))
    assert two.label("light") == "day"
    with pytest.raises(ValueError, match="besides the largest"):
        Judgement(1, {"light": {"day": 1.0}}, ({"light": {"night": 1.0}},))


def brightness(images: Any) -> list[Judgement]:
    return Shade()(images)


def misspelt(images: Any) -> list[Judgement]:
    return [Judgement(1, {"light": {"dusk": 1.0}}) for _ in images]


def test_a_function_is_a_judge() -> None:
    judge = FunctionJudge(brightness, {"light": ("day", "night")})
    assert isinstance(judge, Judge)
    assert load_judge(judge) is judge
    assert judge.name == "brightness"
    assert judge([Image.new("L", (4, 4), 200), Image.new("L", (4, 4), 0)])[0].label("light") == "day"


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: FunctionJudge("brightness", {"light": ("day", "night")}), TypeError, "got str"),  # type: ignore[arg-type]
        (lambda: FunctionJudge(brightness, {}), ValueError, "needs attributes"),
        (lambda: FunctionJudge(brightness, {"light": "day"}), ValueError, "two groups or more"),
        (lambda: FunctionJudge(brightness, {"light": ("day", "day")}), ValueError, "two groups or more"),
        (lambda: FunctionJudge(misspelt, {"light": ("day", "night")})([Image.new("L", (4, 4))]), ValueError, "'dusk'"),
        (lambda: FunctionJudge(lambda images: ["day"], {"light": ("day", "night")})([]), TypeError, "with a str"),
    ],
)
def test_a_function_that_fits_nothing_is_refused(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_an_installed_package_offers_a_judge_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "shades-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shades\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fairmapping.judges]\nshades = {__name__}:Shade\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_judge("shades").name == "shade"
    with pytest.raises(ValueError, match="known: clip, fairface, photo, portraits, shades"):
        load_judge("shade")
    with pytest.raises(TypeError, match="with a source of weights"):
        load_judge("shades=here")


def test_the_default_follows_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_judge(True) == "portraits"
    assert default_judge(False) == "photo"
    monkeypatch.setattr("fairmapping.judges.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"fairmapping\[photo\]"):
        default_judge(False)
    with pytest.raises(ModuleNotFoundError, match="dlib"):
        load_judge("photo")


CARD = {"judge": "shade", "attributes": {"light": ["night", "day"]}, "confusion": {"light": [[8, 2], [1, 9]]}}


def test_a_card_of_your_own_follows_the_order_of_the_judge(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(CARD))
    judge = Shade()
    carded = load_judge(judge, card=path)
    assert carded.card["confusion"]["light"] == [[9, 1], [2, 8]]
    assert carded.card["attributes"]["light"] == ["day", "night"]
    assert judge.card["version"] == 1  # the one given keeps its own


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"judge": "photo"}, "of the judge 'photo'"),
        ({"attributes": {"light": ["day", "dusk"]}}, "day, dusk"),
        ({"confusion": {"gender": [[1, 0], [0, 1]]}}, "no such attribute"),
        ({"confusion": {"light": [[1, 0]]}}, "shape"),
        ({"confusion": None}, "no 'confusion'"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load_judge(Shade(), card=CARD | change)


def test_a_card_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        load_judge(Shade(), card=tmp_path / "card.json")
    with pytest.raises(FileNotFoundError):
        load_judge(Shade(), card=tmp_path / "absent.json")
