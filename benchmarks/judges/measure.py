"""Measures the judge of photographs on pictures that it was not built on:

    python benchmarks/judges/measure.py PICTURES OUT

PICTURES holds the folders sd15, sd3 and lfw (README.md says where they come from). Writes OUT/photo.json, the card that
lies in src/fairmapping/judges/cards/, with the figures of each source beside those of all.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fairmapping.judges import load_judge, records
from fairmapping.judges.card import make_card, measured, read_labels

LABELS = Path(__file__).parent / "labels" / "test.csv"
DOMAIN = (
    "photographs and photograph-like pictures of one person: Stable Diffusion of 2022 (three occupations), Stable "
    "Diffusion 3 (profile pictures), and press photographs (Labeled Faces in the Wild)"
)
CAUTION = (
    "It reads perceived gender as female or male, and knows nothing of anyone's identity. It was fitted on pictures of "
    "adults; faces that are tiny, turned away, partly hidden, drawn, or of small children are where it errs. Age "
    "and skin tone are rough: lighting moves skin tone by whole classes."
)


def main(root: Path, out: Path) -> None:
    judge = load_judge("photo")
    out.mkdir(parents=True, exist_ok=True)
    card = make_card(judge, root, LABELS, out / "photo.json", domain=DOMAIN)
    rows = read_labels(LABELS, root, judge.attributes)
    _, answers = records.read(records.file_of(out / "photo.judged", records.describe(judge)))
    by_image = {answer["image"]: answer for answer in answers}
    judged = [by_image[str((root / row["image"]).resolve())] for row in rows]
    card["caution"] = CAUTION
    card["by_source"] = {}
    for source in sorted({row["image"].split("/")[0] for row in rows}):
        here = [index for index, row in enumerate(rows) if row["image"].startswith(f"{source}/")]
        found = measured([rows[i] for i in here], [judged[i] for i in here], judge.attributes)
        found.pop("attributes")
        card["by_source"][source] = found
    (out / "photo.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: card["by_source"][name]["recall"] for name in card["by_source"]}, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
