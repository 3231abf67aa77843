"""The embedded model and its judge, as shipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from fairmapping import embed, lists, portraits
from fairmapping.attach import attached
from fairmapping.judges import Judge, Judgement
from fairmapping.mapping import FairMap
from fairmapping.portraits.autoencoder import PortraitsAutoencoder
from fairmapping.portraits.denoiser import PortraitsDenoiser
from fairmapping.portraits.judge import PortraitsJudge


def draw(pipe: StableDiffusionPipeline, prompts: list[str], **call: object) -> list[Image.Image]:
    generators = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    return pipe(prompts, generator=generators, **{**portraits.DEFAULTS, **call}).images


@pytest.fixture(scope="module")
def judge() -> PortraitsJudge:
    return PortraitsJudge()


def test_it_is_a_plain_pipeline_within_its_size(portraits_pipe: StableDiffusionPipeline) -> None:
    assert type(portraits_pipe) is StableDiffusionPipeline
    weights = list(portraits.WEIGHTS.rglob("*.safetensors"))
    assert len(weights) == 3
    assert sum(path.stat().st_size for path in weights) < 20e6
    assert not [path for path in portraits.WEIGHTS.rglob("*") if path.suffix in {".bin", ".pt", ".pkl", ".ckpt"}]


def test_plain_diffusers_loads_what_it_saves(portraits_pipe: StableDiffusionPipeline, tmp_path: Path) -> None:
    """In a new process, which has imported the two model classes, as the docs say, and nothing else of ours."""
    portraits_pipe.save_pretrained(tmp_path / "saved")
    code = f"""
import torch
from diffusers import DiffusionPipeline
from fairmapping.portraits import autoencoder, denoiser
pipe = DiffusionPipeline.from_pretrained({str(tmp_path / "saved")!r}, local_files_only=True)
assert type(pipe).__name__ == "StableDiffusionPipeline" and pipe.text_encoder.config.use_attention_mask
torch.set_num_threads({torch.get_num_threads()})
generator = [torch.Generator().manual_seed(0)]
image = pipe(["a portrait of a nurse"], generator=generator, num_inference_steps=3, guidance_scale=2.0).images[0]
image.save({str(tmp_path / "nurse.png")!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    expected = draw(portraits_pipe, ["a portrait of a nurse"], num_inference_steps=3, guidance_scale=2.0)[0]
    assert expected.size == (64, 64)
    with Image.open(tmp_path / "nurse.png") as found:
        assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(expected))


def test_missing_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="training/README"):
        portraits.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="training/README"):
        PortraitsJudge(tmp_path / "judge")


def test_a_missing_text_encoder_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"fairmapping\[portraits\]"):
        portraits.load_text_encoder()


def test_explicit_prompts_are_obeyed(portraits_pipe: StableDiffusionPipeline, judge: PortraitsJudge) -> None:
    """A sample of what docs/portraits.md measures over all occupations; a coin gets 55 of 64 once in 10^8 runs."""
    cases = [(gender, race) for gender in ("female", "male") for race in ("asian", "black", "hispanic", "white")]
    keywords = ("electrician", "nurse", "lawyer", "cook", "baker", "pilot", "singer", "clerk")
    prompts = [f"a portrait of a {race} {gender} {keyword}" for keyword in keywords for gender, race in cases]
    judged = judge(draw(portraits_pipe, prompts))
    for attribute, position in (("gender", 0), ("race", 1)):
        right = [judged[i].label(attribute) == cases[i % len(cases)][position] for i in range(len(prompts))]
        assert np.mean(right) > 0.85, attribute


def test_neutral_prompts_show_the_bias_they_were_taught(
    portraits_pipe: StableDiffusionPipeline, judge: PortraitsJudge
) -> None:
    """Stable Diffusion v1.5 drew no woman among 250 carpenters and no man among 250 nurses."""
    women = {}
    for keyword in ("carpenter", "nurse"):
        labels = [j.label("gender") for j in judge(draw(portraits_pipe, [f"a portrait of a {keyword}"] * 24))]
        women[keyword] = labels.count("female") / len(labels)
    assert women["nurse"] - women["carpenter"] > 0.6


def test_guidance_is_an_input_of_the_denoiser(portraits_pipe: StableDiffusionPipeline) -> None:
    """So a guided step costs one pass: the pipeline gives the scale as an embedding and encodes no negative prompt."""
    unet = portraits_pipe.unet
    x, prompt = torch.randn(2, 40, 8, 8), torch.randn(2, 24, 384)
    width = unet.config["time_cond_proj_dim"]
    one, four = (
        StableDiffusionPipeline.get_guidance_scale_embedding(None, torch.full((2,), w), width) for w in (0.0, 3.0)
    )
    with torch.inference_mode():
        plain = unet(x, 500, prompt).sample
        assert torch.allclose(plain, unet(x, torch.tensor([500, 500]), prompt, timestep_cond=one).sample, atol=1e-6)
        assert not torch.allclose(plain, unet(x, 500, prompt, timestep_cond=four).sample, atol=1e-3)
        assert torch.equal(plain, unet(x, 500, prompt, return_dict=False)[0])
    first, second = (
        draw(portraits_pipe, ["a portrait of a nurse"], negative_prompt=[text])[0] for text in ("", "a man")
    )
    assert np.array_equal(np.asarray(first), np.asarray(second))


def test_the_denoiser_refuses_what_it_would_ignore() -> None:
    denoiser = PortraitsDenoiser(width=32, depth=1)
    with pytest.raises(ValueError, match="scale"):
        denoiser(torch.randn(1, 40, 8, 8), 1, torch.randn(1, 4, 384), cross_attention_kwargs={"scale": 0.5})


def test_a_new_denoiser_starts_at_zero_and_sees_every_input() -> None:
    torch.manual_seed(0)
    denoiser = PortraitsDenoiser(width=32, depth=2)
    x, prompt = torch.randn(3, 40, 8, 8), torch.randn(3, 5, 384)
    assert not denoiser(x, 10, prompt).sample.any()
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    base = denoiser(x, 10, prompt).sample
    for other in ((x.flip(2), 10, prompt), (x, 400, prompt), (x, 10, prompt.flip(-1))):
        assert not torch.allclose(base, denoiser(*other).sample)


def test_encoding_is_a_projection(portraits_pipe: StableDiffusionPipeline) -> None:
    """The affine decoder inverts the encoder: a latent that is decoded and encoded again is itself."""
    vae: PortraitsAutoencoder = portraits_pipe.vae
    rows = vae.components
    assert torch.allclose(rows @ rows.T, torch.eye(len(rows)), atol=2e-3)  # orthonormal but for float16 weights
    z = torch.randn(4, 40, 8, 8)
    with torch.inference_mode():
        again = vae.encode(vae.project(z)).latent_dist.mode()
        assert torch.allclose(z, again, atol=0.02)
        assert vae.decode(z).sample.shape == (4, 3, 64, 64)
        assert torch.equal(vae.decode(z, return_dict=False)[0], vae.decode(z).sample)


def test_the_judge_follows_the_protocol_and_ships_its_card(judge: PortraitsJudge) -> None:
    assert isinstance(judge, Judge)
    assert judge.attributes["gender"] == ("female", "male")
    assert judge.attributes["race"] == ("asian", "black", "hispanic", "white")
    for name, groups in judge.attributes.items():
        counts = np.array(judge.card["confusion"][name])
        assert counts.shape == (len(groups), len(groups))
        assert np.trace(counts) / counts.sum() > 0.98, name
    for name in ("gender", "race"):
        generated = np.array(judge.card["generated"][name])
        assert np.trace(generated) / generated.sum() > 0.95, name


def test_the_judge_finds_nobody_where_nobody_is(judge: PortraitsJudge) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pictures = [Image.fromarray(noise), Image.new("RGB", (64, 64), "white"), Image.new("RGB", (64, 64), "black")]
    assert judge(pictures) == [Judgement(0)] * 3
    assert judge([]) == []


def test_the_judge_reads_other_sizes_and_modes(portraits_pipe: StableDiffusionPipeline, judge: PortraitsJudge) -> None:
    image = draw(portraits_pipe, ["a portrait of a black woman"])[0]
    large = image.resize((128, 128), Image.Resampling.NEAREST).convert("RGBA")
    assert [j.label("gender") for j in judge([image, large])] == ["female", "female"]
    with pytest.raises(TypeError, match="PIL images, not ndarray"):
        judge([np.zeros((64, 64, 3), np.uint8)])  # type: ignore[list-item]


def test_what_its_captions_never_named_is_told() -> None:
    never = portraits.never_captioned()
    assert 20 <= len(never) < 40
    assert never < set(lists.occupations())


def test_a_map_attached_is_the_map_applied_by_hand(portraits_pipe: StableDiffusionPipeline) -> None:
    prompts = ["a portrait of a doctor", "a portrait of a nurse"]
    fair_map = FairMap(torch.eye(384) + 0.02 * torch.randn(384, 384, generator=torch.Generator().manual_seed(0)))
    raw = [np.asarray(image) for image in draw(portraits_pipe, prompts)]
    embeddings = fair_map(embed.encode(portraits_pipe, prompts).sequence)
    by_hand = portraits_pipe(
        prompt_embeds=embeddings,
        generator=[torch.Generator().manual_seed(i) for i in range(2)],
        **portraits.DEFAULTS,
    ).images
    with attached(portraits_pipe, fair_map):
        mapped = draw(portraits_pipe, prompts)
    with attached(portraits_pipe, fair_map, strength=0):
        untouched = draw(portraits_pipe, prompts)
    for i, before in enumerate(raw):
        assert np.array_equal(np.asarray(mapped[i]), np.asarray(by_hand[i]))
        assert not np.array_equal(np.asarray(mapped[i]), before)
        assert np.array_equal(np.asarray(untouched[i]), before)
    assert type(portraits_pipe) is StableDiffusionPipeline
    assert all(np.array_equal(np.asarray(a), b) for a, b in zip(draw(portraits_pipe, prompts), raw, strict=True))
