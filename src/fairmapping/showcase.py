"""Pictures for a map's model card: what the same seeds draw without the map and with it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .embed import texts_of
from .generate import call_defaults, generate
from .mapconfig import MOST_PICTURES
from .portraits import is_portraits
from .prompts import DEFAULT_TEMPLATES, Prompt, neutral

if TYPE_CHECKING:
    from PIL.Image import Image

    from .mapping import FairMap
    from .quota import QuotaSource

__all__ = ["showcase"]

SIDE, GAP = 128, 6  # pixels
SHOWN = 4  # prompts by default


def showcase(
    pipe: Any,
    fair_map: FairMap,
    prompts: Sequence[str | Prompt] | None = None,
    *,
    images_per_prompt: int = 4,
    strength: float = 1.0,
    quota: QuotaSource | None = None,
    seed: int = 0,
    batch_size: int = 16,
    progress: bool = True,
    **call_kwargs: Any,
) -> None:
    """Draw pictures before and after for the map's model card; ``save_pretrained`` and ``push_to_hub`` take them along.

    By default of the first four held-out keywords that the map's detector serves, or the first fitted where there is
    none, so that nobody picks what looks well. All images of a prompt stand side by side, ``images_per_prompt`` without
    the map above as many with it; the other arguments are :func:`fairmapping.generate.generate`'s. They replace those
    that the map had.

    Raises ValueError for a map without keywords where no prompts are given, and for more than 16 prompts; otherwise
    what :func:`fairmapping.generate.generate` raises. Then the map stays as it was.
    """
    chosen = "The prompts were chosen by who made the map."
    if prompts is None:
        prompts, chosen = _first(fair_map)
    if len(texts_of(prompts)) > MOST_PICTURES:
        raise ValueError(f"{len(prompts)} prompts for a model card; give at most {MOST_PICTURES}")
    drawn = [
        generate(
            pipe,
            prompts,
            images_per_prompt=images_per_prompt,
            fair_map=arm,
            strength=strength if arm is not None else 1.0,
            quota=quota if arm is not None else None,
            seed=seed,
            batch_size=batch_size,
            arm=name,
            progress=progress,
            **call_kwargs,
        )
        for name, arm in (("before", None), ("after", fair_map))
    ]
    starts = range(0, len(drawn[0]), images_per_prompt)
    fair_map.pictures = tuple(
        _sheet([arm.images[start : start + images_per_prompt] for arm in drawn]) for start in starts
    )
    told = {
        "model": _name(pipe),
        "chosen": chosen,
        "prompts": [drawn[1].rows[start].prompt for start in starts],
        "mapped": [list(drawn[1].rows[start].mapped) for start in starts],
        "images": images_per_prompt,
        "strength": float(strength),
        "seed": seed,
        "call": {
            name: value if isinstance(value, (int, float, str)) else str(value)
            for name, value in (call_defaults(pipe) | call_kwargs).items()
        },
    }
    fair_map.config = replace(fair_map.config, pictures=told)


def _first(fair_map: FairMap) -> tuple[list[Prompt], str]:
    """Prompts that nobody chose, and what they are: keywords held out from fitting before those that were not, and of
    those that the map's detector serves, for a map of a few keywords is not for all that were held out."""
    config = fair_map.config
    templates = (config.templates or DEFAULT_TEMPLATES)[:1]
    kinds = {"held out from fitting": config.held_out, "of the fit": config.keywords}
    rows = {kind: neutral(keywords, templates) for kind, keywords in kinds.items() if keywords}
    for kind, own in rows.items():
        if served := [row for row in own if fair_map.detector.decide(row.text).applied][:SHOWN]:
            return served, f"The prompts are of the first {len(served)} keywords {kind} that it maps, in their order."
    if not rows:
        raise ValueError("the map knows no keywords to show; give prompts")
    kind, own = next(iter(rows.items()))
    return own[:SHOWN], f"The prompts are of the first {len(own[:SHOWN])} keywords {kind}, in their order."


def _name(pipe: Any) -> str:
    """The model's hub id, or its folder's name; nobody else needs to know where that folder lies."""
    if is_portraits(pipe):
        return "portraits, the embedded model of fairmapping, which draws faces and no photographs"
    source = str(getattr(pipe, "name_or_path", "") or getattr(pipe.config, "_name_or_path", "") or "")
    local = Path(source).is_absolute() or Path(source).exists()
    return (Path(source).name if local else source) or f"a {type(pipe).__name__}"


def _sheet(rows: Sequence[Sequence[Image]]) -> bytes:
    """Rows of thumbnails one above the other, as a PNG; small images are enlarged by whole numbers."""
    from PIL import Image

    thumbnails = []
    for row in rows:
        for image in row:
            small = image.convert("RGB")
            small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            factor = max(SIDE // max(small.size), 1)
            thumbnails.append(small.resize((small.width * factor, small.height * factor), Image.Resampling.NEAREST))
    width, height = (max(size) for size in zip(*(image.size for image in thumbnails), strict=True))
    columns = len(rows[0])
    size = (columns * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for place, image in enumerate(thumbnails):
        sheet.paste(image, (place % columns * (width + GAP), place // columns * (height + GAP)))
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()
