"""Tiny pipelines with random weights, made by configuration: nothing is downloaded, an image takes milliseconds.

Their encoders and tokenizers are real ones, only small, so prompts of different lengths are padded, masked and pooled
as in the models that people use. The fixtures of conftest.py hold one of each.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

TOKENS = 48  # prompts are padded to this length
_ALPHABET = "abcdefghijklmnopqrstuvwxyz,-"


def make_sd(seed: int = 0) -> StableDiffusionPipeline:
    """Stable Diffusion: CLIP, 32 wide. With guidance, encode_prompt returns the negative prompt beside the prompt.

    Another ``seed`` gives other weights, the text encoder's included.
    """
    torch.manual_seed(seed)
    return _quiet(
        StableDiffusionPipeline(
            vae=_vae(4),
            text_encoder=CLIPTextModel(_clip(32)),
            tokenizer=clip_tokenizer(),
            unet=_unet(32),
            scheduler=_ddim(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def make_distilled() -> StableDiffusionPipeline:
    """What the embedded model is: Stable Diffusion with BERT (32 wide, padding masked) and guidance in the weights.

    No negative prompt is encoded, whatever the guidance scale.
    """
    pipe = make_sd()
    torch.manual_seed(3)
    bert = BertConfig(
        vocab_size=len(t5_tokenizer()),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        pad_token_id=0,
    )
    encoder = BertModel(bert, add_pooling_layer=False)
    encoder.config.use_attention_mask = True
    pipe.register_modules(text_encoder=encoder, tokenizer=t5_tokenizer(), unet=_unet(32, time_cond_proj_dim=8))
    return _quiet(pipe)


def make_sdxl() -> StableDiffusionXLPipeline:
    """SDXL: two CLIP encoders side by side, 32 + 24 wide, pooled embeddings (24) from the second."""
    torch.manual_seed(1)
    return _quiet(
        StableDiffusionXLPipeline(
            vae=_vae(4),
            text_encoder=CLIPTextModel(_clip(32)),
            text_encoder_2=CLIPTextModelWithProjection(_clip(24)),
            tokenizer=clip_tokenizer(),
            tokenizer_2=clip_tokenizer(),
            unet=_unet(
                56, addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=48
            ),
            scheduler=_ddim(),
        )
    )


def _t5(width: int) -> T5EncoderModel:
    vocabulary = len(t5_tokenizer())
    return T5EncoderModel(
        T5Config(vocab_size=vocabulary, d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4, dropout_rate=0.0)
    )


def make_flux() -> FluxPipeline:
    """Flux: the sequence is T5's (32 wide), CLIP gives only the pooled; a second call encodes the negative prompt."""
    torch.manual_seed(2)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=24,
        axes_dims_rope=(4, 4, 8),
    )
    return _quiet(
        FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=_vae(1, shift_factor=0.0609, scaling_factor=1.5035),
            text_encoder=CLIPTextModel(_clip(24)),
            tokenizer=clip_tokenizer(),
            text_encoder_2=_t5(32),
            tokenizer_2=t5_tokenizer(),
            transformer=transformer,
        )
    )


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's byte-pair tokenizer with letters for its vocabulary and four merges."""
    merges = [("d", "o"), ("w", "o"), ("m", "a"), ("a", "n</w>")]
    symbols = [*_ALPHABET, *(letter + "</w>" for letter in _ALPHABET), *("".join(pair) for pair in merges)]
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *symbols]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges, model_max_length=TOKENS)


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that treats text as T5's does: </s> at the end, <pad> after it. Its vocabulary is letters."""
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *_ALPHABET])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=TOKENS
    )


def _clip(width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(clip_tokenizer()),
        hidden_size=width,
        projection_dim=width,
        intermediate_size=37,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )


def _unet(width: int, **extra: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=4,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=width,
        **extra,
    )


def _vae(latent_channels: int, **extra: Any) -> AutoencoderKL:
    return AutoencoderKL(
        latent_channels=latent_channels,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=8,
        use_quant_conv=latent_channels > 1,
        use_post_quant_conv=latent_channels > 1,
        **extra,
    )


def _ddim() -> DDIMScheduler:
    noise = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return DDIMScheduler(**noise, clip_sample=False, steps_offset=1)


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    return pipe


def random_map(pipe: Any, *, pooled: bool = True, seed: int = 0) -> Any:
    """A FairMap for the pipeline's encoder, far enough from the identity to be seen in an image."""
    from fairmapping.fingerprint import fingerprint
    from fairmapping.mapping import FairMap, MapConfig

    torch.manual_seed(seed)
    encoder = fingerprint(pipe)

    def part(width: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.eye(width) + 0.3 * torch.randn(width, width) / width**0.5, 0.3 * torch.randn(width)

    weight, bias = part(encoder["width"])
    pooled_weight, pooled_bias = part(encoder["pooled_width"]) if pooled and encoder["pooled_width"] else (None, None)
    config = MapConfig(encoder=encoder)
    return FairMap(weight, bias, pooled_weight=pooled_weight, pooled_bias=pooled_bias, config=config)


def sampled_map(pipe: Any, *, rank: int = 3, seed: int = 0) -> Any:
    """A FairMap of the pipeline's encoder that only shifts: two genders and four races, each seen in an image."""
    from fairmapping.fingerprint import fingerprint
    from fairmapping.mapping import FairMap, MapConfig
    from fairmapping.shifts import GroupShifts

    torch.manual_seed(seed)
    encoder = fingerprint(pipe)
    groups = {"gender": ["female", "male"], "race": ["white", "black", "asian", "hispanic"]}

    def part(width: int) -> GroupShifts:
        down, up = torch.randn(width, rank) / width**0.5, torch.randn(6, rank, width)
        return GroupShifts(groups, down, up, torch.randn(6, width))

    pooled = encoder["pooled_width"]
    config = MapConfig(encoder=encoder, route="sampled", attributes={k: {g: g for g in v} for k, v in groups.items()})
    return FairMap(
        torch.eye(encoder["width"]),
        pooled_weight=torch.eye(pooled) if pooled else None,
        shifts=part(encoder["width"]),
        pooled_shifts=part(pooled) if pooled else None,
        config=config,
    )
