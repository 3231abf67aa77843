"""The whole road on the embedded model: measure, fit, audit before and after on occupations not fitted, one page that
shows it, with the paper's plain method beside the default.

Every stage goes on where an interruption left it: a fit from its last steps, the audits image by image.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import lists, prompts, sections
from .results import Audit

if TYPE_CHECKING:
    from .fit import Route
    from .mapping import FairMap

__all__ = ["demo", "occupations_to_report"]

ATTRIBUTES = ("gender", "race")
ONE_TEMPLATE = ("a portrait of {}",)


@dataclass(frozen=True)
class Plan:
    """How long the demo fits and how much it draws: keywords, and images of each prompt."""

    steps: int
    fit_images: int
    occupations: int  # of those not fitted; each in every default template
    images: int
    explicit: int  # every so many of these occupations, with each group named
    explicit_images: int
    emotions: int  # every so many of the packaged ones
    emotion_images: int


FULL = Plan(
    steps=600, fit_images=1024, occupations=24, images=10, explicit=3, explicit_images=4, emotions=1, emotion_images=6
)
QUICK = Plan(
    steps=150, fit_images=384, occupations=8, images=4, explicit=2, explicit_images=2, emotions=4, emotion_images=4
)


def demo(
    out: str | os.PathLike[str] = "runs/demo",
    *,
    quick: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Measure, fit on 103 of the 153 occupations, audit on others, and return the path of ``report.html`` in `out`.

    About 4,500 images in all and some six minutes on two cores; with `quick` about 900 images in two minutes, a map
    that is not done, and wide intervals. `say` is told of each stage. Raises ValueError where `out` holds a run made
    with other settings.
    """
    from . import pipelines, portraits
    from .audit import audit
    from .bias import measure
    from .detect import Detector
    from .fit import fit
    from .mapping import FairMap
    from .report import report

    out = Path(out)
    started = time.perf_counter()
    fitted, others = lists.split()
    plan = QUICK if quick else FULL
    asks_no_gender = Detector.default().decide  # "hostess" does, so the map leaves it alone
    reported = occupations_to_report(
        [w for w in others if asks_no_gender(w, "gender").apply["gender"]], plan.occupations
    )
    pipe = pipelines.load("portraits")

    def map_of(route: Route, what: str, **options: Any) -> FairMap:
        saved = out / "maps" / route
        if (saved / "config.json").exists():
            say(f"Taking the map of route {route} from {saved}")
            return FairMap.from_pretrained(saved)
        say(f"Fitting {what} on {len(fitted)} occupations")
        fair_map = fit(pipe, fitted, ATTRIBUTES, route=route, holdout=others, progress=progress, **options)
        fair_map.save_pretrained(saved)
        return fair_map

    def assess(name: str, rows: list[prompts.Prompt], images: int, fair_map: FairMap, baseline: bool = True) -> Audit:
        say(f"Drawing and judging {name}: {len(rows)} prompts x {images} images x {1 + baseline} arms")
        return audit(
            pipe,
            rows,
            images_per_prompt=images,
            fair_map=fair_map,
            baseline=baseline,
            out=out / name.replace(" ", "-"),
            attributes=ATTRIBUTES,
            batch_size=64,
            progress=progress,
        )

    say(f"Measuring the bias of the language model on {len(fitted) + len(others)} occupations")
    bias = measure(pipe, [*fitted, *others], ATTRIBUTES, association=True, progress=progress)
    text = map_of("text", "a map of the texts, as the paper has it,")
    state = out / "maps" / "sampled.partial"
    sampled = map_of("sampled", "a shift towards each group", steps=plan.steps, images=plan.fit_images, resume=state)
    state.unlink(missing_ok=True)

    named = prompts.specific(reported[:: plan.explicit], ATTRIBUTES, ONE_TEMPLATE)
    feeling = prompts.neutral(lists.emotions()[:: plan.emotions], ONE_TEMPLATE)
    occupations = prompts.neutral(reported)
    audits = [
        assess("occupations", occupations, plan.images, sampled),
        assess("explicit prompts", named, plan.explicit_images, sampled),
        assess("emotions", feeling, plan.emotion_images, sampled),
    ]
    paper = assess("occupations by text", occupations, plan.images, text, baseline=False)
    page = report(
        audits,
        out / "report.html",
        bias=bias,
        routes={"sampled": audits[0], "text": paper},
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
