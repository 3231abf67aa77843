"""How far to trust the judge: its card, faces it did not find, the bias corrected for its errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ..judges import confusion
from ..results import Audit
from ..words import bracket, number, percent, sentence
from .parts import WHEN

__all__ = ["judge"]


def judge(main: Audit, audits: Sequence[Audit], keywords: Sequence[str]) -> dict[str, Any]:
    """What the judge's card says of it, how many images had no face, and the bias corrected for its errors."""
    described = main.settings["judge"]
    card = described["card"]
    text = [f"All pictures were judged by “{described['name']}”."]
    text += [sentence(card[key]) for key in ("domain", "caution") if key in card]
    text = [" ".join(text)]
    faces = (
        pd.concat([audit.faces() for audit in audits])
        .groupby("arm", sort=False)[["images", "no_face", "several"]]
        .sum()
    )
    parts = [
        f"{line['no_face']} of {line['images']:,}" + (f" {WHEN[arm]}" if len(faces) == 2 else "")
        for arm, line in faces.iterrows()
    ]
    several = int(faces["several"].sum())
    text.append(
        f"Pictures without a face are an answer, not a gap: {' and '.join(parts)} had none. "
        "Shares are among the others. "
        f"{several or 'None'} showed several faces{', of which the largest was judged' if several else ''}."
    )
    rows, matrices = [], []
    for attribute in main.attributes:
        judged = described["attributes"][attribute]
        matrix = confusion(card, attribute, judged, judged)
        if matrix is None:
            continue
        total = matrix.sum(1, keepdims=True)
        rates = np.divide(matrix, total, out=np.full_like(matrix, np.nan), where=total > 0)
        matrices.append(
            {
                "summary": f"Confusion matrix, perceived {attribute}",
                "caption": "Rows: the true group, with the number of test images. Columns: what the judge said.",
                "head": ["true group", *judged, "images"],
                "rows": [
                    [group, *(percent(v) for v in row), f"{n:,.0f}"]
                    for group, row, n in zip(judged, rates, total[:, 0], strict=True)
                ],
            }
        )
        summary = main.summary(attribute, keywords=keywords)
        for arm in [arm for arm in main.arms if (summary["arm"] == arm).any()]:  # others have no judged face
            lines = summary[summary["arm"] == arm].set_index("measure")
            values = [
                lines.loc[name, ["value", "low", "high"]] for name in ("pairwise_bias", "pairwise_bias_corrected")
            ]
            cells = [Markup("{} {}").format(number(v), bracket(low, high)) for v, low, high in values]
            label = f"perceived {attribute}" + (f", {WHEN[arm]}" if len(main.arms) == 2 else "")
            rows.append([label, *cells])
    table = {
        "caption": "Mean pairwise bias as judged, and corrected for the judge's errors by its confusion matrix; the "
        "second interval holds what the card leaves open of those errors",
        "head": ["", "as judged", "corrected"],
        "rows": rows,
    }
    return {"text": text, "table": table if rows else None, "matrices": matrices}
