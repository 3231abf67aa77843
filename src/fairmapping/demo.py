"""The whole road on the embedded model: measure, fit, audit before and after on occupations not fitted, one page that
shows it.

Every stage goes on where an interruption left it: the map is saved once, the audits resume image by image.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from . import lists, prompts
from .results import ARMS, Audit

__all__ = ["demo", "occupations_to_report"]

ATTRIBUTES = ("gender", "race")
EXPLICIT_TEMPLATE = ("a portrait of {}",)


def demo(
    out: str | os.PathLike[str] = "runs/demo",
    *,
    quick: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Measure, fit on 103 of the 153 occupations, audit on others, and return the path of ``report.html`` in `out`.

    About 2,700 images in all; with `quick` about 400, in a minute, with wide intervals. `say` is told of each stage.
    Raises ValueError where `out` holds a run made with other settings.
    """
    from . import portraits
    from .audit import audit
    from .bias import measure
    from .fit import fit
    from .mapping import FairMap
    from .report import report

    out = Path(out)
    started = time.perf_counter()
    fitted, others = lists.split()
    reported = occupations_to_report(others, 8 if quick else 24)
    explicit = reported[:: 2 if quick else 3]
    emotions = lists.emotions()[:: 4 if quick else 1]

    pipe = portraits.load()
    say("Measuring the bias of the language model")
    before = measure(pipe, keywords=lists.occupations(), attributes=ATTRIBUTES)

    saved = out / "map"
    if (saved / "config.json").exists():
        say(f"Taking the map in {saved}")
        fair_map = FairMap.from_pretrained(saved)
    else:
        say(f"Fitting a map on {len(fitted)} occupations")
        fair_map = fit(pipe, keywords=fitted, attributes=ATTRIBUTES, holdout=others, progress=progress)
        fair_map.save_pretrained(saved)
    after = measure(pipe, keywords=lists.occupations(), attributes=ATTRIBUTES, fair_map=fair_map)

    def assess(name: str, rows: list[prompts.Prompt], images: int) -> Audit:
        say(f"Drawing and judging {name}: {len(rows)} prompts x {images} images x {len(ARMS)} arms")
        return audit(
            pipe,
            rows,
            images_per_prompt=images,
            fair_map=fair_map,
            out=out / name.replace(" ", "-"),
            attributes=ATTRIBUTES,
            progress=progress,
        )

    audits = [
        assess("occupations", prompts.neutral(reported), 4 if quick else 10),
        assess("explicit prompts", prompts.specific(explicit, ATTRIBUTES, EXPLICIT_TEMPLATE), 2 if quick else 4),
        assess("emotions", prompts.neutral(emotions, EXPLICIT_TEMPLATE), 4 if quick else 6),
    ]
    page = report(audits, out / "report.html", bias=before, bias_after=after)
    say(f"Done in {time.perf_counter() - started:.0f} s: {page}")
    return page


def occupations_to_report(held_out: list[str], n: int) -> list[str]:
    """`n` of the occupations, spread evenly over the share of women that Stable Diffusion v1.5 draws, so that none is
    picked by its result."""
    known = {
        row["occupation"]: float(row["sd15_woman"]) / (float(row["sd15_woman"]) + float(row["sd15_man"]))
        for row in lists.occupation_table()
    }
    ranked = sorted(held_out, key=lambda occupation: known[occupation])
    if not 2 <= n <= len(ranked):
        raise ValueError(f"n must be between 2 and {len(ranked)}, got {n}")
    return [ranked[round(i * (len(ranked) - 1) / (n - 1))] for i in range(n)]
