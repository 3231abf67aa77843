"""The autoencoder of the embedded model: principal components of 8 x 8 patches, and a small network that cleans up."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F


class PortraitsAutoencoder(ModelMixin, ConfigMixin):
    """Images (B, 3, 64, 64) in [-1, 1] to latents (B, latent_channels, 8, 8) and back.

    Encoding is affine: each 8 x 8 patch, less the mean image, onto its first principal components, each divided by its
    ``scale``. Decoding is the inverse followed by a residual convolutional network, trained to map decoded latents
    that are a little off (as a denoiser's are) to the picture meant; it removes noise and the seams between patches.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 40,
        patch_size: int = 8,
        sample_size: int = 64,
        refine_channels: int = 32,
        scaling_factor: float = 1.0,
        block_out_channels: tuple[int, ...] = (0, 0, 0, 0),  # its length tells the pipeline the downscaling: 2 ** 3
        force_upcast: bool = False,
    ) -> None:
        super().__init__()
        width, side = 3 * patch_size**2, sample_size // patch_size
        self.register_buffer("components", torch.zeros(latent_channels, width))  # orthonormal rows
        self.register_buffer("scale", torch.ones(latent_channels))
        self.register_buffer("mean", torch.zeros(1, width, side, side))
        channels = refine_channels
        self.refine = nn.Sequential(  # at half the resolution: four pixels a position
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        for parameter in self.refine[-2].parameters():  # starts as the affine part alone
            nn.init.zeros_(parameter)

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple:
        patches = F.pixel_unshuffle(x, self.config["patch_size"]) - self.mean
        latent = torch.einsum("bwhv,cw->bchv", patches, self.components) / self.scale[:, None, None]
        # Nothing is sampled: a variance of e^-30 stands for a point.
        posterior = DiagonalGaussianDistribution(torch.cat([latent, torch.full_like(latent, -30.0)], 1))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def project(self, z: Tensor) -> Tensor:
        """The affine part of decoding alone."""
        patches = torch.einsum("bchv,cw->bwhv", z * self.scale[:, None, None], self.components) + self.mean
        return F.pixel_shuffle(patches, self.config["patch_size"])

    def decode(self, z: Tensor, return_dict: bool = True, generator: object = None) -> DecoderOutput | tuple:
        image = self.project(z)
        image = image + self.refine(image)
        return DecoderOutput(sample=image) if return_dict else (image,)
