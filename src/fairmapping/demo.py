"""The whole road on the embedded model: measure, fit, audit before and after on occupations not fitted, one page that
shows it.

Every stage goes on where an interruption left it: the map is saved once, the audits resume image by image.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from . import lists, prompts, sections
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
    from . import pipelines
    from .audit import audit
    from .bias import Contrasts
    from .embed import fingerprint
    from .fit import fit_embeddings
    from .mapping import FairMap
    from .report import report

    out = Path(out)
    started = time.perf_counter()
    fitted, others = lists.split()
    reported = occupations_to_report(others, 8 if quick else 24)
    explicit = reported[:: 2 if quick else 3]
    emotions = lists.emotions()[:: 4 if quick else 1]

    pipe = pipelines.load("portraits")
    say(f"Measuring the bias of the language model on {len(fitted) + len(others)} occupations")
    # measure() and fit() would encode the same prompts each; once is enough for both, and for measuring again after.
    contrasts = Contrasts.encode(pipe, [*fitted, *others], ATTRIBUTES, progress=progress)

    saved = out / "map"
    if (saved / "config.json").exists():
        say(f"Taking the map from {saved}")
        fair_map = FairMap.from_pretrained(saved)
    else:
        say(f"Fitting a map on {len(fitted)} of them")
        fair_map = fit_embeddings(contrasts.select(fitted), held_out=contrasts.select(others), progress=progress)
        fair_map.config = replace(fair_map.config, encoder=fingerprint(pipe))
        fair_map.save_pretrained(saved)

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
    page = report(audits, out / "report.html", bias=contrasts.bias(), bias_after=contrasts.map(fair_map).bias())
    say(f"Done in {time.perf_counter() - started:.0f} s: {page}")
    return page


def occupations_to_report(held_out: list[str], n: int) -> list[str]:
    """`n` of the occupations, spread evenly over the share of women that Stable Diffusion v1.5 draws, so that none is
    picked by its result."""
    known = sections.sd15_women()
    ranked = sorted(held_out, key=lambda occupation: known[occupation])
    if not 2 <= n <= len(ranked):
        raise ValueError(f"n must be between 2 and {len(ranked)}, got {n}")
    return [ranked[round(i * (len(ranked) - 1) / (n - 1))] for i in range(n)]
