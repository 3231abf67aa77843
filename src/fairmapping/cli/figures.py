"""The commands about figures alone: how many images a question needs."""

from __future__ import annotations

from typing import Annotated

import typer

from .printing import print_advice


def advise(
    effect: Annotated[float, typer.Option(help="The change of a group's share that you want to see.")] = 0.05,
    power: Annotated[float, typer.Option(help="The chance of seeing it, if it is there.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="The chance of seeing one that is not there.")] = 0.05,
    keywords: Annotated[int, typer.Option(min=1, help="How many keywords the audit asks.")] = 1,
    base: Annotated[
        float | None, typer.Option(help="The share before; by default an even one, which needs the most images.")
    ] = None,
    groups: Annotated[int, typer.Option(min=2, help="How many groups the attribute has.")] = 2,
    changed: Annotated[
        float | None,
        typer.Option(help="The share of image pairs on one seed that change group, as an earlier audit shows it."),
    ] = None,
) -> None:
    """
    Say how many images of each prompt an audit needs, before any is drawn.

    Examples:

    - `fairmapping advise --effect 0.05 --power 0.8`
    - `fairmapping advise --effect 0.1 --base 0.68 --keywords 40 --changed 0.2`
    """
    from ..metrics import advise as find

    print_advice(
        find(effect, power=power, alpha=alpha, base=base, groups=groups, keywords=keywords, changed=changed),
        told=changed is not None,
    )
