"""What an error of the detector costs, on the embedded model: prompts mapped that should have been left alone.

    python benchmarks/detector/cost.py --map runs/demo/maps/sampled

Explicit prompts mapped by mistake: how many images no longer show what was asked for. Prompts that show nobody at
work (the categories thing, creature and nobody of the half that was built on) mapped by mistake: how many images show
another perceived group than without the map, on the same seeds. The embedded model draws a face whatever it is asked
for, so the second is an upper bound for models that draw the thing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import fairmapping as fm
from fairmapping.metrics import wilson
from fairmapping.portraits.judge import PortraitsJudge

ATTRIBUTES = ("gender", "race")


def share(hits: Sequence[bool]) -> str:
    low, high = wilson(sum(hits), len(hits))
    return f"{sum(hits) / len(hits):.1%} [{low:.1%}, {high:.1%}] n={len(hits):,}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--map", required=True, help="a map of route sampled, fitted on the embedded model")
    parser.add_argument("--images", type=int, default=8, help="of each prompt that shows nobody")
    arg = parser.parse_args()
    pipe, judge, fair_map = fm.portraits.load(), PortraitsJudge(), fm.FairMap.from_pretrained(arg.map)
    others = [word for word in fm.lists.split()[1] if word not in ("hostess", "waitress")]
    explicit = fm.prompts.specific(others, ATTRIBUTES, ("a portrait of {}",), joint=True)
    asked = {row.text: dict(row.groups) for row in explicit}
    rows = [
        json.loads(line) for line in (Path(__file__).parent / "build.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    nobody = [
        row["prompt"]
        for row in rows
        if row["category"] in ("thing", "creature", "nobody") and row["gender"] == row["race"] == "leave"
    ]

    def judged(prompts: Sequence[str], images: int, **options: object) -> list[dict[str, str]]:
        drawn = fm.generate(pipe, prompts, images_per_prompt=images, batch_size=64, **options)
        return [{name: answer.label(name) for name in ATTRIBUTES} for answer in judge(drawn.images)]

    texts = list(asked)
    forced = {"fair_map": fair_map, "detector": "off"}
    obeyed = {
        "as the model draws them": judged(texts, 1),
        "mapped by mistake": judged(texts, 1, **forced),
        "with the detector on": judged(texts, 1, fair_map=fair_map),
    }
    print("| explicit prompts | gender disobeyed | race disobeyed |\n|---|---|---|")
    for name, found in obeyed.items():
        cells = [
            share([answer[a] != asked[text][a] for text, answer in zip(texts, found, strict=True)]) for a in ATTRIBUTES
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    before = judged(nobody, arg.images)
    print("\n| prompts that show nobody at work | gender changed | race changed |\n|---|---|---|")
    for name, options in (("mapped by mistake", forced), ("with the detector on", {"fair_map": fair_map})):
        after = judged(nobody, arg.images, **options)
        cells = [share([x[a] != y[a] for x, y in zip(before, after, strict=True)]) for a in ATTRIBUTES]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
