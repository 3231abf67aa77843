"""The judge of photographs on the drawings of docs/portraits.png, whose faces are where anyone sees them, and skin tone
against known colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fairmapping.judges import Judge, load_judge, skin
from fairmapping.judges.faces import find_faces, rgb, upright
from fairmapping.judges.photo import PhotoJudge

SHEET = Path(__file__).parents[1] / "docs" / "portraits.png"  # 6 rows of 12 drawings, 64 pixels each


@pytest.fixture(scope="module")
def sheet() -> Image.Image:
    with Image.open(SHEET) as image:
        return image.convert("RGB")


def drawing(sheet: Image.Image, row: int, column: int) -> Image.Image:
    return sheet.crop((64 * column, 64 * row, 64 * column + 64, 64 * row + 64))


@pytest.fixture(scope="module")
def judge() -> PhotoJudge:
    return PhotoJudge()


def test_faces_lie_where_they_are_drawn(sheet: Image.Image) -> None:
    part = sheet.crop((0, 0, 256, 128))  # two rows of four
    faces = find_faces(part)
    cells = sorted((int((f.box[0] + f.box[2]) / 128), int((f.box[1] + f.box[3]) / 128)) for f in faces)
    assert cells == [(column, row) for column in range(4) for row in range(2)]
    assert all(25 < f.box[2] - f.box[0] < 50 for f in faces)
    assert [f.area for f in faces] == sorted((f.area for f in faces), reverse=True)


@pytest.mark.parametrize("side", [64, 200, 1100])
def test_one_face_is_one_face_at_any_size(sheet: Image.Image, side: int) -> None:
    (face,) = find_faces(drawing(sheet, 0, 1).resize((side, side)))
    assert 0.35 < (face.box[2] - face.box[0]) / side < 0.75


def test_a_leaning_face_is_cut_out_upright(sheet: Image.Image) -> None:
    straight = drawing(sheet, 0, 1).resize((256, 256))
    leaning = straight.rotate(20, fillcolor=(200, 230, 220))
    chips = [upright(image, find_faces(image)[0], 64, 0.25).astype(float) for image in (straight, leaning)]
    untouched = np.asarray(leaning.crop((64, 64, 192, 192)).resize((64, 64)), float)
    assert np.corrcoef(chips[0].ravel(), chips[1].ravel())[0, 1] > 0.8
    assert np.corrcoef(chips[0].ravel(), untouched.ravel())[0, 1] < 0.7


def test_no_face_and_several_faces_are_answers(judge: PhotoJudge, sheet: Image.Image) -> None:
    nobody, one, four = judge(
        [Image.new("RGB", (300, 200), "green"), drawing(sheet, 0, 1), sheet.crop((0, 64, 128, 192))]
    )
    assert (nobody.faces, one.faces, four.faces) == (0, 1, 4)
    assert nobody.probabilities == {}
    assert len(four.others) == 3
    for face in (one.probabilities, four.probabilities, *four.others):
        assert set(face) == set(judge.attributes)
        for attribute, groups in face.items():
            assert tuple(groups) == judge.attributes[attribute]
            assert sum(groups.values()) == pytest.approx(1, abs=1e-5)


def test_the_same_picture_gives_the_same_answer(judge: PhotoJudge, sheet: Image.Image) -> None:
    image = drawing(sheet, 1, 0)
    assert judge([image, image])[1] == judge([image])[0]


def test_mirrored_faces_are_judged_alike(judge: PhotoJudge, sheet: Image.Image) -> None:
    image = drawing(sheet, 1, 1).resize((256, 256))
    there, back = judge([image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])
    assert there.probabilities["gender"]["male"] == pytest.approx(back.probabilities["gender"]["male"], abs=0.2)


def test_dark_skin_is_told_from_light(judge: PhotoJudge, sheet: Image.Image) -> None:
    light, dark = judge([drawing(sheet, 0, 1), drawing(sheet, 4, 1)])
    order = list(skin.ITA_CLASSES)
    assert order.index(str(light.label("skin_tone"))) <= 1
    assert order.index(str(dark.label("skin_tone"))) >= 4
    assert int(str(light.label("monk"))) <= 4
    assert int(str(dark.label("monk"))) >= 7


def test_its_card_plugs_in(judge: PhotoJudge) -> None:
    assert isinstance(judge, Judge)
    assert load_judge(judge, card=judge.card).card["confusion"] == judge.card["confusion"]


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK"])
def test_any_kind_of_picture_is_read(mode: str) -> None:
    assert rgb(Image.new("RGB", (8, 8), "white").convert(mode)).getpixel((3, 3)) == (255, 255, 255)


def test_what_is_behind_a_transparent_picture_is_white() -> None:
    assert rgb(Image.new("RGBA", (8, 8), (0, 0, 0, 0))).getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize("given", [None, "face.png", np.zeros((8, 8, 3), np.uint8)])
def test_what_is_no_picture_is_refused(judge: PhotoJudge, given: Any) -> None:
    with pytest.raises(TypeError, match="takes PIL images"):
        judge([given])


def test_no_picture_has_no_answer(judge: PhotoJudge) -> None:
    assert judge([]) == []


def test_pictures_without_room_for_a_face_have_none(judge: PhotoJudge) -> None:
    assert [answer.faces for answer in judge([Image.new("RGB", (1, 1)), Image.new("RGB", (5000, 2))])] == [0, 0]


@pytest.mark.parametrize(
    ("colour", "expected"),  # CIE L*a*b* under D65 (brucelindbloom.com)
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_colours_are_turned_to_lab(colour: Any, expected: Any) -> None:
    assert skin.lab(np.array(colour, np.uint8)) == pytest.approx(np.array(expected), abs=0.02)


def test_the_typology_angle_is_that_of_its_paper() -> None:
    assert skin.typology_angle(np.array([60.0, 12, 15])) == pytest.approx(33.69, abs=0.01)
    assert skin.typology_angle(np.array([50.0, 12, 15])) == pytest.approx(0)
    assert skin.typology_angle(np.array([40.0, 12, 10])) == pytest.approx(-45)


@pytest.mark.parametrize("number", range(10))
def test_a_face_of_a_swatch_has_that_tone(number: int) -> None:
    colour = np.array(list(bytes.fromhex(skin.MONK[number])), np.uint8)
    tones = skin.skin_tone(np.broadcast_to(colour, (64, 64, 3)).copy())
    assert tones["monk"][str(number + 1)] == 1
    assert sum(tones["skin_tone"].values()) == pytest.approx(1)


def test_hair_beard_and_shine_do_not_move_the_tone() -> None:
    face = np.full((64, 64, 3), list(bytes.fromhex(skin.MONK[4])), np.uint8)
    face[:12] = face[44:] = 20  # fringe and beard
    face[30:34, 30:34] = 255  # a highlight on the nose
    assert skin.skin_tone(face)["monk"]["5"] == 1
