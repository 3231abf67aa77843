"""What a map of equal text distances does to the images of the embedded model, as a Markdown table.

python benchmarks/image_bias.py --out runs/image_bias [--images 40]
The same seeds with and without the map; 103 occupations that it was fitted on, 50 that it was not, and those that
never appear in the embedded model's captions. Resumes where it was interrupted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import fairmapping as fm

ATTRIBUTES = ("gender", "race")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arg = parser.parse_args()
    pipe = fm.portraits.load()
    fitted, others = fm.lists.split()
    saved = arg.out / "map"
    if (saved / "config.json").exists():
        fair_map = fm.FairMap.from_pretrained(saved)
    else:
        fair_map = fm.fit(pipe, fitted, ATTRIBUTES, route="text", holdout=others)
        fair_map.save_pretrained(saved)
    result = fm.audit(
        pipe,
        fm.prompts.neutral(fitted + others, ("a portrait of {}",)),
        images_per_prompt=arg.images,
        fair_map=fair_map,
        detector="off",
        out=arg.out / "audit",
        attributes=ATTRIBUTES,
        seed=arg.seed,
        batch_size=64,
    )
    rare = fm.portraits.never_captioned()
    parts = {"fitted": fitted, "not fitted": others, "not fitted, never captioned": sorted(rare & set(others))}
    lines = ["| occupations | attribute | before | after | difference | images whose group changed | chance floor |",
             "|---|---|---|---|---|---|--:|"]  # fmt: skip
    for name, keywords in parts.items():
        for attribute in ATTRIBUTES:
            found = result.compare(attribute, keywords=keywords)
            floor = fm.metrics.chance_floor(arg.images, len(result.attributes[attribute]))
            cells = (f"{name} ({len(keywords)})", attribute, found.raw, found.mapped, found.difference, found.changed)
            lines.append(f"| {' | '.join(map(str, cells))} | {floor:.3f} |")
    print("\n".join(lines))
    (arg.out / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
