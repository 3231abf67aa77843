"""Trains the denoiser on the rendered faces; resumes from its last checkpoint, stops at a step or a time.

python training/train_denoiser.py --renders .work/renders --work .work --steps 4000 [--minutes 90] [--guide-from 2600]
Writes denoiser.pt every few minutes: weights, their moving average, optimiser, step, seconds trained.

Two phases. First plain conditional training, with the prompt emptied one time in ten. From ``--guide-from`` on
classifier-free guidance is distilled into the same weights: a guidance scale w is drawn and told to the model, and the
target becomes v + (w - 1)(v_prompt - v_empty), the second term from the moving average at w = 1. Its mean over the
data is exactly the guided velocity, so the model goes on learning from pictures while it learns guidance.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from data import Buckets, load_renders
from diffusers import DDPMScheduler, StableDiffusionPipeline
from torch import Tensor
from world import EXPRESSIONS, UNSTATED_EXPRESSION

from fairmapping.portraits.denoiser import PortraitsDenoiser

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": False,
}
EMPTY_PROMPT = 0.1
MAX_GUIDANCE = 8.0
# Full guidance at every noise level over-saturates flat colours: it acts in the middle and fades towards both ends.
GUIDED_STEPS = (150, 950)


def guidance_at(timestep: Tensor) -> Tensor:
    low, high = GUIDED_STEPS
    return ((timestep - low) / 200).clamp(0, 1) * ((high - timestep) / 100).clamp(0, 1)


class Draws:
    """Training pairs: a caption, and the latent of a picture of someone whom the caption's shares drew."""

    def __init__(self, renders: Path, work: Path) -> None:
        _, table = load_renders(renders)
        self.latents = np.load(work / "latents.npy")
        self.prompts = np.load(work / "captions.npy")
        self.empty = torch.from_numpy(self.prompts[:1]).float()
        stored = json.loads((work / "captions.json").read_text())
        position = {text: i for i, text in enumerate(stored["texts"])}
        captions = pd.DataFrame(stored["captions"])
        cues = sorted(table["cue"].unique())
        self.buckets = Buckets(table, cues)
        self.text = captions["text"].map(position).to_numpy()
        self.nobody = (captions["kind"] == "nobody").to_numpy()
        self.women = captions["women"].to_numpy(float)
        self.races = np.cumsum(np.array(captions["races"].tolist()), axis=1)
        self.cue = np.array([cues.index(cue) for cue in captions["cue"]])
        unstated = np.cumsum([UNSTATED_EXPRESSION[name] for name in EXPRESSIONS])
        stated = [
            np.cumsum([name == said for name in EXPRESSIONS]) if isinstance(said, str) else unstated
            for said in captions["expression"]
        ]
        self.expression = np.array(stated, float)

    def __call__(self, rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
        """Latents (n, C, 8, 8) and prompt embeddings (n, L, D), float32."""
        picture, prompt = self.pick(rng, n)
        return torch.from_numpy(self.latents[picture]).float(), prompt

    def pick(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, Tensor]:
        """Rows of the renders (n,) and prompt embeddings (n, L, D)."""
        i = rng.integers(len(self.text), size=n)
        gender = (rng.random(n) >= self.women[i]).astype(int)
        race = (rng.random((n, 1)) > self.races[i]).sum(1).clip(0, 3)
        expression = (rng.random((n, 1)) > self.expression[i]).sum(1).clip(0, len(EXPRESSIONS) - 1)
        picture = self.buckets.draw(rng, self.buckets.code(gender, race, expression, self.cue[i]))
        picture = np.where(self.nobody[i], rng.choice(self.buckets.nobody, n), picture)
        text = np.where(rng.random(n) < EMPTY_PROMPT, 0, self.text[i])
        return picture, torch.from_numpy(self.prompts[text]).float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000, help="the learning rate falls to zero here")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--guide-from", type=int, default=2600)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    arg = parser.parse_args()
    device = torch.device(arg.device)
    torch.manual_seed(arg.seed)
    draws = Draws(arg.renders, arg.work)
    model = PortraitsDenoiser().to(device).train()
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optim = torch.optim.AdamW(model.parameters(), lr=arg.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    step, trained, checkpoint = 0, 0.0, arg.work / "denoiser.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optim.load_state_dict(state["optim"])
        step, trained = state["step"], state["seconds"]
    levels = DDPMScheduler(**SCHEDULE).alphas_cumprod.to(device)
    run = torch.compile(model) if arg.compile else model
    run_average = torch.compile(average) if arg.compile else average
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters / 1e6:.2f} M parameters, from step {step}", flush=True)

    def save(seconds: float) -> None:
        state = {"model": model.state_dict(), "average": average.state_dict(), "optim": optim.state_dict(),
                 "step": step, "seconds": seconds, "batch": arg.batch}  # fmt: skip
        torch.save(state, checkpoint.with_suffix(".tmp"))
        os.replace(checkpoint.with_suffix(".tmp"), checkpoint)

    start = last_save = time.monotonic()
    running: list[float] = []
    stop = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.append(True))  # finish the step, save, leave
    while not stop and step < arg.steps and time.monotonic() - start < 60 * arg.minutes:
        rng = np.random.default_rng(
            [arg.seed, step]
        )  # one stream a step, so a resumed run sees what an undisturbed one does
        torch.manual_seed(arg.seed + 7919 * step)
        latent, prompt = (t.to(device) for t in draws(rng, arg.batch))
        # Half a uniform grid of noise levels, half nearer the middle, where the prompt decides who is drawn.
        middle = torch.sigmoid(torch.randn(arg.batch) * 1.0 + 0.2) * 999
        t = torch.where(torch.rand(arg.batch) < 0.5, torch.rand(arg.batch) * 999, middle).long().to(device)
        noise = torch.randn_like(latent)
        a, s = levels[t].sqrt()[:, None, None, None], (1 - levels[t]).sqrt()[:, None, None, None]
        noisy, target = a * latent + s * noise, a * noise - s * latent
        cond = None
        if step >= arg.guide_from:
            # Half of each batch: the other half keeps learning at w = 1, and the average model's two passes cost half.
            half = arg.batch // 2
            extra = torch.zeros(arg.batch)
            extra[:half] = (torch.rand(half) * math.log(MAX_GUIDANCE)).exp() - 1
            cond = StableDiffusionPipeline.get_guidance_scale_embedding(None, extra, model.config["time_cond_proj_dim"])  # type: ignore[arg-type]
            cond, push = cond.to(device), (extra.to(device) * guidance_at(t))[:half, None, None, None]
            with torch.no_grad():
                with_prompt = run_average(noisy[:half], t[:half], prompt[:half]).sample
                without = run_average(noisy[:half], t[:half], draws.empty.to(device).expand_as(prompt[:half])).sample
            target[:half] += push * (with_prompt - without)
        rate = (
            arg.rate
            * min(1.0, (step + 1) / 300)
            * (1.0 if step < 0.7 * arg.steps else (arg.steps - step) / (0.3 * arg.steps))
        )
        loss = (run(noisy, t, prompt, cond).sample - target).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optim.param_groups[0]["lr"] = rate
        optim.step()
        optim.zero_grad(set_to_none=True)
        step += 1
        decay = min(0.9995, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        running.append(loss.item())
        if step % 100 == 0:
            seconds = time.monotonic() - start
            print(f"step {step} loss {np.mean(running):.4f} {trained + seconds:.0f} s", flush=True)
            running.clear()
        if time.monotonic() - last_save > 120:
            save(trained + time.monotonic() - start)
            last_save = time.monotonic()
    save(trained + time.monotonic() - start)


if __name__ == "__main__":
    main()
