"""The pictures of a model card: drawn, saved, read again, pushed, and no danger when somebody tampered with them."""

from __future__ import annotations

import hashlib
import io
import json
import re

import pytest
import tiny
from PIL import Image

import fairmapping as fm
from fairmapping.mapping import FairMap, MapConfig
from fairmapping.showcase import showcase

CALL = {"num_inference_steps": 1, "progress": False}


@pytest.fixture
def shown(tiny_sd):
    fair_map = tiny.sampled_map(tiny_sd)
    showcase(tiny_sd, fair_map, ["a portrait of a doctor", "a <b>female</b> asian nurse | `x` *y*"], seed=3, **CALL)
    return fair_map


def test_the_pictures_are_what_generate_draws(tiny_sd, shown):
    """The upper row without the map, the lower with it; the second prompt is left alone, so its rows are the same."""
    assert len(shown.pictures) == 2
    prompts = shown.config.pictures["prompts"]
    drawn = [
        fm.generate(tiny_sd, prompts, images_per_prompt=4, seed=3, fair_map=arm, **CALL).images for arm in (None, shown)
    ]
    side = drawn[0][0].width * (128 // drawn[0][0].width)
    for index, content in enumerate(shown.pictures):
        sheet = Image.open(io.BytesIO(content))
        assert sheet.size == (4 * side + 3 * 6, 2 * side + 6)
        for row, images in enumerate(drawn):
            for column in range(4):
                at = (column * (side + 6), row * (side + 6))
                cell = sheet.crop((*at, at[0] + side, at[1] + side)).resize(images[0].size, Image.Resampling.NEAREST)
                assert cell.tobytes() == images[index * 4 + column].convert("RGB").tobytes()
    assert drawn[0][:4] != drawn[1][:4]
    assert drawn[0][4:] == drawn[1][4:]


def test_the_card_shows_them_and_says_how_they_were_drawn(shown, tmp_path):
    folder = shown.save_pretrained(tmp_path / "map")
    card = (folder / "README.md").read_text()
    links = re.findall(r"\]\((picture-\d+\.png)\)", card)
    assert links == ["picture-0.png", "picture-1.png"]
    assert all((folder / link).read_bytes() == content for link, content in zip(links, shown.pictures, strict=True))
    assert "**a portrait of a doctor**: mapped in gender and race" in card
    assert r"**a &lt;b&gt;female&lt;/b&gt; asian nurse \| \`x\` \*y\***: left alone by the detector" in card
    assert "images_per_prompt=4, seed=3, num_inference_steps=1)`" in card
    assert "none picked" in card
    assert "a StableDiffusionPipeline" in card
    again = FairMap.from_pretrained(folder)
    assert again.pictures == shown.pictures
    assert again.config == shown.config
    again.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "README.md").read_text() == card


def test_pictures_of_a_map_that_was_there_before_are_removed(tiny_sd, shown, tmp_path):
    shown.save_pretrained(tmp_path)
    tiny.sampled_map(tiny_sd).save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.png"))
    assert FairMap.from_pretrained(tmp_path).pictures == ()
    assert "Before and after" not in (tmp_path / "README.md").read_text()


def test_by_default_the_first_keywords_that_it_serves_are_shown(tiny_sd):
    fair_map = tiny.sampled_map(tiny_sd)
    attributes = fair_map.config.attributes
    words = ["sommelier", "doctor", "xylograph", "nurse", "judge", "cook", "clerk"]

    def prompts_of(**config):
        fair_map.config, fair_map._detector = MapConfig(attributes=attributes, templates=["a {words}"], **config), None
        showcase(tiny_sd, fair_map, images_per_prompt=1, **CALL)
        return fair_map.config.pictures

    found = prompts_of(keywords=["teacher", "doctor"], held_out=["nurse shark", "physician", "teachers' aide"])
    assert set(found["prompts"]) <= {"a physician", "a teachers' aide"}
    assert "held out from fitting that it maps" in found["chosen"]
    found = prompts_of(keywords=words)
    assert len(found["prompts"]) == 4
    assert "keywords of the fit" in found["chosen"]
    found = prompts_of(keywords=["infirmière"])
    assert found["prompts"] == ["a infirmière"]
    with pytest.raises(ValueError, match="knows no keywords to show; give prompts"):
        prompts_of()


def test_the_model_is_named_without_telling_where_it_lies(tiny_sd, tmp_path):
    for source, said in {"user/model": "user/model", str(tmp_path / "mine"): "mine", "/gone/model": "model"}.items():
        tiny_sd.register_to_config(_name_or_path=source)
        fair_map = tiny.sampled_map(tiny_sd)
        showcase(tiny_sd, fair_map, ["a doctor"], images_per_prompt=1, **CALL)
        assert fair_map.config.pictures["model"] == said
    tiny_sd.register_to_config(_name_or_path="")


def test_what_cannot_be_shown_is_refused_and_the_map_stays(tiny_sd, shown):
    before = (shown.pictures, shown.config)
    with pytest.raises(ValueError, match="17 prompts for a model card"):
        showcase(tiny_sd, shown, [f"prompt {i}" for i in range(17)], **CALL)
    with pytest.raises(TypeError, match="a list"):
        showcase(tiny_sd, shown, "a doctor", **CALL)
    with pytest.raises(ValueError, match="images_per_prompt"):
        showcase(tiny_sd, shown, ["a doctor"], images_per_prompt=0, **CALL)
    with pytest.raises(ValueError):
        showcase(tiny_sd, shown, [], **CALL)
    assert (shown.pictures, shown.config) == before


def configured(folder, change):
    path = folder / "config.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


def test_pictures_that_are_gone_do_not_matter_and_others_are_refused(shown, tmp_path):
    folder = shown.save_pretrained(tmp_path)
    content = (folder / "picture-1.png").read_bytes()
    (folder / "picture-1.png").unlink()
    found = FairMap.from_pretrained(folder)
    assert (found.pictures, found.config.pictures) == ((), {})
    (folder / "picture-1.png").write_bytes(content + b"more")
    with pytest.raises(ValueError, match=r"picture-1\.png is not the file"):
        FairMap.from_pretrained(folder)
    with (folder / "picture-1.png").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(ValueError, match="more than any map's"):
        FairMap.from_pretrained(folder)
    script = b"<script>alert(1)</script>"
    (folder / "picture-1.png").write_bytes(script)
    digest = hashlib.sha256(script).hexdigest()
    configured(folder, lambda table: table["sha256"].update({"picture-1.png": digest}))
    with pytest.raises(ValueError, match="no PNG file"):
        FairMap.from_pretrained(folder)


@pytest.mark.parametrize(
    "told",
    [{"prompts": "abc"}, {"prompts": ["a"] * 17, "mapped": [[]] * 17, "call": {}}, {"prompts": [], "mapped": []}],
)
def test_an_account_of_pictures_that_is_none_is_refused(shown, tmp_path, told):
    folder = shown.save_pretrained(tmp_path)
    configured(folder, lambda table: table.update(pictures=told))
    with pytest.raises(ValueError, match="no account of pictures"):
        FairMap.from_pretrained(folder)
