"""Models by name: what is loaded, and what is refused."""

from __future__ import annotations

import pytest
import tiny
import torch
from test_families import FAMILIES

from fairmapping import pipelines
from fairmapping.attach import attached
from fairmapping.embed import encode
from fairmapping.fingerprint import fingerprint
from fairmapping.fit import fit


def test_a_saved_pipeline_is_loaded_in_the_precision_that_is_asked_for(tmp_path):
    tiny.make_sd().save_pretrained(tmp_path)
    pipe = pipelines.load(str(tmp_path), dtype="bfloat16")
    assert pipe.unet.dtype == torch.bfloat16


def test_pickled_weights_are_not_loaded(tmp_path):
    tiny.make_sd().save_pretrained(tmp_path, safe_serialization=False)
    assert list(tmp_path.rglob("*.bin")), "what must be refused is there"
    with pytest.raises(ValueError, match="no model could be loaded"):
        pipelines.load(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"dtype": "nn"}, "dtype is 'nn'"),
        ({"device": "moon"}, "cannot be moved to 'moon'"),
        ({"offload": "attic"}, "offload is 'attic'; give model or sequential"),
        ({"parts": "vae"}, "parts is 'vae'; give all or text"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, options, says):
    tiny.make_sd().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=says):
        pipelines.load(str(tmp_path), **options)


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_to_no_accelerator_says_so(tmp_path, offload):
    tiny.make_sd().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"cannot be moved to 'moon, offload {offload}'"):
        pipelines.load(str(tmp_path), offload=offload, device="moon")


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "flux", "flux2", "pixart", "sana", "qwenimage", "zimage"])
def test_the_text_parts_alone_encode_as_the_whole_does(name, tmp_path):
    FAMILIES[name][0]().save_pretrained(tmp_path)
    whole = pipelines.load(str(tmp_path))
    for weights in [*tmp_path.glob("*/*.safetensors")]:
        if not weights.parent.name.startswith("text_encoder"):
            weights.unlink()  # reading it would fail
    pipe = pipelines.load(str(tmp_path), parts="text")
    modules = {name for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    assert modules and all(name.startswith("text_encoder") for name in modules)
    prompts = ["a portrait of a doctor", "a nurse"]
    found, expected = encode(pipe, prompts), encode(whole, prompts)
    assert torch.equal(found.sequence, expected.sequence) and torch.equal(found.mask, expected.mask)
    assert expected.pooled is None or torch.equal(found.pooled, expected.pooled)


def test_route_text_needs_no_more_than_the_text_parts(tmp_path):
    whole = tiny.make_sdxl()
    whole.save_pretrained(tmp_path)
    pipe = pipelines.load(str(tmp_path), parts="text")
    assert pipe.unet is None and pipe.vae is None
    words = ["doctor", "cook", "judge", "nurse", "clerk"]
    fair_map = fit(pipe, words, ["gender"], route="text", templates=["a photo of {}"], holdout=0.2, progress=False)
    assert fair_map.config.encoder == fingerprint(whole)
    with attached(whole, fair_map):  # and serves the whole pipeline
        assert whole("a doctor", num_inference_steps=1, output_type="np").images.shape == (1, 8, 8, 3)
    with pytest.raises(TypeError, match="neither a unet nor a transformer"):
        fit(pipe, words, ["gender"], images=2, steps=1, progress=False)


def test_offloaded_images_are_decoded_one_by_one_and_each_model_leaves_before_the_next(tmp_path, monkeypatch):
    """What --offload model keeps on the device while a map is fitted, told by the hooks that move the models."""
    from accelerate import hooks

    tiny.make_sdxl().save_pretrained(tmp_path)
    pipe = pipelines.load(str(tmp_path), offload="model", device="cpu")
    assert pipe.vae.use_slicing
    there, seen = set(), []
    names = {part: name for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    arrive, leave = hooks.CpuOffload.pre_forward, hooks.UserCpuOffloadHook.offload

    def arrived(self, module, *args, **kwargs):
        if self.prev_module_hook is not None:  # accelerate's own rule, which it skips for models on the CPU
            self.prev_module_hook.offload()
        result = arrive(self, module, *args, **kwargs)
        there.add(names[module])
        seen.append((names[module], frozenset(there)))
        return result

    def left(self):
        there.discard(names[self.model])
        leave(self)

    monkeypatch.setattr(hooks.CpuOffload, "pre_forward", arrived)
    monkeypatch.setattr(hooks.UserCpuOffloadHook, "offload", left)
    monkeypatch.setattr(type(pipe), "maybe_free_model_hooks", lambda self: [hook.offload() for hook in self._all_hooks])
    call = {"num_inference_steps": 2}
    options = {"templates": ["{}"], "images": 4, "steps": 3, "rank": 2, "batch_size": 1, "call": call}
    fit(pipe, ["doctor", "nurse"], ["gender"], checkpointing=True, progress=False, **options)
    drawing = [beside for name, beside in seen if name == "unet"]
    assert len(drawing) >= 4 * 2 + 3 and set(drawing) == {frozenset({"unet"})}
    assert {name for _, beside in seen for name in beside} == {"text_encoder", "text_encoder_2", "unet"}
