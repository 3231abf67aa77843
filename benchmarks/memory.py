"""Memory and work of full-size models, worked out from their sizes: no weights, no GPU, nothing is measured.

python benchmarks/memory.py [--models sdxl flux]     # prints the tables of docs/models.md

Every model is built from its published configuration on torch's meta device, whose tensors have shapes and no numbers,
and run there. What is counted: the bytes of weights; the most bytes of activations that are alive at once, the
recomputation of checkpointed blocks included; multiplications and additions. What is not: CUDA's own context (0.3 to
0.6 GB), workspaces of its kernels, and fragmentation. Attention counts as a fused kernel (PyTorch's own on any GPU).
"""

from __future__ import annotations

import argparse
import math
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import diffusers as D
import torch
import transformers as T
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

GB = 1e9
CARDS = (8, 12, 16, 24)
HELD = 48  # columns of a prompt that route text holds: its words and 32 of padding
IMAGES, DRAWN, STEPS, TOGETHER = (
    256,
    25,
    1000,
    8,
)  # of the recipes: images, their steps, steps of the fit, images in each
RATES = (20, 200)  # TFLOP/s that a small and a large card may keep up
SPARE = 1.0  # GB of a card that context, kernels and fragmentation may take
FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
FUSED_BACK = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class Live(TorchDispatchMode):
    """The most bytes of tensors made under it that were alive at once, the weights of ``module`` left out."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        held = [*module.parameters(), *module.buffers()]
        self.known = {tensor.untyped_storage()._cdata for tensor in held}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self.known:
                    self.known.add(key)
                    self.now += size
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, key, size)
        return out

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def fused(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
    """What a GPU's attention keeps: its output, and not the matrix of all pairs of tokens."""
    return FUSED(query, key, value)[0]


def fused_flops(q: Any, k: Any, v: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return sdpa_flop_count(q, k, v)


def fused_back_flops(grad: Any, q: Any, k: Any, v: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return sdpa_backward_flop_count(grad, q, k, v)


def counter() -> FlopCounterMode:
    return FlopCounterMode(display=False, custom_mapping={FUSED: fused_flops, FUSED_BACK: fused_back_flops})


@dataclass
class Model:
    """``denoiser`` (prompts, latents) -> arguments of its call; ``tokens`` and ``width`` of the embeddings."""

    name: str
    dtype: torch.dtype
    encoders: Callable[[], list[torch.nn.Module]]
    denoiser: Callable[[], torch.nn.Module]
    vae: Callable[[], torch.nn.Module]
    arguments: Callable[[int], dict[str, Any]]
    latents: tuple[int, ...]
    tokens: int
    width: int
    pooled: int = 0
    steps: int = 50
    guided: int = 2  # calls of the denoiser a step
    vae_dtype: torch.dtype | None = None
    found: dict[str, float] = field(default_factory=dict)


def meta(*shape: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    return torch.empty(*shape, device="meta", dtype=dtype)


def clip(width: int, layers: int, heads: int, *, projection: bool = True) -> torch.nn.Module:
    config = T.CLIPTextConfig(vocab_size=49408, hidden_size=width, intermediate_size=4 * width, projection_dim=width,
                              num_hidden_layers=layers, num_attention_heads=heads)  # fmt: skip
    return T.CLIPTextModelWithProjection(config) if projection else T.CLIPTextModel(config)


def t5_xxl() -> torch.nn.Module:
    config = T.T5Config(vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
                        feed_forward_proj="gated-gelu")  # fmt: skip
    return T.T5EncoderModel(config)


def vae(channels: int) -> torch.nn.Module:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    quant = {"use_quant_conv": channels == 4, "use_post_quant_conv": channels == 4}
    return D.AutoencoderKL(**blocks, **quant, block_out_channels=(128, 256, 512, 512), layers_per_block=2,
                           latent_channels=channels, sample_size=1024)  # fmt: skip


def sdxl_unet() -> torch.nn.Module:
    return D.UNet2DConditionModel(
        sample_size=128, block_out_channels=(320, 640, 1280), cross_attention_dim=2048, use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=[5, 10, 20],
        transformer_layers_per_block=[1, 2, 10], addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )  # fmt: skip


def sd3(layers: int, heads: int, positions: int, dual: int) -> torch.nn.Module:
    return D.SD3Transformer2DModel(
        sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=layers, attention_head_dim=64,
        num_attention_heads=heads, joint_attention_dim=4096, caption_projection_dim=64 * heads,
        pooled_projection_dim=2048, pos_embed_max_size=positions, dual_attention_layers=tuple(range(dual)),
        qk_norm="rms_norm",
    )  # fmt: skip


def models() -> list[Model]:
    half, brain = torch.float16, torch.bfloat16

    def sd15(n: int) -> dict[str, Any]:
        return {"sample": meta(n, 4, 64, 64), "timestep": meta(n), "encoder_hidden_states": meta(n, 77, 768)}

    def sdxl(n: int) -> dict[str, Any]:
        added = {"text_embeds": meta(n, 1280), "time_ids": meta(n, 6)}
        return {"sample": meta(n, 4, 128, 128), "timestep": meta(n), "encoder_hidden_states": meta(n, 77, 2048),
                "added_cond_kwargs": added}  # fmt: skip

    def sd35(n: int) -> dict[str, Any]:
        return {"hidden_states": meta(n, 16, 128, 128, dtype=brain), "timestep": meta(n, dtype=brain),
                "encoder_hidden_states": meta(n, 333, 4096, dtype=brain),
                "pooled_projections": meta(n, 2048, dtype=brain)}  # fmt: skip

    def flux(n: int) -> dict[str, Any]:
        return {"hidden_states": meta(n, 4096, 64, dtype=brain), "timestep": meta(n, dtype=brain),
                "guidance": meta(n, dtype=torch.float32), "encoder_hidden_states": meta(n, 512, 4096, dtype=brain),
                "pooled_projections": meta(n, 768, dtype=brain), "txt_ids": meta(512, 3, dtype=brain),
                "img_ids": meta(4096, 3, dtype=brain)}  # fmt: skip

    def qwen(n: int) -> dict[str, Any]:
        return {"hidden_states": meta(n, 4096, 64, dtype=brain), "timestep": meta(n, dtype=brain),
                "encoder_hidden_states": meta(n, 64, 3584, dtype=brain), "img_shapes": [[(1, 64, 64)]] * n,
                "encoder_hidden_states_mask": None}  # fmt: skip

    def zimage(n: int) -> dict[str, Any]:
        return {"x": [meta(16, 1, 128, 128, dtype=brain) for _ in range(n)], "t": meta(n, dtype=brain),
                "cap_feats": [meta(64, 2560, dtype=brain) for _ in range(n)]}  # fmt: skip

    def qwen_vl() -> list[torch.nn.Module]:
        text = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
                "num_key_value_heads": 4, "vocab_size": 152064}  # fmt: skip
        vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584}
        config = T.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
        return [T.Qwen2_5_VLForConditionalGeneration(config)]

    def qwen3() -> list[torch.nn.Module]:
        config = T.Qwen3Config(vocab_size=151936, hidden_size=2560, intermediate_size=9728, head_dim=128,
                               num_hidden_layers=36, num_attention_heads=32, num_key_value_heads=8)  # fmt: skip
        return [T.Qwen3Model(config)]

    large, small = lambda: clip(1280, 32, 20), lambda: clip(768, 12, 12)
    three = lambda: [small(), large(), t5_xxl()]  # noqa: E731
    return [
        Model("sd15", half, lambda: [clip(768, 12, 12, projection=False)],
              lambda: D.UNet2DConditionModel(sample_size=64, cross_attention_dim=768), lambda: vae(4), sd15,
              (4, 64, 64), 77, 768),
        Model("sdxl", half, lambda: [clip(768, 12, 12, projection=False), large()], sdxl_unet, lambda: vae(4), sdxl,
              (4, 128, 128), 77, 2048, 1280, vae_dtype=torch.float32),
        Model("sd35-medium", brain, three, lambda: sd3(24, 24, 384, 13), lambda: vae(16), sd35,
              (16, 128, 128), 333, 4096, 2048, steps=28),
        Model("sd35-large", brain, three, lambda: sd3(38, 38, 192, 0), lambda: vae(16), sd35,
              (16, 128, 128), 333, 4096, 2048, steps=28),
        Model("flux", brain, lambda: [clip(768, 12, 12, projection=False), t5_xxl()],
              lambda: D.FluxTransformer2DModel(guidance_embeds=True), lambda: vae(16), flux,
              (16, 128, 128), 512, 4096, 768, steps=28, guided=1),
        Model("qwenimage", brain, qwen_vl, D.QwenImageTransformer2DModel, D.AutoencoderKLQwenImage, qwen,
              (16, 1, 128, 128), 64, 3584),
        Model("zimage", brain, qwen3, D.ZImageTransformer2DModel, lambda: vae(16), zimage,
              (16, 128, 128), 64, 2560, steps=9, guided=1),
    ]  # fmt: skip


def size(modules: list[torch.nn.Module], dtype: torch.dtype) -> float:
    return sum(p.numel() for module in modules for p in module.parameters()) * dtype.itemsize / GB


def work_out(model: Model) -> None:
    """Fill in ``model.found``, all in GB or TFLOP."""
    found = model.found
    with torch.device("meta"):
        encoders = model.encoders()
        denoiser, decoder = model.denoiser().to(model.dtype), model.vae().to(model.vae_dtype or model.dtype)
    for module in (denoiser, decoder):
        module.eval().requires_grad_(False)
    found["encoders"] = size(encoders, model.dtype)
    found["two encoders"] = sum(sorted(size([encoder], model.dtype) for encoder in encoders)[-2:])
    found["denoiser"] = size([denoiser], model.dtype)
    found["vae"] = size([decoder], model.dtype)
    rows = model.guided if model.guided > 1 else 1
    with torch.no_grad():
        given = model.arguments(rows)
        with Live(denoiser) as live:
            denoiser(**given)
        found["step"] = live.peak / GB
        with counter() as flops:
            denoiser(**model.arguments(1))
        found["call tflop"] = flops.get_total_flops() / 1e12
        with Live(decoder) as live:
            decoder.decode(meta(1, *model.latents, dtype=model.vae_dtype or model.dtype))
        found["decode"] = live.peak / GB + size([decoder], model.vae_dtype or model.dtype)
    for name, on in (("fit", False), ("fit checkpointed", True)):
        if on:
            denoiser.enable_gradient_checkpointing()
        given = model.arguments(1)
        prompt = given.get("encoder_hidden_states", given.get("cap_feats"))
        for rows in prompt if isinstance(prompt, list) else [prompt]:
            rows.requires_grad_()

        def back(given: dict[str, Any] = given) -> None:
            out = denoiser(**given)[0]
            (out[0] if isinstance(out, list) else out).float().square().mean().backward()

        with Live(denoiser) as live:
            back()
        with counter() as flops:  # apart, for it keeps tensors alive
            back()
        found[name], found[f"{name} tflop"] = live.peak / GB, flops.get_total_flops() / 1e12


def tables(found: list[Model]) -> str:
    def table(head: list[str], rows: list[list[Any]]) -> list[str]:
        shown = [[f"{x:.1f}" if isinstance(x, float) else str(x) for x in row] for row in rows]
        return ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|",
                *("| " + " | ".join(row) + " |" for row in shown), ""]  # fmt: skip

    lines = ["Weights and what one image needs beside them, in GB:", ""]
    lines += table(
        ["model", "text encoders", "denoiser", "VAE", "drawing: + activations", "decoding, VAE included",
         "fit, one image: + activations", "the same, `checkpointing=True`"],
        [[m.name, *(m.found[k] for k in ("encoders", "denoiser", "vae", "step", "decode", "fit", "fit checkpointed"))]
         for m in found],
    )  # fmt: skip
    lines += ["What a card must hold, in GB, and the smallest card that leaves 1 GB to spare:", ""]
    rows = []
    for m in found:
        f = m.found
        fit = f["denoiser"] + max(f["fit checkpointed"], f["step"])
        needs = [f["encoders"], f["encoders"] + f["denoiser"] + f["vae"] + f["step"],
                 max(f["two encoders"], f["denoiser"] + f["step"], f["decode"]), f["encoders"] + f["vae"] + fit,
                 max(f["two encoders"], fit)]  # fmt: skip
        cards = [next((f"{c} GB" for c in CARDS if need + SPARE <= c), "larger") for need in needs]
        rows.append([m.name, *(f"{need:.1f} ({card})" for need, card in zip(needs, cards, strict=True))])
    head = ["model", "fit, route text", "draw", "draw, offloaded", "fit by drawing", "fit by drawing, offloaded"]
    lines += table(head, rows)
    lines += ["The work, and how long it takes at a steady 20 and 200 TFLOP/s:", ""]
    rows = []
    for m in found:
        call = m.found["call tflop"]
        image = call * m.steps * m.guided
        whole = call * IMAGES * DRAWN * m.guided + m.found["fit checkpointed tflop"] * STEPS * TOGETHER
        rows.append([m.name, call, f"{image:.0f}", " / ".join(f"{image / rate:.1f} s" for rate in RATES),
                     f"{whole:.0f}", " / ".join(f"{whole / rate / 3600:.2f} h" for rate in RATES)])  # fmt: skip
    lines += table(["model", "denoiser, TFLOP a call", "an image, TFLOP", "its time", "a fit by drawing, TFLOP",
                    "its time"], rows)  # fmt: skip
    lines += ["The map beside it:", ""]
    rows = []
    for m in found:
        square = (m.width**2 + m.pooled**2) * 4 / 2**20
        low = (2 * 256 * m.width + m.pooled**2) * 4 / 2**20
        shifts = (m.width + m.pooled) * (32 + 6 * 33) * 4 / 2**20
        rank = m.width if m.width <= 2048 else 2 * 256
        rows.append([m.name, shifts, f"{square:.0f}" if m.width <= 2048 else f"{low:.0f} (square {square:.0f})",
                     *(f"{2 * m.tokens * m.width * r / 1e9:.2f}" for r in (2 * 32, rank))])  # fmt: skip
    lines += table(["model", "group shifts, MiB", "map of route text, MiB", "shifts, GFLOP a prompt",
                    "map of route text, GFLOP a prompt"], rows)  # fmt: skip
    lines += ["Main memory that a fit needs beside the model, in GB:", ""]
    rows = []
    for m in found:
        prompt = m.tokens * m.width * 4 / GB
        latents = DRAWN * 2 * math.prod(m.latents) * m.dtype.itemsize / GB
        recorded = 2 * prompt + prompt / 2 + latents
        rows.append(
            [m.name, 153 * 4 * 7 * min(m.tokens, HELD) * m.width * 4 / GB, *(n * recorded for n in (256, 1536))]
        )
    lines += table(["model", "route text", "256 images", "1536 images"], rows)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=[model.name for model in models()])
    arg = parser.parse_args()
    warnings.simplefilter("ignore")
    D.utils.logging.set_verbosity_error()
    torch.nn.functional.scaled_dot_product_attention = fused
    chosen = [model for model in models() if not arg.models or model.name in arg.models]
    for model in chosen:
        work_out(model)
        print(model.name, {name: round(value, 2) for name, value in model.found.items()}, flush=True)
    print(tables(chosen))


if __name__ == "__main__":
    main()
