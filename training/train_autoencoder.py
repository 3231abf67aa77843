"""Fits the affine part of the autoencoder (principal components of patches) and encodes every picture once.

python training/train_autoencoder.py --renders .work/renders --out .work
Writes autoencoder.pt (a state dict) and latents.npy (N, 40, 8, 8) float16.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from data import as_tensor, load_renders
from torch.nn import functional as F

from fairmapping.portraits.autoencoder import PortraitsAutoencoder

WHITENING = 0.5  # 0 leaves the components' variances as they are, 1 makes them all one; between, coarse still leads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fit-on", type=int, default=8000)
    arg = parser.parse_args()
    images, _ = load_renders(arg.renders)
    model = PortraitsAutoencoder()
    keep = model.config["latent_channels"]
    sample = np.random.default_rng(0).permutation(len(images))[: arg.fit_on]
    patches = F.pixel_unshuffle(as_tensor(images[np.sort(sample)]), model.config["patch_size"])  # (n, 192, 8, 8)
    mean = patches.mean(0, keepdim=True)
    rows = (patches - mean).permute(0, 2, 3, 1).reshape(-1, patches.shape[1]).double()
    variance, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    variance, vectors = variance.flip(0), vectors.flip(1)
    print(f"{keep} of {len(variance)} components hold {variance[:keep].sum() / variance.sum():.2%} of the variance")
    scale = variance[:keep].clamp_min(1e-12).sqrt() ** WHITENING
    scale = scale * (variance[:keep] / scale**2).mean().sqrt()  # latents of unit mean square
    model.components.copy_(vectors[:, :keep].T)
    model.scale.copy_(scale)
    model.mean.copy_(mean)
    latents = np.lib.format.open_memmap(arg.out / "latents.npy", "w+", np.float16, (len(images), keep, 8, 8))
    with torch.inference_mode():
        for start in range(0, len(images), 1024):
            chunk = model.encode(as_tensor(images[start : start + 1024])).latent_dist.mode()
            latents[start : start + 1024] = chunk.half().numpy()
    latents.flush()
    torch.save(model.state_dict(), arg.out / "autoencoder.pt")
    z = torch.from_numpy(np.array(latents[:512])).float()
    error = (model.project(z) - as_tensor(images[:512])).square().mean().sqrt().item()
    print(f"root mean square error of the affine reconstruction {error:.4f} of a range of 2; latent std {z.std():.3f}")


if __name__ == "__main__":
    main()
