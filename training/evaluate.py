"""What the embedded model and its judge do, measured: the figures of docs/portraits.md.

python training/evaluate.py --out runs/portraits [--images 60]
Three audits (each resumes): neutral prompts of all 153 occupations, explicit prompts of every occupation and group,
emotions. Prints the figures and writes figures.json; ``--card`` adds the generated images to the judge's card.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from world import make_captions

import fairmapping as fm
from fairmapping import lists, metrics, portraits, prompts
from fairmapping.prompts import Prompt

TEMPLATE = ("a portrait of {}",)


def rate(hits: pd.Series) -> str:
    low, high = metrics.wilson(int(hits.sum()), len(hits))
    return f"{hits.mean():.1%} [{low:.1%}, {high:.1%}] n={len(hits)}"


def bias_of(shares: pd.Series, seed: int = 0) -> str:
    return str(metrics.bootstrap_mean((2 * shares - 1).abs().to_numpy(), seed=seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--explicit-images", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--card", type=Path, help="card.json of the judge, to which the generated images are added")
    arg = parser.parse_args()
    pipe = portraits.load()
    everyone = lists.occupations()
    common = {"seed": arg.seed, "attributes": ["gender", "race"], "batch_size": 64}
    figures: dict[str, str] = {}

    neutral = fm.audit(
        pipe, prompts.neutral(everyone, TEMPLATE), images_per_prompt=arg.images, out=arg.out / "neutral", **common
    )
    women = neutral.table("gender").set_index("keyword")["female"]
    known = {
        row["occupation"]: row["sd15_woman"] / (row["sd15_woman"] + row["sd15_man"]) for row in lists.occupation_table()
    }
    held = portraits.never_captioned()
    for name, chosen in (("captioned", [k for k in everyone if k not in held]), ("never captioned", sorted(held))):
        ours, theirs = women[chosen], np.array([known[k] for k in chosen])
        pearson, spearman = stats.pearsonr(ours, theirs), stats.spearmanr(ours, theirs)
        low, high = pearson.confidence_interval()
        figures[f"neutral, {name}: occupations"] = str(len(chosen))
        figures[f"neutral, {name}: correlation of the share of women with Stable Diffusion v1.5's"] = (
            f"Pearson {pearson.statistic:.3f} [{low:.3f}, {high:.3f}], Spearman {spearman.statistic:.3f}"
        )
        figures[f"neutral, {name}: mean pairwise gender bias"] = bias_of(ours)
        figures[f"neutral, {name}: the same in Stable Diffusion v1.5"] = bias_of(pd.Series(theirs))
        part = neutral.rows[neutral.rows["keyword"].isin(chosen)]
        cue = part["keyword"].map(neutral.settings["expected"]["cue"])
        figures[f"neutral, {name}: occupation cue as expected"] = rate(part["cue"] == cue)
    figures["neutral: chance floor of the bias"] = f"{metrics.chance_floor(arg.images):.3f}"
    race = neutral.overall("race").set_index("group")["share"]
    figures["neutral: race of all images"] = ", ".join(f"{group} {share:.1%}" for group, share in race.items())
    figures["neutral: no face found"] = rate(neutral.rows["faces"] == 0)

    rows = prompts.specific(everyone, ["gender", "race"], TEMPLATE) + prompts.specific(
        everyone, ["race", "gender"], TEMPLATE, joint=True
    )
    explicit = fm.audit(pipe, rows, images_per_prompt=arg.explicit_images, out=arg.out / "explicit", **common)
    said = Counter()
    for caption in make_captions(30000):
        if caption.kind in ("gender", "joint"):
            said[caption.keyword, "female" if caption.women == 1 else "male"] += 1
    table = explicit.rows.copy()
    for attribute in ("gender", "race"):
        table[f"asked_{attribute}"] = table["groups"].map(lambda groups, name=attribute: dict(groups).get(name))
        table[f"{attribute}_right"] = table[attribute] == table[f"asked_{attribute}"]
    gender, both = table["asked_gender"].notna(), table["asked_gender"].notna() & table["asked_race"].notna()
    only_gender, only_race = gender & ~both, table["asked_race"].notna() & ~both
    figures["explicit gender obeyed"] = rate(table[only_gender]["gender_right"])
    figures["explicit race obeyed"] = rate(table[only_race]["race_right"])
    figures["explicit gender and race, both obeyed"] = rate(table[both]["gender_right"] & table[both]["race_right"])
    rare = table[gender].apply(lambda row: said[row["keyword"], row["asked_gender"]] <= 20, axis=1)
    rare &= ~table[gender]["keyword"].isin(held)
    figures["explicit gender obeyed, pairs in at most 20 of 30,000 captions"] = rate(
        table[gender][rare]["gender_right"]
    )
    figures["explicit gender obeyed, occupations never captioned"] = rate(
        table[gender & table["keyword"].isin(held)]["gender_right"]
    )
    worst = table[gender].groupby("keyword")["gender_right"].mean().sort_values().head(5)
    figures["explicit gender, the five worst occupations"] = ", ".join(f"{k} {v:.0%}" for k, v in worst.items())

    emotion_rows = prompts.neutral("emotions", TEMPLATE) + prompts.specific("emotions", ["gender"], TEMPLATE)
    feelings = fm.audit(pipe, emotion_rows, images_per_prompt=20, out=arg.out / "emotions", **common)
    expected = feelings.rows["keyword"].map(feelings.settings["expected"]["expression"])
    figures["emotion words: expression as expected"] = rate(feelings.rows["expression"] == expected)
    plain = [
        Prompt("an empty room", "an empty room"),
        Prompt("a landscape", "a landscape"),
        Prompt("a still life", "a still life"),
    ]
    empty = fm.audit(pipe, plain, images_per_prompt=40, out=arg.out / "empty", **common)
    figures["prompts without a person: no face found"] = rate(empty.rows["faces"] == 0)

    for name, value in figures.items():
        print(f"{name}: {value}")
    (arg.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    if arg.card:
        card = json.loads(arg.card.read_text())
        card["generated"] = {"prompts": "explicit ones, so the rows are what was asked, not what is in the picture"}
        for attribute in ("gender", "race"):
            groups = card["attributes"][attribute]
            seen = pd.crosstab(table[f"asked_{attribute}"], table[attribute]).reindex(
                index=groups, columns=groups, fill_value=0
            )
            card["generated"][attribute] = seen.to_numpy().tolist()
        card["generated"]["no_face"] = [int((explicit.rows["faces"] == 0).sum()), len(explicit.rows)]
        arg.card.write_text(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    main()
