"""Fits the gender head of the judge of photographs: python benchmarks/judges/fit_gender.py PICTURES

PICTURES holds the folders sd15, sd3-avatars and sdfd (README.md says where they come from). Writes
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
STRENGTH = 20.0  # inverse of the penalty, chosen by cross-validation on these pictures among 1, 3, 10, 20, 30 and 100


def embeddings(root: Path, kept: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(images, (N, 128), (N,) 1 where male) of those with a face; kept in a file, for it takes a while."""
    rows = list(csv.DictReader(LABELS.open(encoding="utf-8")))
    found = dict(np.load(kept)) if kept.exists() else {}
    todo = [row["image"] for row in rows if row["image"] not in found]
    with progress_bar("embedding", len(todo), "images") as advance:
        for image in todo:
            picture = rgb(Image.open(root / image))
            faces = find_faces(picture)
            found[image] = embedded([upright(picture, faces[0], *FACE)])[0] if faces else np.zeros(0)
            advance(1)
    np.savez(kept, **found)
    rows = [row for row in rows if len(found[row["image"]])]
    images = [row["image"] for row in rows]
    return (
        images,
        np.stack([found[image] for image in images]),
        np.array([row["gender"] == "male" for row in rows], int),
    )


def main(root: Path) -> None:
    images, features, male = embeddings(root, root / "embeddings.npz")
    model = LogisticRegression(C=STRENGTH, max_iter=5000, class_weight="balanced")
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    unseen = cross_val_predict(model, features, male, cv=folds, method="decision_function")
    # The two recalls should be equal, so the limit lies where the errors are, and not where the loss has it.
    limits = np.quantile(unseen, np.linspace(0.3, 0.7, 401))
    gaps = [abs((unseen[male == 1] > limit).mean() - (unseen[male == 0] <= limit).mean()) for limit in limits]
    limit = limits[int(np.argmin(gaps))]
    # One temperature, so that probabilities are what they say on pictures left out (Guo et al., ICML 2017).
    calibration = LogisticRegression(C=1e6, fit_intercept=False).fit((unseen - limit)[:, None], male)
    slope = float(calibration.coef_[0, 0])
    model.fit(features, male)
    head = {"weights": (slope * model.coef_[0]).tolist(), "bias": slope * float(model.intercept_[0] - limit)}
    HEAD.write_text(json.dumps(head) + "\n", encoding="utf-8")
    for source in sorted({image.split("/")[0] for image in images}):
        here = np.array([image.startswith(f"{source}/") for image in images])
        right = {
            name: (unseen[here & (male == value)] > limit) == value for name, value in (("female", 0), ("male", 1))
        }
        print(source, {name: f"{found.mean():.3f} of {len(found)}" for name, found in right.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
