"""The denoiser of the embedded model: a small diffusion transformer shaped for a CPU.

A convolutional UNet of this size keeps two cores busy with small convolutions at a third of their speed; here nearly
all the work is in matrix products of a few hundred rows and columns. It answers to the calls a UNet gets from
``StableDiffusionPipeline``, so the plain pipeline loads and runs it.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Attention of the image tokens to themselves and to the prompt's tokens in one product, then a feed-forward layer.

    ``modulation`` (B, 6, width) shifts, scales and gates both halves (adaLN, Peebles & Xie 2023; one projection shared
    by all blocks plus a learned offset per block, as in PixArt-alpha).
    """

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.prompt_kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width), nn.GELU("tanh"), nn.Linear(mlp_ratio * width, width)
        )
        self.offset = nn.Parameter(torch.zeros(6, width))

    def forward(self, x: Tensor, prompt: Tensor, modulation: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = (modulation + self.offset).unsqueeze(2).unbind(1)  # (B, 1, W)
        q, k, v = self.qkv(self.norm(x) * (1 + scale1) + shift1).chunk(3, dim=-1)
        prompt_k, prompt_v = self.prompt_kv(prompt).chunk(2, dim=-1)
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for t in (q, torch.cat([k, prompt_k], 1), torch.cat([v, prompt_v], 1))
        )
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + gate1 * self.out(attended)
        return x + gate2 * self.mlp(self.norm(x) * (1 + scale2) + shift2)


class PortraitsDenoiser(ModelMixin, ConfigMixin):
    """Predicts the velocity of a noisy latent (Salimans & Ho 2022) from the latent, the noise level and the prompt.

    The guidance scale is an input (``time_cond_proj_dim``, as in latent consistency models): classifier-free guidance
    was distilled into the weights, so a guided step costs one pass and the pipeline encodes no negative prompt.

    Shapes: ``sample`` (B, in_channels, sample_size, sample_size), ``encoder_hidden_states`` (B, L,
    cross_attention_dim), ``timestep_cond`` (B, time_cond_proj_dim) or None, which stands for a guidance scale of 1.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 8,
        in_channels: int = 40,
        patch_size: int = 2,
        width: int = 256,
        depth: int = 6,
        heads: int = 4,
        mlp_ratio: int = 3,
        cross_attention_dim: int = 384,
        time_cond_proj_dim: int = 64,
    ) -> None:
        super().__init__()
        patch_dim, tokens = in_channels * patch_size**2, (sample_size // patch_size) ** 2
        self.embed = nn.Linear(patch_dim, width)
        self.position = nn.Parameter(torch.randn(1, tokens, width) * 0.02)
        self.prompt_in = nn.Sequential(nn.LayerNorm(cross_attention_dim), nn.Linear(cross_attention_dim, width))
        self.prompt_mean = nn.Linear(cross_attention_dim, width)
        self.time_features = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time = TimestepEmbedding(width, width)
        self.guidance = TimestepEmbedding(time_cond_proj_dim, width)
        self.modulate = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate_out = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.unembed = nn.Linear(width, patch_dim)
        for layer in (self.modulate[1], self.modulate_out[1], self.unembed):  # every block starts as the identity
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        timestep_cond: Tensor | None = None,
        cross_attention_kwargs: dict | None = None,
        added_cond_kwargs: dict | None = None,
        return_dict: bool = True,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        if cross_attention_kwargs or added_cond_kwargs:
            given = {**(cross_attention_kwargs or {}), **(added_cond_kwargs or {})}
            raise ValueError(f"the portraits denoiser has no use for {sorted(given)}: leave them out")
        batch, side, patch = sample.shape[0], self.config["sample_size"], self.config["patch_size"]
        grid = side // patch
        time = torch.as_tensor(timestep, device=sample.device).expand(batch)
        if timestep_cond is None:  # what StableDiffusionPipeline.get_guidance_scale_embedding gives for scale 1 (w = 0)
            half = self.config["time_cond_proj_dim"] // 2
            timestep_cond = torch.cat([sample.new_zeros(batch, half), sample.new_ones(batch, half)], 1)
        condition = (
            self.time(self.time_features(time).to(sample.dtype))
            + self.guidance(timestep_cond.to(sample.dtype))
            + self.prompt_mean(encoder_hidden_states.mean(1))
        )
        modulation = self.modulate(condition).unflatten(-1, (6, -1))
        prompt = self.prompt_in(encoder_hidden_states)

        tokens = sample.unflatten(-1, (grid, patch)).unflatten(-3, (grid, patch))  # (B, C, g, p, g, p)
        x = self.embed(tokens.permute(0, 2, 4, 1, 3, 5).reshape(batch, grid * grid, -1)) + self.position
        for block in self.blocks:
            x = block(x, prompt, modulation)
        shift, scale = self.modulate_out(condition).unsqueeze(1).chunk(2, dim=-1)
        x = self.unembed(self.norm(x) * (1 + scale) + shift)
        x = x.reshape(batch, grid, grid, -1, patch, patch).permute(0, 3, 1, 4, 2, 5).reshape(sample.shape)
        return UNet2DConditionOutput(sample=x) if return_dict else (x,)
