"""Tiny pipelines of more families, in the manner of tiny.py: Flux2, QwenImage, ZImage, Chroma, AuraFlow, modular SDXL.

Flux2, QwenImage and ZImage read prompts through a chat: the tokenizer has its markers and a template, and the words of
QwenImage's instruction as tokens of their own, for the pipeline drops the first 34 tokens whatever they are.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    ChromaPipeline,
    ChromaTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    StableDiffusionXLAutoBlocks,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tiny import _quiet, _t5, _vae, make_sdxl, t5_tokenizer
from tokenizers import AddedToken
from transformers import (
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    UMT5Config,
    UMT5EncoderModel,
)

_MARKERS = ["<|im_start|>", "<|im_end|>", "\n", "system", "user", "assistant", "<think>", "</think>"]
_INSTRUCTION = (  # QwenImagePipeline's own
    "Describe the image by detailing the color , shape size texture quantity text spatial relationships of objects and "
    "background :"
)
_CHAT = (  # contents are strings (Qwen) or lists of {"type": "text", "text": ...} (Mistral)
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def make_flux2() -> Flux2Pipeline:
    """Flux2: Mistral3, three of its layers side by side (3 x 16 wide), padded on the left; the mask is not returned."""
    torch.manual_seed(4)
    tokenizer = chat_tokenizer(padding_side="left")
    config = Mistral3Config(
        text_config={"model_type": "mistral", **_decoder(tokenizer, layers=31)},
        vision_config={
            "model_type": "pixtral",
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "head_dim": 4,
            "image_size": 8,
            "patch_size": 4,
        },
    )
    pipe = Flux2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_flux2_vae(),
        text_encoder=Mistral3ForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=_flux2_transformer(guidance_embeds=True),
    )
    return _quiet(pipe)


def make_flux2_klein() -> Flux2KleinPipeline:
    """Flux2 Klein: Qwen3 in the place of Mistral3, padded on the right, and a second encoding with guidance."""
    torch.manual_seed(5)
    tokenizer = chat_tokenizer()
    pipe = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_flux2_vae(),
        text_encoder=Qwen3ForCausalLM(Qwen3Config(**_decoder(tokenizer, layers=28))),
        tokenizer=tokenizer,
        transformer=_flux2_transformer(guidance_embeds=False),
    )
    return _quiet(pipe)


def make_qwenimage() -> QwenImagePipeline:
    """QwenImage: Qwen2.5-VL (16 wide), padded with zero rows to the longest prompt; its mask is None where all fit."""
    torch.manual_seed(6)
    tokenizer = chat_tokenizer()
    config = Qwen2_5_VLConfig(
        text_config={
            **_decoder(tokenizer, layers=2),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
        },
        vision_config={"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 2, "out_hidden_size": 16},
    )
    vae = AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(4, 4, 8),
    )
    pipe = QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=transformer,
    )
    return _quiet(pipe)


def make_zimage() -> ZImagePipeline:
    """ZImage: Qwen3 (16 wide), a list of one tensor a prompt. It rewrites the caller's lists, the negative one too."""
    torch.manual_seed(7)
    tokenizer = chat_tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 4, 8],
        axes_lens=[1024, 16, 16],
    )
    pipe = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(4, shift_factor=0.1159, scaling_factor=0.3611),
        text_encoder=Qwen3Model(Qwen3Config(**_decoder(tokenizer, layers=3))),
        tokenizer=tokenizer,
        transformer=transformer,
    )
    return _quiet(pipe)


def make_chroma() -> ChromaPipeline:
    """Chroma: T5 (32 wide); its mask is float and leaves one token of padding in."""
    torch.manual_seed(8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`FluxPosEmbed` is deprecated", FutureWarning)  # diffusers' own use of it
        transformer = ChromaTransformer2DModel(
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            axes_dims_rope=(4, 4, 8),
            approximator_num_channels=16,
            approximator_hidden_dim=16,
            approximator_layers=1,
        )
    pipe = ChromaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(1, shift_factor=0.0609, scaling_factor=1.5035),
        text_encoder=_t5(32),
        tokenizer=t5_tokenizer(),
        transformer=transformer,
    )
    return _quiet(pipe)


def make_auraflow() -> AuraFlowPipeline:
    """AuraFlow: UMT5 (32 wide) with zero rows for padding; its mask is repeated along the width, (N, L * D)."""
    torch.manual_seed(9)
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pos_embed_max_size=64,
    )
    _amplify(transformer)
    tokenizer = t5_tokenizer()
    tokenizer.model_input_names = ["input_ids", "attention_mask"]  # the pipeline gives its encoder all that it finds
    umt5 = UMT5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, dropout_rate=0)
    pipe = AuraFlowPipeline(
        tokenizer=tokenizer,
        text_encoder=UMT5EncoderModel(umt5),
        vae=_vae(4),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
    )
    return _quiet(pipe)


def make_modular_sdxl(blocks: Any = None) -> Any:
    """SDXL as a ModularPipeline of the given ``blocks``, by default all of SDXL's; the parts are tiny.make_sdxl's."""
    blocks = StableDiffusionXLAutoBlocks() if blocks is None else blocks
    _silence(blocks)
    whole, pipe = make_sdxl(), blocks.init_pipeline()
    parts = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "scheduler")
    pipe.update_components(**{name: whole.components[name] for name in parts})
    return pipe


def _silence(block: Any) -> None:
    """No progress bars; the pipeline's own set_progress_bar_config does not reach blocks within blocks."""
    if hasattr(block, "set_progress_bar_config"):
        block.set_progress_bar_config(disable=True)
    for part in block.sub_blocks.values():
        _silence(part)


def chat_tokenizer(*, padding_side: str = "right") -> PreTrainedTokenizerFast:
    """tiny.t5_tokenizer's letters without </s> at the end, with the markers and the template of a chat."""
    tokenizer = t5_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    words = [*_MARKERS, *dict.fromkeys(_INSTRUCTION.replace(",", "").split())]
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken(word, lstrip=word not in "\n", normalized=False) for word in words]}
    )
    tokenizer.chat_template, tokenizer.padding_side, tokenizer.model_max_length = _CHAT, padding_side, 131072
    return tokenizer


def _decoder(tokenizer: PreTrainedTokenizerFast, *, layers: int) -> dict[str, Any]:
    """Configuration of a causal language model, 16 wide."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.3,
        "pad_token_id": None,  # else the row of padding would be zero, which it is in no trained model
        "bos_token_id": None,
        "eos_token_id": 1,
    }


def _flux2_transformer(*, guidance_embeds: bool) -> Flux2Transformer2DModel:
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance_embeds,
    )
    _amplify(transformer)
    return transformer


@torch.no_grad()
def _amplify(transformer: torch.nn.Module, factor: float = 3.0) -> None:
    """Larger random weights: with PyTorch's own a prompt's share in the image is next to nothing."""
    for module in transformer.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.mul_(factor)


def _flux2_vae() -> AutoencoderKLFlux2:
    return AutoencoderKLFlux2(
        latent_channels=4,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        sample_size=16,
    )


_SIZE = {"height": 16, "width": 16, "num_inference_steps": 2, "output_type": "np"}
# How each family is called beside its prompts, negative prompts and generators.
FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "flux2": (make_flux2, {**_SIZE, "guidance_scale": 4.0}),
    "flux2_klein": (make_flux2_klein, {**_SIZE, "guidance_scale": 4.0}),
    "qwenimage": (make_qwenimage, {**_SIZE, "true_cfg_scale": 4.0}),
    "zimage": (make_zimage, {**_SIZE, "guidance_scale": 4.0}),
    "chroma": (make_chroma, {**_SIZE, "guidance_scale": 4.0}),
    "auraflow": (make_auraflow, {**_SIZE, "guidance_scale": 4.0}),
}
