"""The command about judges: how far one can be believed, measured on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .printing import out_console


def judge_card(
    images: Annotated[Path, typer.Option(help="Folder of the labelled images.")],
    labels: Annotated[
        Path, typer.Option(help="CSV with the columns image, face (yes or no, optional), and one for each attribute.")
    ],
    judge: Annotated[
        str, typer.Option(help="As for `audit`: `photo`, `fairface=ID`, `clip=ID`, `my_package.judges:MyJudge`.")
    ] = "photo",
    out: Annotated[Path, typer.Option(help="The card; answers are kept in a folder beside it.")] = Path("card.json"),
    domain: Annotated[str | None, typer.Option(help="A sentence on what the pictures show, kept in the card.")] = None,
) -> None:
    """
    Measure a judge on pictures that people labelled, and write its accuracy card.

    A judge with a card of pictures like yours corrects the shares of an audit for its own errors.

    Example: `fairmapping judge-card --images photos --labels labels.csv --out card.json`
    """
    from ..judges import load_judge
    from ..judges.card import make_card

    if not images.is_dir():
        raise ValueError(f"--images {images} is no folder")
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder; give a file, such as {out / 'card.json'}")
    card = make_card(load_judge(judge), images, labels, out, domain=domain)
    if "face_found" in card:
        out_console.print(f"faces found: {_said(card['face_found'])}")
    for attribute, accuracy in card["accuracy"].items():
        recall = ", ".join(f"{group} {_said(found)}" for group, found in card["recall"][attribute].items())
        out_console.print(escape(f"{attribute} right: {_said(accuracy)}; of each group: {recall}"))
    out_console.print(f"Written: [bold]{escape(str(out))}[/]")


def _said(found: dict[str, float]) -> str:
    return f"{found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%}, n={found['n']})"
