"""The command that tells what a detector decides, and what was done to an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .options import Attributes, MapSource
from .printing import print_decision, print_receipt
from .typed import map_of, split


def explain(
    what: Annotated[list[str], typer.Argument(help="Prompts, or PNG files that `generate` or `audit` saved.")],
    map_: MapSource = None,
    attributes: Attributes = "gender,race",
    protect: Annotated[
        list[str] | None, typer.Option("--protect", help="A phrase that names nobody. Repeat for several.")
    ] = None,
    keyword: Annotated[
        list[str] | None, typer.Option("--keyword", help="A further keyword to serve. Repeat for several.")
    ] = None,
) -> None:
    """
    Say whether a prompt would be mapped and why, or what was done to an image and why. Nothing is drawn.

    Examples:

    - `fairmapping explain "a doctor and her patient" "a nurse shark"`
    - `fairmapping explain "a sommelier" --map my-map` by the map's own detector
    - `fairmapping explain runs/pictures/images/mapped/a-portrait-of-a-doctor-1a2b3c4d/0000.png`
    """
    from ..detect import Detector
    from ..receipts import read_receipt

    fair_map, _ = map_of(map_)
    if fair_map is None:
        detector, asked = Detector(attributes=split(attributes)), None
    else:
        detector, asked = fair_map.detector, split(attributes) if attributes != "gender,race" else None
    detector = detector.extended(keywords=keyword or (), protected=protect or ())
    for text in what:
        if text.lower().endswith(".png"):
            path = Path(text)
            print_receipt(read_receipt(path), escape(str(path)))
        else:
            print_decision(detector.decide(text, asked))
