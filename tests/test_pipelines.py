"""Models by name: what is loaded, and what is refused."""

from __future__ import annotations

import pytest
import tiny
import torch

from fairmapping import pipelines


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
