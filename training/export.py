"""Writes the trained weights where the package looks for them, as float16 safetensors, and says how large they are.

python training/export.py --work .work --out src/fairmapping/portraits/weights
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler
from train_denoiser import SCHEDULE
from world import uncaptioned

from fairmapping.portraits.autoencoder import PortraitsAutoencoder
from fairmapping.portraits.denoiser import PortraitsDenoiser

LIMIT = 20e6  # bytes, all weights together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arg = parser.parse_args()
    denoiser, autoencoder = PortraitsDenoiser(), PortraitsAutoencoder()
    state = torch.load(arg.work / "denoiser.pt", map_location="cpu", weights_only=True)
    denoiser.load_state_dict(state["average"])
    autoencoder.load_state_dict(torch.load(arg.work / "autoencoder.pt", weights_only=True))
    denoiser.half().save_pretrained(arg.out / "denoiser")
    autoencoder.half().save_pretrained(arg.out / "autoencoder")
    schedule = {name: value for name, value in SCHEDULE.items() if name != "clip_sample"}
    scheduler = DPMSolverMultistepScheduler(
        **schedule, timestep_spacing="trailing", final_sigmas_type="zero", steps_offset=1
    )
    scheduler.save_pretrained(arg.out / "scheduler")
    facts = {
        "never_captioned": sorted(uncaptioned()),
        "steps": state["step"],
        "batch": state["batch"],
        "minutes": round(state["seconds"] / 60),
    }
    (arg.out / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
    size = sum(path.stat().st_size for path in arg.out.rglob("*.safetensors"))
    print(f"step {state['step']}, {state['seconds'] / 60:.0f} minutes of training, {size / 1e6:.1f} MB of weights")
    if size > LIMIT:
        raise SystemExit(f"over the limit of {LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
