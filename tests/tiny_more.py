"""Tiny pipelines of further families, made as those of tiny.py: real classes, random weights, nothing downloaded.

``FAMILIES`` holds, by name, the maker and the arguments with which an image takes a fraction of a second. Each family
takes a negative prompt and has guidance on in these arguments.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
)
from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer, SPTokenizer
from tiny import _ALPHABET, _clip, _ddim, _quiet, _t5, _unet, _vae, clip_tokenizer, make_sd, t5_tokenizer
from tokenizers import processors
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
)


def make_sd2() -> StableDiffusionPipeline:
    """Stable Diffusion 2: OpenCLIP's activation, 24 wide, linear projections and v-prediction."""
    pipe = make_sd()
    torch.manual_seed(10)
    clip = _clip(24)
    clip.hidden_act = "gelu"
    return _quiet(
        StableDiffusionPipeline(
            vae=pipe.vae,
            text_encoder=CLIPTextModel(clip),
            tokenizer=pipe.tokenizer,
            unet=_unet(24, use_linear_projection=True),
            scheduler=DDIMScheduler.from_config(pipe.scheduler.config, prediction_type="v_prediction"),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def make_sd3() -> StableDiffusion3Pipeline:
    """SD3: two CLIPs side by side (32 + 24, filled with zeros to 64), then T5's tokens (64); pooled 56 from both."""
    torch.manual_seed(11)
    transformer = SD3Transformer2DModel(
        sample_size=4,
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=56,
        pos_embed_max_size=8,
    )
    return _quiet(
        StableDiffusion3Pipeline(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=_vae(4, shift_factor=0.0609, scaling_factor=1.5305),
            text_encoder=CLIPTextModelWithProjection(_clip(32)),
            tokenizer=clip_tokenizer(),
            text_encoder_2=CLIPTextModelWithProjection(_clip(24)),
            tokenizer_2=clip_tokenizer(),
            text_encoder_3=_t5(64),
            tokenizer_3=t5_tokenizer(),
        )
    )


def make_pixart(cls: type = PixArtSigmaPipeline) -> PixArtSigmaPipeline | PixArtAlphaPipeline:
    """PixArt: T5 (32 wide) with its mask. Sigma and Alpha differ in the length that they pad to: 300 and 120."""
    torch.manual_seed(12)
    transformer = PixArtTransformer2DModel(
        sample_size=4,
        patch_size=1,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        caption_channels=32,
        norm_num_groups=4,
    )
    return _quiet(
        cls(tokenizer=t5_tokenizer(), text_encoder=_t5(32), vae=_vae(4), transformer=transformer, scheduler=_ddim())
    )


def make_sana() -> SanaPipeline:
    """Sana: Gemma 2 (32 wide), which reads an instruction before the prompt, and a deep-compression autoencoder."""
    torch.manual_seed(13)
    transformer = SanaTransformer2DModel(
        sample_size=32,
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=4,
        attention_head_dim=8,
        num_cross_attention_heads=4,
        cross_attention_head_dim=8,
        cross_attention_dim=32,
        caption_channels=32,
    )
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), ()),
        decoder_qkv_multiscales=((), ()),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        scaling_factor=0.41407,
    )
    return _quiet(
        SanaPipeline(
            tokenizer=gemma_tokenizer(),
            text_encoder=_gemma(),
            vae=vae,
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        )
    )


def make_lumina2() -> Lumina2Pipeline:
    """Lumina 2: Gemma 2 (32 wide), the last but one of its layers, with a system prompt before the prompt."""
    torch.manual_seed(14)
    transformer = Lumina2Transformer2DModel(
        sample_size=4,
        patch_size=2,
        in_channels=4,
        hidden_size=32,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=16,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(300, 16, 16),
        cap_feat_dim=32,
    )
    return _quiet(
        Lumina2Pipeline(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
            vae=_vae(4, shift_factor=0.1159, scaling_factor=0.3611),
            text_encoder=_gemma(),
            tokenizer=gemma_tokenizer(),
        )
    )


def make_kolors() -> Any:
    """Kolors: SDXL's UNet on ChatGLM (32 wide), padded on the left; the pooled is its last token's last state."""
    with warnings.catch_warnings():  # its import calls torch.jit.script; diffusers' own name needs sentencepiece
        warnings.filterwarnings("ignore", "`torch.jit.script`", DeprecationWarning)
        from diffusers.pipelines.kolors.pipeline_kolors import KolorsPipeline
        from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel
    torch.manual_seed(15)
    tokenizer = LetterGLMTokenizer()
    config = ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        ffn_hidden_size=37,
        kv_channels=8,
        num_attention_heads=4,
        seq_length=256,
        add_qkv_bias=True,
        multi_query_attention=True,
        multi_query_group_num=2,
        original_rope=True,
    )
    encoder = ChatGLMModel(config, empty_init=False)
    for parameter in encoder.parameters():  # the class leaves its norms as the memory was
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
        else:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return _quiet(
        KolorsPipeline(
            vae=_vae(4),
            text_encoder=encoder,
            tokenizer=tokenizer,
            unet=_unet(
                16,
                encoder_hid_dim=32,
                encoder_hid_dim_type="text_proj",
                addition_embed_type="text_time",
                addition_time_embed_dim=4,
                projection_class_embeddings_input_dim=56,
            ),
            scheduler=_ddim(),
        )
    )


def gemma_tokenizer() -> GemmaTokenizer:
    """Gemma's byte-pair tokenizer, with letters and pairs of letters for its vocabulary. It puts <bos> before the text.

    Sana's instruction has a thousand letters: without the pairs it would take most of the time.
    """
    special, letters = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"], [*_ALPHABET, "▁"]
    merges = [(first, second) for first in letters for second in letters]
    vocabulary = {token: i for i, token in enumerate([*special, *letters, *("".join(pair) for pair in merges)])}
    tokenizer = GemmaTokenizer(vocab=vocabulary, merges=merges)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        "<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return tokenizer


class LetterGLMTokenizer(ChatGLMTokenizer):
    """Kolors' tokenizer with letters in place of a sentencepiece model, so the package is not needed.

    Padding on the left, prefix tokens and position ids are ChatGLMTokenizer's own code. It cannot be saved.
    """

    def __init__(self) -> None:
        self.name = "GLMTokenizer"
        self.vocab_file = None
        self.tokenizer = _Letters()
        self.special_tokens = {"<bos>": 1, "<eos>": 2, "<pad>": 0}
        self.encode_special_tokens = False
        super(ChatGLMTokenizer, self).__init__(padding_side="left", clean_up_tokenization_spaces=False)


class _Letters(SPTokenizer):
    """What ChatGLMTokenizer asks of its sentencepiece model: a piece is a character, as in a model of type "char"."""

    def __init__(self) -> None:
        self.pieces = ["<unk>", "<s>", "</s>", "▁", *_ALPHABET]
        special = ["[MASK]", "[gMASK]", "[sMASK]", "sop", "eop", "<|system|>", "<|user|>", "<|assistant|>"]
        self.special_tokens = {token: len(self.pieces) + i for i, token in enumerate([*special, "<|observation|>"])}
        self.index_special_tokens = {i: token for token, i in self.special_tokens.items()}
        self.n_words = len(self.pieces) + len(self.special_tokens)
        self.bos_id, self.eos_id, self.pad_id = 1, 2, 0
        self.sp_model = self

    def tokenize(self, s: str, encode_special_tokens: bool = False) -> list[str]:
        text = " ".join(s.split())
        return list(("▁" + text.replace(" ", "▁")) if text else "")

    def PieceToId(self, piece: str) -> int:  # noqa: N802
        return self.pieces.index(piece) if piece in self.pieces else 0

    def IdToPiece(self, index: int) -> str:  # noqa: N802
        return self.pieces[index]


def _gemma() -> Gemma2Model:
    return Gemma2Model(
        Gemma2Config(
            vocab_size=len(gemma_tokenizer()),
            hidden_size=32,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            query_pre_attn_scalar=8,
            initializer_range=0.2,
        )
    )


_SMALL = {"height": 8, "width": 8, "num_inference_steps": 2, "output_type": "np"}

FAMILIES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "sd2": (make_sd2, _SMALL | {"guidance_scale": 5.0}),
    "sd3": (make_sd3, _SMALL | {"guidance_scale": 5.0}),
    "pixart": (make_pixart, _SMALL | {"guidance_scale": 4.5, "use_resolution_binning": False}),
    "pixart_alpha": (
        lambda: make_pixart(PixArtAlphaPipeline),
        _SMALL | {"guidance_scale": 4.5, "use_resolution_binning": False},
    ),
    "sana": (
        make_sana,
        _SMALL | {"height": 32, "width": 32, "guidance_scale": 4.5, "use_resolution_binning": False},
    ),
    # Its class takes the autoencoder to enlarge eightfold; this one doubles: the images are 8 x 8.
    "lumina2": (make_lumina2, _SMALL | {"height": 32, "width": 32, "guidance_scale": 4.0}),
    "kolors": (make_kolors, _SMALL | {"guidance_scale": 5.0}),
}
