"""The command that tells what a detector decides, and what was done to an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .options import MapSource
from .printing import print_decision, print_receipt
from .typed import map_of, split


def explain(
    what: Annotated[list[str], typer.Argument(help="Prompts, or PNG files that `generate` or `audit` saved.")],
    map_: MapSource = None,
    attributes: Annotated[
        str | None,
        typer.Option(help="By default all that the map moves; without a map `gender,race`, or a file of your own."),
    ] = None,
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
    asked = None if attributes is None else split(attributes)
    if asked == []:
        raise ValueError("--attributes is empty; name one, such as gender")
    if fair_map is not None:
        detector = fair_map.detector
    else:
        detector, asked = Detector(attributes=asked or ("gender", "race")), None
    detector = detector.extended(keywords=keyword or (), protected=protect or ())
    for text in what:
        if text.lower().endswith(".png"):
            path = Path(text)
            print_receipt(read_receipt(path), escape(str(path)))
        else:
            print_decision(detector.decide(text, asked))
