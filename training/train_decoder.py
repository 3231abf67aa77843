"""Trains the decoder's clean-up network on latents that are a little off, as the denoiser's are.

python training/train_decoder.py --renders .work/renders --work .work --steps 1200
Half of each batch are pictures noised a little and brought back by the denoiser in one step; half carry plain noise.
The target is the picture itself. Reads denoiser.pt and writes the network into autoencoder.pt.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from data import as_tensor, load_renders
from diffusers import DDPMScheduler
from torch.nn import functional as F
from train_denoiser import SCHEDULE, Draws

from fairmapping.portraits.autoencoder import PortraitsAutoencoder
from fairmapping.portraits.denoiser import PortraitsDenoiser

MAX_LEVEL = 300  # of 1000 noise levels: beyond it the denoiser has more to decide than to clean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=64)
    arg = parser.parse_args()
    torch.manual_seed(0)
    images, _ = load_renders(arg.renders)
    draws = Draws(arg.renders, arg.work)
    coder = PortraitsAutoencoder()
    coder.load_state_dict(torch.load(arg.work / "autoencoder.pt", weights_only=True))
    denoiser = PortraitsDenoiser().eval()
    denoiser.load_state_dict(torch.load(arg.work / "denoiser.pt", weights_only=True)["average"])
    levels = DDPMScheduler(**SCHEDULE).alphas_cumprod
    optim = torch.optim.AdamW(coder.refine.parameters(), lr=2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optim, 3e-3, total_steps=arg.steps)
    rng = np.random.default_rng(0)
    total = plain = 0.0
    for step in range(arg.steps):
        picture, prompt = draws.pick(rng, arg.batch)
        clean = torch.from_numpy(draws.latents[picture]).float()
        target = as_tensor(images[picture])
        half = arg.batch // 2
        with torch.no_grad():
            t = torch.randint(0, MAX_LEVEL, (half,))
            a, s = levels[t].sqrt()[:, None, None, None], (1 - levels[t]).sqrt()[:, None, None, None]
            noisy = a * clean[:half] + s * torch.randn_like(clean[:half])
            clean[:half] = a * noisy - s * denoiser(noisy, t, prompt[:half]).sample
            clean[half:] += 0.2 * torch.rand(half, 1, 1, 1) * torch.randn_like(clean[half:])
            image = coder.project(clean)
        refined = image + coder.refine(image)
        loss = F.l1_loss(refined, target)
        optim.zero_grad()
        loss.backward()
        optim.step()
        schedule.step()
        total, plain = total + loss.item(), plain + F.l1_loss(image, target).item()
        if step % 100 == 99:
            print(
                f"step {step + 1}: mean absolute error {total / 100:.4f}, without clean-up {plain / 100:.4f}",
                flush=True,
            )
            total = plain = 0.0
    torch.save(coder.state_dict(), arg.work / "autoencoder.tmp")
    os.replace(arg.work / "autoencoder.tmp", arg.work / "autoencoder.pt")


if __name__ == "__main__":
    main()
