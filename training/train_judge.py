"""Trains the judge on renders, as they are and as the autoencoder gives them back, and writes its accuracy card.

python training/train_judge.py --renders .work/renders --work .work --out src/fairmapping/portraits/weights/judge
One bucket in ten (the last pictures of each) is held out; the card's confusion matrices are of those.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from data import as_tensor, load_renders
from torch.nn import functional as F
from world import EXPRESSIONS, GENDERS, RACES

from fairmapping.portraits.autoencoder import PortraitsAutoencoder
from fairmapping.portraits.judge import PortraitsClassifier

IGNORE = -100  # no gender, race or expression where there is no face


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=128)
    arg = parser.parse_args()
    torch.manual_seed(0)
    images, table = load_renders(arg.renders)
    cues = sorted(table["cue"].unique())
    attributes = {"gender": list(GENDERS), "race": list(RACES), "expression": list(EXPRESSIONS), "cue": cues}
    targets = {}
    for name, groups in attributes.items():
        codes = table[name].map({group: i for i, group in enumerate(groups)}).fillna(IGNORE).astype(int)
        targets[name] = torch.from_numpy(codes.where(table["gender"] != "none", IGNORE).to_numpy())
    face = torch.from_numpy((table["gender"] != "none").to_numpy()).float()
    held = table.groupby(list(table.columns), sort=False).cumcount(ascending=False).to_numpy() < 8
    train, test = np.flatnonzero(~held), np.flatnonzero(held)
    empty = train[face[train].numpy() == 0]

    coder = PortraitsAutoencoder()
    coder.load_state_dict(torch.load(arg.work / "autoencoder.pt", weights_only=True))
    model = PortraitsClassifier(attributes).train()
    optim = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optim, 3e-3, total_steps=arg.steps)
    rng = np.random.default_rng(0)
    for step in range(arg.steps):
        rows = np.sort(rng.choice(train, arg.batch))
        rows[: arg.batch // 8] = rng.choice(empty, arg.batch // 8)
        x = as_tensor(images[rows])
        with (
            torch.no_grad()
        ):  # half are seen through the autoencoder, and a third of all carry noise, as drawn ones may
            half = arg.batch // 2
            order = torch.randperm(arg.batch)
            latent = coder.encode(x[order[:half]]).latent_dist.mode()
            x[order[:half]] = coder.project(latent + 0.3 * torch.rand(half, 1, 1, 1) * torch.randn_like(latent))
            x = (x + 0.15 * (torch.rand(arg.batch, 1, 1, 1) - 0.67).clamp_min(0) * 3 * torch.randn_like(x)).clamp(-1, 1)
            # A share of hard negatives: plain noise and washed-out mixtures of faces hold nobody either.
            mixed = x[:6].roll(1, 0) * 0.5 + x[:6] * 0.5
            x[:3], x[3:6] = torch.rand_like(x[:3]) * 2 - 1, mixed[3:6] * 0.3
        seen = face[rows].clone()
        seen[:6] = 0
        face_logit, logits = model(x)
        loss = F.binary_cross_entropy_with_logits(face_logit, seen)
        for name, values in logits.items():
            target = targets[name][rows].masked_fill(seen == 0, IGNORE)
            loss = loss + F.cross_entropy(values, target, ignore_index=IGNORE)
        optim.zero_grad()
        loss.backward()
        optim.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1} loss {loss.item():.4f}", flush=True)

    model.eval()
    confusion = {name: np.zeros((len(groups), len(groups)), int) for name, groups in attributes.items()}
    found = np.zeros((2, 2), int)
    with torch.inference_mode():
        for start in range(0, len(test), 512):
            rows = test[start : start + 512]
            face_logit, logits = model(as_tensor(images[rows]))
            seen = (face_logit > 0).numpy()
            np.add.at(found, (face[rows].numpy().astype(int), seen.astype(int)), 1)
            for name, values in logits.items():
                true, said = targets[name][rows].numpy(), values.argmax(1).numpy()
                keep = (true >= 0) & seen
                np.add.at(confusion[name], (true[keep], said[keep]), 1)
    for name, matrix in confusion.items():
        print(f"{name}: {np.trace(matrix) / matrix.sum():.4f} of {matrix.sum()} held-out renders")
    print(f"face found, rows none/face, columns said none/face: {found.tolist()}")
    model.half().save_pretrained(arg.out)
    (arg.out / "card.json").write_text(json.dumps({
        "domain": "64 x 64 drawings of the embedded model portraits; it knows nothing of photographs",
        "caution": "It reads what a drawing shows: perceived gender and perceived race, never anyone's identity.",
        "attributes": attributes, "renders": {"trained_on": int(len(train)), "held_out": int(len(test))},
        "face": {"rows": ["nobody", "face"], "columns": ["said nobody", "said face"], "counts": found.tolist()},
        "confusion": {name: matrix.tolist() for name, matrix in confusion.items()},
    }, indent=1) + "\n")  # fmt: skip


if __name__ == "__main__":
    main()
