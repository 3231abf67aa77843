from __future__ import annotations

import inspect
import json

import pytest
import tiny
import torch

from fairmapping.embed import Embeddings, check_pipeline, encode, read
from fairmapping.fingerprint import fingerprint
from fairmapping.mapping import FairMap, MapConfig
from fairmapping.prompts import Prompt

PROMPTS = ["a doctor", "a portrait of a very old woman", "a man"]


def test_sequence_is_what_the_text_encoder_gives(tiny_sd):
    tokens = tiny_sd.tokenizer(PROMPTS, padding="max_length", max_length=tiny.TOKENS, return_tensors="pt")
    with torch.no_grad():
        expected = tiny_sd.text_encoder(tokens.input_ids)[0]
    found = encode(tiny_sd, PROMPTS)
    torch.testing.assert_close(found.sequence, expected, rtol=0, atol=0)
    assert torch.equal(found.mask, tokens.attention_mask.bool())
    assert found.pooled is None
    assert not found.sequence.requires_grad


def test_a_masked_encoder_sees_its_mask(tiny_distilled):
    tokens = tiny_distilled.tokenizer(PROMPTS, padding="max_length", max_length=tiny.TOKENS, return_tensors="pt")
    with torch.no_grad():
        expected = tiny_distilled.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
    found = encode(tiny_distilled, PROMPTS)
    torch.testing.assert_close(found.sequence, expected, rtol=0, atol=0)
    assert torch.equal(found.mask, tokens.attention_mask.bool())


def test_sdxl_joins_two_encoders_and_pools_the_second(tiny_sdxl):
    tokens = tiny_sdxl.tokenizer(PROMPTS, padding="max_length", max_length=tiny.TOKENS, return_tensors="pt")
    with torch.no_grad():
        first = tiny_sdxl.text_encoder(tokens.input_ids, output_hidden_states=True)
        second = tiny_sdxl.text_encoder_2(tokens.input_ids, output_hidden_states=True)
    found = encode(tiny_sdxl, PROMPTS)
    expected = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
    torch.testing.assert_close(found.sequence, expected, rtol=0, atol=0)
    torch.testing.assert_close(found.pooled, second.text_embeds, rtol=0, atol=0)
    assert torch.equal(found.mask, tokens.attention_mask.bool())


def test_flux_has_t5_for_its_sequence_and_mask_and_clip_for_the_pooled(tiny_flux):
    found = encode(tiny_flux, PROMPTS)
    length = inspect.signature(tiny_flux.__call__).parameters["max_sequence_length"].default
    tokens = tiny_flux.tokenizer_2(PROMPTS, padding="max_length", max_length=length, return_tensors="pt")
    with torch.no_grad():
        expected = tiny_flux.text_encoder_2(tokens.input_ids)[0]
    torch.testing.assert_close(found.sequence, expected, rtol=0, atol=0)
    assert torch.equal(found.mask, tokens.attention_mask.bool())
    assert found.pooled.shape == (3, 24)


def test_batches_do_not_matter_and_prompt_rows_are_read(tiny_sdxl):
    whole = encode(tiny_sdxl, PROMPTS)
    single = encode(tiny_sdxl, [Prompt(text, "x") for text in PROMPTS], batch_size=1)
    torch.testing.assert_close(single.sequence, whole.sequence)
    torch.testing.assert_close(single.pooled, whole.pooled)
    assert torch.equal(single.mask, whole.mask)


def test_embeddings_can_be_cut(tiny_sdxl):
    whole = encode(tiny_sdxl, PROMPTS)
    for index in (slice(1, 3), torch.tensor([2, 0]), [1]):
        part = whole[index]
        assert len(part) == len(part.mask) == len(part.pooled)
        assert torch.equal(part.sequence, whole.sequence[index])


def test_encoding_goes_back_to_the_same_image(tiny_sdxl):
    found = encode(tiny_sdxl, PROMPTS)
    call = {"num_inference_steps": 2, "guidance_scale": 1.0, "output_type": "np"}
    by_text = tiny_sdxl(PROMPTS, **call, generator=torch.Generator().manual_seed(0)).images
    passed = {"prompt_embeds": found.sequence, "pooled_prompt_embeds": found.pooled}
    by_embedding = tiny_sdxl(**passed, **call, generator=torch.Generator().manual_seed(0)).images
    assert (by_text == by_embedding).all()


@pytest.mark.parametrize(
    ("sequence", "mask", "pooled"),
    [
        (torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool), None),
        (torch.zeros(2, 3, 4), torch.ones(2, 3), None),
        (torch.zeros(2, 3, 4), torch.ones(2, 2, dtype=torch.bool), None),
        (torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), torch.zeros(3, 4)),
    ],
)
def test_embeddings_of_other_shapes_are_refused(sequence, mask, pooled):
    with pytest.raises(ValueError, match="is needed"):
        Embeddings(sequence, mask, pooled)


def test_bad_input_is_refused(tiny_sd):
    with pytest.raises(ValueError, match="no prompts"):
        encode(tiny_sd, [])
    with pytest.raises(TypeError, match="give a list"):
        encode(tiny_sd, "a doctor")
    with pytest.raises(ValueError, match="batch_size is 0"):
        encode(tiny_sd, ["a doctor"], batch_size=0)


# Families that the tiny pipelines do not cover, as far as encode_prompt's signature and return go.


class Family:
    """The least of a pipeline; each subclass returns what one family of diffusers does."""

    components: dict = {}
    _execution_device = torch.device("cpu")

    def __call__(self, prompt=None, prompt_embeds=None):
        raise NotImplementedError

    @staticmethod
    def rows(prompts):  # text lengths as numbers, so that every row is known
        return torch.stack([torch.full((4, 2), float(len(text))) for text in prompts])


class Pixart(Family):
    def __call__(self, prompt=None, prompt_embeds=None, clean_caption=True, max_sequence_length=300):
        raise NotImplementedError

    def encode_prompt(
        self,
        prompt,
        do_classifier_free_guidance=True,
        negative_prompt="",
        num_images_per_prompt=1,
        prompt_embeds=None,
        prompt_attention_mask=None,
        clean_caption=False,
        max_sequence_length=120,
    ):
        self.seen = (do_classifier_free_guidance, clean_caption, max_sequence_length)
        return self.rows(prompt), torch.tensor([[1, 1, 0, 0]] * len(prompt)), None, None


class Kandinsky6(Family):
    def encode_prompt(self, prompt, prompt_embeds=None, pooled_prompt_embeds=None, prompt_attention_mask=None):
        pooled = torch.arange(len(prompt) * 4.0).reshape(len(prompt), 4)  # as wide as the sequence is long
        return self.rows(prompt), pooled, torch.tensor([[1, 0, 0, 0]] * len(prompt)), None, None, None


class Chroma(Family):
    def encode_prompt(self, prompt, prompt_embeds=None, prompt_attention_mask=None):
        return self.rows(prompt), torch.zeros(4, 3), torch.tensor([[1, 1, 1, 0]] * len(prompt)), None, None, None


class QwenImage(Family):
    def encode_prompt(self, prompt, prompt_embeds=None, prompt_embeds_mask=None):
        return self.rows(prompt), None


class ZImage(Family):
    def encode_prompt(self, prompt, prompt_embeds=None):
        rows = [torch.full((len(text), 2), float(len(text))) for text in prompt]
        for i, text in enumerate(prompt):
            prompt[i] = f"<user>{text}"
        return rows, []


class SD3WithoutT5(Family):
    def encode_prompt(self, prompt, prompt_embeds=None):
        return torch.cat([self.rows(prompt), torch.zeros(len(prompt), 3, 2)], 1)


class Longest(Family):
    def encode_prompt(self, prompt, prompt_embeds=None, prompt_attention_mask=None):
        mask = torch.tensor([[i < len(text) for i in range(max(map(len, prompt)))] for text in prompt])
        return mask.unsqueeze(-1).repeat(1, 1, 2).float(), mask


def test_the_call_s_defaults_hold_and_nothing_negative_is_encoded():
    pipe = Pixart()
    found = encode(pipe, ["ab", "abc"])
    assert pipe.seen == (False, True, 300)
    assert found.sequence[:, 0, 0].tolist() == [2, 3]
    assert found.mask.tolist() == [[True, True, False, False]] * 2


def test_pooled_and_mask_are_found_by_name_and_shape():
    found = encode(Kandinsky6(), ["ab"] * 4)
    assert found.pooled[3].tolist() == [12, 13, 14, 15]
    assert found.mask.tolist() == [[True, False, False, False]] * 4
    found = encode(Chroma(), ["ab"] * 2)
    assert found.pooled is None
    assert found.mask.tolist() == [[True, True, True, False]] * 2
    assert encode(QwenImage(), ["ab"]).mask.all()


def test_zero_rows_are_padding_where_nothing_else_tells():
    assert encode(SD3WithoutT5(), ["ab"]).mask.tolist() == [[True] * 4 + [False] * 3]


def test_rows_of_different_length_are_padded_and_masked():
    prompts = ["ab", "abcd", "a"]
    for pipe, size in ((ZImage(), 8), (ZImage(), 1), (Longest(), 1)):
        found = encode(pipe, prompts, batch_size=size)
        assert found.mask.sum(1).tolist() == [2, 4, 1]
        assert (found.sequence[~found.mask] == 0).all()
        assert (found.sequence[found.mask] != 0).all()
    assert prompts == ["ab", "abcd", "a"]


def test_pipelines_outside_of_the_rule_are_refused():
    class Needs(Family):
        def encode_prompt(self, prompt, layout, prompt_embeds=None):
            raise NotImplementedError

    class HiDream(Family):
        def encode_prompt(self, prompt, prompt_embeds_t5=None):
            raise NotImplementedError

    class Fused(Family):
        def encode_prompt(self, prompt, prompt_embeds=None):
            return torch.cat([self.rows(prompt)] * 2)

    with pytest.raises(TypeError, match="no method encode_prompt"):
        check_pipeline(Family())
    with pytest.raises(TypeError, match="HiDream.encode_prompt takes no prompt_embeds"):
        encode(HiDream(), ["a"])
    with pytest.raises(TypeError, match="needs 'layout'"):
        encode(Needs(), ["a"])
    with pytest.raises(TypeError, match=r"is \(4, 4, 2\), not embeddings of shape \(2, length, width\)"):
        encode(Fused(), ["a", "b"])


def test_the_rule_covers_the_pipelines_that_people_use():
    import diffusers

    names = "StableDiffusion StableDiffusionXL StableDiffusion3 Flux Flux2 Flux2Klein PixArtAlpha PixArtSigma Sana "
    names += "Lumina2 QwenImage ZImage Chroma HunyuanDiT AuraFlow StableCascadePrior"
    for name in names.split():
        check_pipeline(object.__new__(getattr(diffusers, f"{name}Pipeline")))
    for name in ("HiDreamImage", "ErnieImage", "Kandinsky5T2I", "Ideogram4"):
        with pytest.raises(TypeError, match="takes no prompt_embeds"):
            check_pipeline(object.__new__(getattr(diffusers, f"{name}Pipeline")))


def test_the_mask_follows_repeats_and_the_second_prompt(tiny_flux):
    arguments = {"prompt": "a doctor", "prompt_2": ["a man"], "num_images_per_prompt": 2, "max_sequence_length": 20}
    returned = tiny_flux.encode_prompt(**arguments)
    found = read(tiny_flux, returned, arguments)
    assert found.mask.sum(1).tolist() == [6, 6]  # five letters of the second prompt, one end token
    assert found.pooled is returned[1]
    assert found.pooled_index == 1


def fitted_for(encoder):
    """A map that remembers a fingerprint after a trip through JSON."""
    return FairMap(torch.eye(encoder["width"]), config=MapConfig(encoder=json.loads(json.dumps(encoder))))


def test_a_fingerprint_survives_json_and_another_dtype(tiny_sd):
    mine = fitted_for(fingerprint(tiny_sd))
    mine.check_encoder(fingerprint(tiny_sd))
    other = tiny.make_sd()
    for dtype in (torch.float16, torch.bfloat16):
        other.text_encoder.to(dtype)
        mine.check_encoder(fingerprint(other))


def test_other_encoders_are_told_apart(tiny_sd, tiny_sdxl):
    mine = fitted_for(fingerprint(tiny_sd))
    finetuned = tiny.make_sd()
    torch.manual_seed(0)
    for parameter in finetuned.text_encoder.parameters():
        parameter.add_(0.1 * parameter.std(correction=0) * torch.randn_like(parameter))
    for other in (tiny.make_sd(seed=7), tiny_sdxl, finetuned):
        with pytest.raises(ValueError, match="map"):
            mine.check_encoder(fingerprint(other))


def test_padding_can_be_left_out(tiny_flux):
    prompts = ["a portrait of a doctor", "a nurse"]
    whole, some, none = (encode(tiny_flux, prompts, padding=padding) for padding in (None, 4, 0))
    text = int(whole.mask.sum(1).max())
    assert (some.sequence.shape[1], none.sequence.shape[1], whole.sequence.shape[1]) == (text + 4, text, 512)
    assert torch.equal(none.sequence, whole.sequence[:, :text]) and torch.equal(none.mask, whole.mask[:, :text])
    left_out = int((~whole.mask).sum()) / int((~some.mask).sum())
    assert (whole.stands_for, some.stands_for) == (1.0, left_out) and some[:1].stands_for == left_out
    assert torch.equal(some.sequence[:, -1], whole.sequence[:, text + 3 * (512 - text) // 4])
