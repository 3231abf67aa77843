"""What was done to an image, told by the pipeline, by generate, by the PNG file and by the command line."""

from __future__ import annotations

import json

import pytest
import tiny
import torch
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

import fairmapping as fm
from fairmapping.cli import app
from fairmapping.receipts import KEY, Receipt, read_receipt

PROMPTS = ["a portrait of a doctor", "a female nurse", "a red bicycle"]
CALL = {"num_inference_steps": 1}


@pytest.fixture
def drawn(tiny_sd, tmp_path):
    fair_map = tiny.sampled_map(tiny_sd)
    return fm.generate(tiny_sd, PROMPTS, fair_map=fair_map, out=tmp_path, strength=0.5, progress=False, **CALL)


def test_a_saved_image_tells_what_was_done_to_it(drawn):
    open_, named, thing = (read_receipt(drawn.folder / row.image) for row in drawn.rows)
    assert [open_, named, thing] == drawn.receipts
    assert open_.mapped == ("gender", "race")
    assert open_.moved_towards == drawn.rows[0].assigned
    assert open_.strength == 0.5
    assert open_.route == "sampled"
    assert open_.targets["gender"] == {"female": 0.5, "male": 0.5}
    assert open_.decision["keyword"] == "doctor"
    assert named.mapped == ("race",)
    assert [name for name, _ in named.moved_towards] == ["race"]
    assert named.decision["mentions"] == [{"attribute": "gender", "words": "female", "group": "female"}]
    assert thing.mapped == ()
    assert "left alone" in thing.reason


def test_an_image_without_a_map_says_so(tiny_sd, tmp_path):
    drawn = fm.generate(tiny_sd, PROMPTS[:1], out=tmp_path, progress=False, **CALL)
    assert read_receipt(drawn.folder / drawn.rows[0].image).reason == "drawn without a map"


def test_the_receipt_changes_no_pixel(tiny_sd, tmp_path):
    kept = fm.generate(tiny_sd, PROMPTS[:1], progress=False, **CALL).images[0]
    drawn = fm.generate(tiny_sd, PROMPTS[:1], out=tmp_path, progress=False, **CALL).images[0]
    assert kept.tobytes() == drawn.tobytes()


def test_an_attached_pipeline_tells_what_its_last_call_did(tiny_sd):
    fair_map = tiny.sampled_map(tiny_sd)
    with fm.attached(tiny_sd, fair_map):
        assert fm.receipts(tiny_sd) == []
        tiny_sd(PROMPTS, num_images_per_prompt=2, num_inference_steps=1, output_type="np")
        found = fm.receipts(tiny_sd)
        assert [receipt.prompt for receipt in found] == [prompt for prompt in PROMPTS for _ in range(2)]
        assert [receipt.mapped for receipt in found[::2]] == [("gender", "race"), ("race",), ()]
        embeds = torch.zeros(1, tiny.TOKENS, 32)
        tiny_sd(prompt_embeds=embeds, num_inference_steps=1, output_type="np", guidance_scale=1.0)
        assert fm.receipts(tiny_sd) == []
    with pytest.raises(RuntimeError, match="no map attached"):
        fm.receipts(tiny_sd)


def test_explain_reads_prompts_and_images(drawn):
    image = drawn.folder / drawn.rows[1].image
    result = CliRunner().invoke(app, ["explain", "a nurse shark", "a doctor and her patient", str(image)])
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "gender: leave race: apply" in words
    assert "“her” settles gender" in words
    assert "“female” settles gender" in words
    assert "strength 0.5" in words


@pytest.mark.parametrize("text", ["", "{", "[]", '{"prompt": 1}', "null", "[" * 100_000, json.dumps({"prompt": "x"})])
def test_a_damaged_receipt_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match="no receipt of fairmapping"):
        Receipt.from_json(text)


def test_what_is_no_image_of_ours_is_refused(tmp_path):
    plain, broken, odd = tmp_path / "plain.png", tmp_path / "broken.png", tmp_path / "odd.png"
    Image.new("RGB", (8, 8)).save(plain)
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    info = PngImagePlugin.PngInfo()
    info.add_text(KEY, '{"prompt": "a doctor", "decision": {"reason": 3}}')
    Image.new("RGB", (8, 8)).save(odd, pnginfo=info)
    for path, says in ((plain, "has no receipt"), (broken, "no readable image"), (odd, "no receipt of fairmapping")):
        with pytest.raises(ValueError, match=says):
            read_receipt(path)
        result = CliRunner().invoke(app, ["explain", str(path)])
        assert result.exit_code == 2
        assert "Traceback" not in result.output
    with pytest.raises(FileNotFoundError):
        read_receipt(tmp_path / "gone.png")


def test_explain_answers_for_the_attributes_that_are_asked(tiny_sd, tmp_path):
    def explain(*arguments):
        result = CliRunner().invoke(app, ["explain", "a doctor", *arguments])
        return result.exit_code, " ".join(result.output.split())

    tiny.sampled_map(tiny_sd).save_pretrained(tmp_path / "map")
    of_map = ("--map", str(tmp_path / "map"))
    for more in ((), of_map):
        code, said = explain(*more)
        assert code == 0 and "gender: apply" in said and "race: apply" in said
        code, said = explain("--attributes", "gender", *more)
        assert code == 0 and "gender: apply" in said and "race" not in said
        for empty in ("", " , "):
            code, said = explain("--attributes", empty, *more)
            assert code == 2 and "--attributes is empty; name one, such as gender" in said
        code, said = explain("--attributes", "height", *more)
        assert code == 2 and "height" in said
