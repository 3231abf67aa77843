"""Fits the gender head of the judge of photographs: python benchmarks/judges/fit_gender.py PICTURES

PICTURES holds the folders that gather.py makes. Writes
src/fairmapping/judges/weights/photo_gender.json, and prints what ten-fold cross-validation says of it.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from fairmapping.judges.faces import find_faces, rgb, upright
from fairmapping.judges.photo import FACE, HEAD, embedded
from fairmapping.progress import progress_bar

LABELS = Path(__file__).parent / "labels" / "built-on.csv"
STRENGTH = 5.0  # inverse of the penalty, chosen by cross-validation on these pictures among 1, 2, 5, 10 and 20
SURE = 0.88  # faces that the detector is less sure of are mostly cut off, turned away or drawn, and teach little
GENDERS = (("female", 0), ("male", 1))


def embeddings(root: Path, rows: list[dict[str, str]], kept: Path) -> dict[str, np.ndarray]:
    """Image -> (128,), or () without a sure face; kept in a file, for it takes a while."""
    found = dict(np.load(kept)) if kept.exists() else {}
    todo = [row["image"] for row in rows if row["image"] not in found]
    with progress_bar("embedding", len(todo), "images") as advance:
        for image in todo:
            picture = rgb(Image.open(root / image))
            faces = [face for face in find_faces(picture)[:1] if face.score >= SURE]
            found[image] = embedded([upright(picture, faces[0], *FACE)])[0] if faces else np.zeros(0)
            advance(1)
    np.savez(kept, **found)
    return found


def main(root: Path) -> None:
    rows = list(csv.DictReader(LABELS.open(encoding="utf-8")))
    found = embeddings(root, rows, root / "embeddings.npz")
    rows = [row for row in rows if len(found[row["image"]])]
    features = np.stack([found[row["image"]] for row in rows])
    male = np.array([row["gender"] == "male" for row in rows], int)
    seen = np.array([row["face"] == "yes" for row in rows])  # by a person, in a photograph
    model = LogisticRegression(C=STRENGTH, max_iter=5000, class_weight="balanced")
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    unseen = cross_val_predict(model, features, male, cv=folds, method="decision_function")
    # The two recalls should be equal where a face can be seen, so the limit lies there, and not where the loss has it.
    limits = np.quantile(unseen, np.linspace(0.3, 0.7, 401))
    men, women = unseen[seen & (male == 1)], unseen[seen & (male == 0)]
    gaps = [abs((men > limit).mean() - (women <= limit).mean()) for limit in limits]
    limit = limits[int(np.argmin(gaps))]
    # One temperature, so that probabilities are what they say on pictures left out (Guo et al., ICML 2017).
    calibration = LogisticRegression(C=1e6, fit_intercept=False).fit((unseen - limit)[:, None], male)
    slope = float(calibration.coef_[0, 0])
    model.fit(features, male)
    head = {"weights": (slope * model.coef_[0]).tolist(), "bias": slope * float(model.intercept_[0] - limit)}
    HEAD.write_text(json.dumps(head) + "\n", encoding="utf-8")
    sources = np.array([row["image"].split("/")[0] + (" seen" if row["face"] else "") for row in rows])
    for source in sorted(set(sources)):
        right = {name: (unseen[(sources == source) & (male == value)] > limit) == value for name, value in GENDERS}
        print(source, {name: f"{answers.mean():.3f} of {len(answers)}" for name, answers in right.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
