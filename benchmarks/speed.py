"""How fast the embedded model draws and the exact solver solves, on this machine.

python benchmarks/speed.py [--gradient]
Run it on an idle machine; figures of two CPU cores stand in docs/results.md.
"""

from __future__ import annotations

import argparse
import platform
import time

import torch

import fairmapping as fm
from fairmapping.bias import Contrasts
from fairmapping.embed import Embeddings
from fairmapping.text_route import fit_embeddings

BATCH, KEYWORDS, WIDTH, LENGTH = 16, 150, 768, 24


def images_a_second(pipe: object, rounds: int = 8, **call: object) -> float:
    prompts = ["a portrait of a doctor", "a portrait of a nurse"] * (BATCH // 2)
    pipe(prompts, **call)  # the first call warms up
    started = time.perf_counter()
    for _ in range(rounds):
        pipe(prompts, **call)
    return rounds * BATCH / (time.perf_counter() - started)


def synthetic(width: int) -> Contrasts:
    """Embeddings of a wider encoder, of the size of a real fit: 150 keywords, 4 templates, gender and race."""
    generator = torch.Generator().manual_seed(0)
    attributes = tuple(fm.lists.attributes()[name] for name in ("gender", "race"))
    rows, groups = KEYWORDS * len(fm.prompts.DEFAULT_TEMPLATES), sum(len(a.groups) for a in attributes)
    mixing = torch.randn(width, width, generator=generator) * torch.logspace(0, -2, width)  # a spectrum that decays
    neutral = torch.randn(rows, LENGTH, width, generator=generator) @ mixing
    direction = torch.randn(groups, 1, width, generator=generator) @ mixing
    specific = (
        neutral[:, None] + direction + 0.5 * torch.randn(rows, groups, LENGTH, width, generator=generator) @ mixing
    )
    mask = torch.arange(LENGTH) < 9
    return Contrasts(
        tuple(f"keyword {i}" for i in range(KEYWORDS)), attributes, fm.prompts.DEFAULT_TEMPLATES,
        Embeddings(neutral, mask.expand(rows, -1)),
        Embeddings(specific.flatten(0, 1), mask.expand(rows * groups, -1)),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gradient", action="store_true", help="time the gradient solver too: minutes")
    arg = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {platform.machine()}")
    pipe = fm.portraits.load()
    pipe.set_progress_bar_config(disable=True)
    print(f"portraits, {fm.portraits.DEFAULTS}: {images_a_second(pipe, **fm.portraits.DEFAULTS):.1f} images a second")
    print(f"portraits, the pipeline's own defaults (50 steps): {images_a_second(pipe, 2):.1f} images a second")
    contrasts = synthetic(WIDTH)
    fits = [fit_embeddings(contrasts, solver="exact").config for _ in range(3)]
    seconds = ", ".join(f"{config.seconds:.2f}" for config in fits)
    print(f"exact: {seconds} s for {KEYWORDS} keywords at width {WIDTH}, loss {fits[0].loss:.6f}")
    if arg.gradient:
        config = fit_embeddings(contrasts, solver="gradient", progress=True).config
        print(f"gradient: {config.seconds:.2f} s, loss {config.loss:.6f}")


if __name__ == "__main__":
    main()
