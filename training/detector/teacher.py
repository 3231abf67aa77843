"""A large network that teaches the small one: all-MiniLM-L6-v2, made to answer the same three questions.

It knows far more of words in their context than the small one can learn from some 30,000 prompts, and is far
too slow to stand beside the rules. So it says of many more prompts, varied and jumbled ones, what it would answer
(knowledge distillation: Tang et al., arXiv 1903.12136), and train.py teaches the small one to answer alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from fairmapping.detect.tagger import ATTRIBUTES

EPOCHS, BATCH, RATE = 2, 32, 1.2e-4
LONGEST = 160  # tokens that are read


class Teacher(nn.Module):
    """Answers with logits [prompts, 3]: gender open, race open, somebody shown."""

    def __init__(self) -> None:
        from fairmapping.portraits import load_text_encoder

        super().__init__()
        self.tokenizer, self.encoder = load_text_encoder()
        self.tokenizer.model_max_length = LONGEST
        self.head = nn.Sequential(nn.Linear(3 * 384, 256), nn.ReLU(), nn.Dropout(0.1), nn.Linear(256, 3))

    def forward(self, prompts: Sequence[str]) -> torch.Tensor:
        read = self.tokenizer(list(prompts), padding=True, truncation=True, return_tensors="pt")
        ids, mask = read["input_ids"], read["attention_mask"]
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        there = mask[..., None].float()
        most = (hidden - 1e4 * (1 - there)).amax(1)
        return self.head(torch.cat([hidden[:, 0], (hidden * there).sum(1) / there.sum(1), most], 1))

    def answers(self, prompts: Sequence[str], what: str) -> np.ndarray:
        found = np.zeros((len(prompts), 3), np.float32)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        self.eval()
        with torch.no_grad():
            for start in tqdm(range(0, len(order), 64), desc=what):
                group = order[start : start + 64]
                found[group] = self([prompts[i] for i in group]).numpy()
        return found


def taught(rows: Sequence[dict[str, str]], seed: int) -> Teacher:
    """The network after it has learnt from labelled prompts."""
    torch.manual_seed(seed)
    shuffle = random.Random(seed)
    teacher = Teacher().train()
    groups = [group for _ in range(EPOCHS) for group in _grouped(rows, shuffle)]
    rates = [RATE, 1e-3]
    parts = zip((teacher.encoder, teacher.head), rates, strict=True)
    optimizer = torch.optim.AdamW([{"params": part.parameters(), "lr": rate} for part, rate in parts])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=len(groups), pct_start=0.08)
    for group in tqdm(groups, desc="teacher"):
        label = [[*(row[name] == "apply" for name in ATTRIBUTES), bool(row["person"])] for row in group]
        out = teacher([row["prompt"] for row in group])
        loss = nn.functional.binary_cross_entropy_with_logits(out, torch.tensor(label, dtype=torch.float32))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return teacher


def _grouped(rows: Sequence[dict[str, str]], shuffle: random.Random) -> Iterator[list[dict[str, str]]]:
    """Batches of prompts of like length, in any order."""
    rows = list(rows)
    shuffle.shuffle(rows)
    chunks = [
        sorted(rows[i : i + BATCH * 30], key=lambda row: len(row["prompt"])) for i in range(0, len(rows), BATCH * 30)
    ]
    groups = [chunk[i : i + BATCH] for chunk in chunks for i in range(0, len(chunk), BATCH)]
    shuffle.shuffle(groups)
    yield from groups
