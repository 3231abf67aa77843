"""Language bias before and after, for both solvers and all three distances, as a Markdown table.

python benchmarks/language_bias.py [--out runs/language_bias.md]
Fitted on 103 of the 153 occupations and four templates; reported on those, on the other 50, and on those 50 under four
templates that had no part in the fit. One map for gender and race together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import fairmapping as fm
from fairmapping.bias import Contrasts
from fairmapping.text_route import fit_embeddings

ATTRIBUTES = ("gender", "race")
UNSEEN_TEMPLATES = (
    "a sketch of {}",
    "a close-up of the face of {}",
    "{}, 35mm film",
    "an oil painting of {} in the rain",
)


def reductions(before: Contrasts, after: Contrasts, distance: str) -> list[str]:
    pairs = zip(before.bias(distance).summary().values(), after.bias(distance).summary().values(), strict=True)
    return [f"{b.value:.3f} → {a.value:.4f} (−{1 - a.value / b.value:.1%})" for b, a in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("--solvers", default="exact,gradient")
    parser.add_argument("--distances", default="pooled,position,sequence")
    arg = parser.parse_args()
    pipe = fm.portraits.load()
    fitted, others = fm.lists.split()
    seen = Contrasts.encode(pipe, fitted + others, ATTRIBUTES, progress=True)
    unseen = Contrasts.encode(pipe, others, ATTRIBUTES, UNSEEN_TEMPLATES, progress=True)
    train, test = seen.select(fitted), seen.select(others)
    lines = [
        "| distance | solver | attribute | 103 fitted | 50 others | 50 others, 4 other templates | "
        "embeddings moved, fitted / others | loss | seconds |",
        "|---|---|---|---|---|---|---|--:|--:|",
    ]
    for distance in arg.distances.split(","):
        for solver in arg.solvers.split(","):
            fair_map = fit_embeddings(train, held_out=test, solver=solver, distance=distance, progress=True)
            config = fair_map.config
            columns = [reductions(part, part.map(fair_map), distance) for part in (train, test, unseen)]
            for i, attribute in enumerate(ATTRIBUTES):
                moved = f"{config.relative_change:.1%} / {config.held_out_relative_change:.1%}"
                cells = (distance, solver, attribute, *(column[i] for column in columns), moved)
                lines.append(f"| {' | '.join(cells)} | {config.loss:.6f} | {config.seconds:.1f} |")
            print(lines[-2], lines[-1], sep="\n", flush=True)
    if arg.out:
        arg.out.parent.mkdir(parents=True, exist_ok=True)
        arg.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
