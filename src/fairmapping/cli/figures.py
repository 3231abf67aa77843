"""The commands about figures: how many images a question needs, and what the pictures of a run are like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .options import Device
from .printing import out_console, print_advice, print_quality


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


def quality(
    run: Annotated[Path, typer.Argument(help="Folder of an audit.")],
    clip: Annotated[
        str | None, typer.Option(help="Folder or hub id of a CLIP model with safetensors: CLIP-Score and Human-CLIP.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Folder of images to measure the distance from: FID and KID.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images read at once.")] = 64,
    device: Device = None,
) -> None:
    """
    Measure the pictures of an audit themselves, before and after on the same seeds: do they show the prompt, how unlike
    are those of one group, how far are all of them from a reference?

    The figures are kept in the run's folder, and its report shows them. An interrupted call goes on.

    Examples:

    - `fairmapping quality runs/x` for the diversity inside the groups, on the embedded model
    - `fairmapping quality runs/x --clip openai/clip-vit-large-patch14 --reference photographs`
    """
    from ..quality import quality as find
    from ..results import Audit

    audit = Audit.load(run)
    found = find(audit, clip=clip, reference=reference, batch_size=batch_size, device=device)
    print_quality(found)
    found.save(run)
    out_console.print(f"Saved in [bold]{escape(str(run))}[/]. See it: fairmapping report {escape(str(run))}")
