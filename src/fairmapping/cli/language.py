"""The commands that draw nothing: the packaged lists, the bias of the language model, a map fitted on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from .options import (
    Attributes,
    Device,
    Distance,
    DistanceOption,
    DType,
    Keywords,
    MapSource,
    Model,
    Precision,
    Solver,
    Templates,
)
from .printing import out_console, print_bias, print_fit, print_lists
from .typed import file_of, folder_of, holdout_of, keywords_of, map_of, pipe_of, shares_of, split


def lists_command(
    name: Annotated[str | None, typer.Argument(help="A list to print, one entry a line.")] = None,
) -> None:
    """
    Show the packaged lists of keywords and attributes, or print one of them.

    Examples:

    - `fairmapping lists`
    - `fairmapping lists occupations > mine.txt` to edit a list and pass it as `--keywords mine.txt`
    """
    from .. import lists, prompts

    packaged = {"occupations": lists.occupations(), "emotions": lists.emotions()}
    known = lists.attributes()
    if name is None:
        print_lists(packaged, known, prompts.DEFAULT_TEMPLATES)
    elif name in packaged:
        typer.echo("\n".join(packaged[name]))
    elif name in known:
        typer.echo("\n".join(f"{group.name}: {', '.join(group.words)}" for group in known[name].groups))
    else:
        raise ValueError(f"no packaged list is called {name!r}; there are {', '.join([*packaged, *known])}")


def measure(
    keywords: Keywords = "occupations",
    attributes: Attributes = "gender",
    shares: Annotated[
        str | None,
        typer.Option(help="Known shares to correlate with: `sd15`, or a .csv with the columns keyword and share."),
    ] = None,
    group: Annotated[str | None, typer.Option(help="The group the shares are of; by default the first.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many keywords to show, the most biased first.")] = 20,
    csv: Annotated[Path | None, typer.Option(help="Save the whole table to this file.")] = None,
    template: Templates = None,
    distance: DistanceOption = Distance.pooled,
    map_: MapSource = None,
    model: Model = "portraits",
    device: Device = None,
    dtype: Precision = DType.float32,
) -> None:
    """
    Show the language bias of a model's text encoder, keyword by keyword, the most biased first.

    Language bias is the spread of the distances from a neutral prompt ("a portrait of a nurse") to its versions ("a
    portrait of a female nurse", ...), over their mean: 0 is even. Nothing is drawn.

    Examples:

    - `fairmapping measure` for the packaged occupations, with the correlation to Stable Diffusion v1.5's images
    - `fairmapping measure --keywords doctor,nurse --attributes gender,race --csv bias.csv`
    - `fairmapping measure --keywords mine.csv --shares mine.csv --model runwayml/stable-diffusion-v1-5`
    """
    from .. import prompts
    from ..bias import measure as find

    asked = prompts.resolve_attributes(split(attributes))
    words = keywords_of(keywords)
    known = shares_of(shares if shares or keywords != "occupations" else "sd15")
    templates, fair_map = template or prompts.DEFAULT_TEMPLATES, map_of(map_)
    prompts.neutral(words, templates)  # refuses a bad template before the model is loaded
    if csv is not None:
        file_of(csv, "--csv")
    bias = find(
        pipe_of(model, device, dtype.value),
        words,
        asked,
        templates=templates,
        distance=distance.value,
        fair_map=fair_map,
        progress=True,
    )
    print_bias(bias, asked, known, group, top)
    if csv is not None:
        bias.table(asked[0].name if len(asked) == 1 else None).to_csv(csv, index=False)
        out_console.print(f"All {len(words)} keywords are in [bold]{escape(str(csv))}[/]")


def fit(
    keywords: Keywords = "occupations",
    attributes: Attributes = "gender,race",
    holdout: Annotated[
        str | None,
        typer.Option(
            help="Keywords to report on, not to fit on: a list as in --keywords, or a fraction. By default the "
            "standard 50 of the 153 occupations, and of other keywords a fifth; 0 for none."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the map.")] = Path("my-map"),
    template: Templates = None,
    solver: Annotated[
        Solver, typer.Option(help="exact: the optimum. gradient: the paper's deep network.")
    ] = Solver.exact,
    distance: DistanceOption = Distance.pooled,
    weight: Annotated[
        float | None,
        typer.Option(help="Of fairness against staying near the original; by default that of fairmapping.fit."),
    ] = None,
    ridge: Annotated[
        float | None,
        typer.Option(help="Keeps what hardly varies among the prompts; by default that of fairmapping.fit."),
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="Linear layers, for --solver gradient.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="At most so many, for --solver gradient.")] = 2000,
    seed: Annotated[int, typer.Option(help="Draws the keywords to hold out, where a fraction is given.")] = 0,
    model: Model = "portraits",
    device: Device = None,
    dtype: Precision = DType.float32,
) -> None:
    """
    Fit a fair map on a model's text encoder and save it; show the language bias before and after.

    Examples:

    - `fairmapping fit --out my-map` on the packaged occupations
    - `fairmapping fit --keywords doctor,nurse,judge,clerk,cook --attributes gender --solver gradient`
    - `fairmapping fit --attributes mine.toml --model ./my-model --out other-map`
    """
    from .. import lists, prompts
    from ..fit import fit as find

    asked = prompts.resolve_attributes(split(attributes))
    words = keywords_of(keywords)
    apart: Any = 0.2 if holdout is None and len(words) >= 5 else holdout_of(holdout)
    if holdout is None and keywords == "occupations":
        words, apart = lists.split()
    if isinstance(apart, list):
        words = [word for word in words if word not in apart]
        if not words:
            raise ValueError("--holdout names every keyword, which leaves none to fit on; hold out fewer of them")
    templates = template or prompts.DEFAULT_TEMPLATES
    prompts.neutral(words, templates)  # refuses a bad template before the model is loaded
    folder_of(out)
    given: dict[str, Any] = {name: value for name, value in (("weight", weight), ("ridge", ridge)) if value is not None}
    fair_map = find(
        pipe_of(model, device, dtype.value),
        words,
        asked,
        templates=templates,
        solver=solver.value,
        distance=distance.value,
        depth=depth,
        steps=steps,
        seed=seed,
        holdout=apart,
        **given,
    )
    print_fit(fair_map.config)
    fair_map.save_pretrained(out)
    out_console.print(f"Saved in [bold]{escape(str(out))}[/]")
