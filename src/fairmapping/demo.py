"""The whole road on the embedded model: measure, fit, audit before and after on occupations not fitted, one page that
shows it.

Every stage goes on where an interruption left it: the map is saved once, the audits resume image by image.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from . import lists, prompts, sections
from .results import ARMS, Audit

__all__ = ["demo", "occupations_to_report"]

ATTRIBUTES = ("gender", "race")
ONE_TEMPLATE = ("a portrait of {}",)


@dataclass(frozen=True)
class Plan:
    """How much the demo draws: keywords, and images of each prompt."""

    occupations: int  # of those not fitted; each in every default template
    images: int
    explicit: int  # every so many of these occupations, with each group named
    explicit_images: int
    emotions: int  # every so many of the packaged ones
    emotion_images: int


FULL = Plan(occupations=24, images=10, explicit=3, explicit_images=4, emotions=1, emotion_images=6)
QUICK = Plan(occupations=8, images=4, explicit=2, explicit_images=2, emotions=4, emotion_images=4)


def demo(
    out: str | os.PathLike[str] = "runs/demo",
    *,
    quick: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Measure, fit on 103 of the 153 occupations, audit on others, and return the path of ``report.html`` in `out`.

    About 2,500 images in all; with `quick` about 400, in a minute or two, with wide intervals. `say` is told of each
    stage. Raises ValueError where `out` holds a run made with other settings.
    """
    from . import pipelines, portraits
    from .audit import audit
    from .bias import Contrasts
    from .embed import fingerprint
    from .fit import fit_embeddings
    from .mapping import FairMap
    from .report import report

    out = Path(out)
    started = time.perf_counter()
    fitted, others = lists.split()
    plan = QUICK if quick else FULL
    reported = occupations_to_report(others, plan.occupations)

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

    named = prompts.specific(reported[:: plan.explicit], ATTRIBUTES, ONE_TEMPLATE)
    feeling = prompts.neutral(lists.emotions()[:: plan.emotions], ONE_TEMPLATE)
    audits = [
        assess("occupations", prompts.neutral(reported), plan.images),
        assess("explicit prompts", named, plan.explicit_images),
        assess("emotions", feeling, plan.emotion_images),
    ]
    page = report(
        audits,
        out / "report.html",
        bias=contrasts.bias(),
        bias_after=contrasts.map(fair_map).bias(),
        notes=[_caption_note(reported, portraits.never_captioned())],
    )
    say(f"Done in {time.perf_counter() - started:.0f} s: {page}")
    return page


def _caption_note(reported: list[str], never_captioned: Collection[str]) -> str:
    """Which of the occupations the embedded model had read of: a figure must say so."""
    unread = [occupation for occupation in reported if occupation in never_captioned]
    return (
        f"The captions that the embedded model learned from named {len(reported) - len(unread)} of the {len(reported)} "
        f"occupations reported here; they never named {', '.join(unread) or 'none of the others'}."
    )


def occupations_to_report(held_out: list[str], n: int) -> list[str]:
    """`n` of the occupations, spread evenly over the share of women that Stable Diffusion v1.5 draws, so that none is
    picked by its result."""
    known = sections.sd15_women()
    ranked = sorted(held_out, key=lambda occupation: known[occupation])
    if not 2 <= n <= len(ranked):
        raise ValueError(f"n must be between 2 and {len(ranked)}, got {n}")
    return [ranked[round(i * (len(ranked) - 1) / (n - 1))] for i in range(n)]
