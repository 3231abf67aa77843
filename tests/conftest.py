"""Tiny pipelines for every test that needs one. They live as long as the session: a test that changes one restores it.

Built on first use (tiny.py), so that tests of pure functions import neither torch nor diffusers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from diffusers import FluxPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline


@pytest.fixture(scope="session")
def tiny_sd() -> StableDiffusionPipeline:
    import tiny

    return tiny.make_sd()


@pytest.fixture(scope="session")
def tiny_distilled() -> StableDiffusionPipeline:
    import tiny

    return tiny.make_distilled()


@pytest.fixture(scope="session")
def tiny_sdxl() -> StableDiffusionXLPipeline:
    import tiny

    return tiny.make_sdxl()


@pytest.fixture(scope="session")
def tiny_flux() -> FluxPipeline:
    import tiny

    return tiny.make_flux()


@pytest.fixture(scope="session")
def portraits_pipe() -> StableDiffusionPipeline:
    from fairmapping import portraits

    pipe = portraits.load()
    pipe.set_progress_bar_config(disable=True)
    return pipe
