"""The commands that draw nothing: the packaged lists, the bias of the language model, a map fitted on it."""

from __future__ import annotations

import math
import operator
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
    Guidance,
    Keywords,
    MapSource,
    Model,
    Offload,
    Precision,
    Route,
    RouteOption,
    Solver,
    Templates,
)
from .printing import out_console, print_association, print_bias, print_fit, print_lists
from .typed import call_of, file_of, folder_of, holdout_of, keywords_of, map_of, pipe_of, shares_of, split

_DRAWN, _TEXT = "Routes that draw", "Route text"


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

    packaged = {
        "occupations": lists.occupations(),
        "further": prompts.resolve_keywords("further"),
        "emotions": lists.emotions(),
    }
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
    association: Annotated[
        bool,
        typer.Option(
            "--association", help="Also test each keyword's nearness to the words of the group (single-category WEAT)."
        ),
    ] = False,
    versus: Annotated[
        str | None,
        typer.Option(
            help="Other keywords, to test --keywords against by WEAT. With --association and known shares, by default "
            "those above an even share are tested against those below."
        ),
    ] = None,
    template: Templates = None,
    distance: DistanceOption = Distance.pooled,
    map_: MapSource = None,
    model: Model = "portraits",
    device: Device = None,
    dtype: Precision = DType.float32,
    offload: Offload = None,
) -> None:
    """
    Show the language bias of a model's text encoder, keyword by keyword, the most biased first.

    Language bias is the spread of the distances from a neutral prompt ("a portrait of a nurse") to its versions ("a
    portrait of a female nurse", ...), over their mean: 0 is even. Nothing is drawn.

    Examples:

    - `fairmapping measure` for the packaged occupations, with the correlation to Stable Diffusion v1.5's images
    - `fairmapping measure --keywords doctor,nurse --attributes gender,race --csv bias.csv`
    - `fairmapping measure --keywords mine.csv --shares mine.csv --model runwayml/stable-diffusion-v1-5`
    - `fairmapping measure --keywords nurse,maid,florist --versus carpenter,plumber,pilot`
    """
    from .. import prompts
    from ..bias import measure as find

    asked = prompts.resolve_attributes(split(attributes))
    words = keywords_of(keywords)
    others = [] if versus is None else keywords_of(versus)
    if both := sorted(set(words) & set(others)):
        raise ValueError(f"{both[0]!r} is in --keywords and in --versus; a test needs two different sets")
    known = shares_of(shares if shares or keywords != "occupations" else "sd15")
    templates, (fair_map, _) = template or prompts.DEFAULT_TEMPLATES, map_of(map_)
    prompts.neutral(words, templates)  # refuses a bad template before the model is loaded
    if csv is not None:
        file_of(csv, "--csv")
    bias = find(
        pipe_of(model, device, dtype, offload, text_only=True),
        [*words, *others],
        asked,
        templates=templates,
        distance=distance.value,
        fair_map=fair_map,
        association=association or bool(others),
        progress=True,
    )
    print_bias(bias.select(words), asked, known, group, top)
    shown = group or asked[0].group_names[0]  # the group that the known shares are of
    for attribute in asked if bias.cosines else ():
        names = attribute.group_names
        of, even = (shown, 1 / len(names)) if shown in names else (names[0], math.nan)  # nothing is above nan, or below
        drawn = [[word for word in words if side(known.get(word, even), even)] for side in (operator.gt, operator.lt)]
        print_association(bias, attribute.name, of, *((words, others) if others else drawn))
    if csv is not None:
        bias.select(words).table(asked[0].name if len(asked) == 1 else None).to_csv(csv, index=False)
        out_console.print(f"All {len(words)} keywords are in [bold]{escape(str(csv))}[/]")


def fit(
    keywords: Keywords = "occupations",
    attributes: Attributes = "gender,race",
    route: RouteOption = Route.sampled,
    targets: Annotated[
        str | None,
        typer.Option(help="Shares to reach: `even`, `labour`, or a .csv, .json or .toml file. Not for --route text."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the map.")] = Path("runs/map"),
    holdout: Annotated[
        str | None,
        typer.Option(
            help="Kept out of the fit and listed in the map: a fraction, or keywords, a file or a packaged list. By "
            "default a fifth; of `occupations` the 50 of the standard split; none of fewer than 5 keywords."
        ),
    ] = None,
    template: Templates = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=2, help="Images drawn for the fit; calibrated: for each keyword a round.", rich_help_panel=_DRAWN
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of the fit. By default the route's.")] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of the map. text: by default square up to 2048 wide, and above that as small a rank as loses no more "
            "than a tenth of the change; the width keeps the square.",
        ),
    ] = None,
    checkpointing: Annotated[
        bool,
        typer.Option(
            "--checkpointing", help="Less memory for more time: for full-size models.", rich_help_panel=_DRAWN
        ),
    ] = False,
    drawing_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Denoising steps of each image; by default the model's.", rich_help_panel=_DRAWN),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=8, help="Height and width of each image; by default the model's.", rich_help_panel=_DRAWN),
    ] = None,
    guidance: Guidance = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Of --route calibrated; by default `portraits` for the embedded model, and `photo` for any other.",
            rich_help_panel=_DRAWN,
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Prompts encoded or drawn at once.", rich_help_panel=_DRAWN)
    ] = None,
    solver: Annotated[
        Solver | None,
        typer.Option(help="exact: the optimum. gradient: the paper's deep network.", rich_help_panel=_TEXT),
    ] = None,
    distance: Annotated[
        Distance | None,
        typer.Option(help="Between prompts: pooled over words, per position, or the sequence.", rich_help_panel=_TEXT),
    ] = None,
    weight: Annotated[
        float | None, typer.Option(help="Of fairness against staying near the original.", rich_help_panel=_TEXT)
    ] = None,
    ridge: Annotated[
        float | None, typer.Option(help="Keeps what hardly varies among the prompts.", rich_help_panel=_TEXT)
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Linear layers, for --solver gradient.", rich_help_panel=_TEXT)
    ] = None,
    card_images: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Images of each of four prompts, before and after, for the map's model card; by default 4, and 0 for "
            "--route text.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same map.")] = 0,
    model: Model = "portraits",
    device: Device = None,
    dtype: Precision = DType.float32,
    offload: Offload = None,
) -> None:
    """
    Fit a fair map for a model and save it. The model's own weights stay as they are.

    An interrupted fit goes on when the same command is given again. Routes:

    - `sampled`: a shift towards every group; which one an image gets is then drawn, in exact shares
    - `denoiser`: one map under which the denoiser predicts the mixture of the groups
    - `calibrated`: such a map, adjusted until a judge sees the target shares
    - `text`: even distances in the text encoder, as the paper has it; draws nothing, takes seconds

    Examples:

    - `fairmapping fit --out my-map` on the packaged occupations
    - `fairmapping fit --route text --keywords doctor,nurse,judge,clerk,cook --attributes gender --solver gradient`
    - `fairmapping fit --route text --card-images 8 --out my-map` with pictures on its model card
    - `fairmapping fit --attributes mine.toml --model ./my-model --device cuda --dtype bfloat16 --out other-map`
    """
    from .. import lists, prompts
    from ..fit import fit as find
    from ..showcase import showcase
    from ..targets import resolve_targets

    asked = prompts.resolve_attributes(split(attributes))
    words = keywords_of(keywords)
    apart: Any = 0.2 if holdout is None and len(words) >= 5 else holdout_of(holdout)
    if holdout is None and keywords == "occupations":
        words, apart = lists.split()
    if isinstance(apart, list):
        words = [word for word in words if word not in apart]
        if not words:
            raise ValueError("--holdout names every keyword, which leaves none to fit on; hold out fewer of them")
    if template:
        prompts.neutral(words, template)  # refuses a bad template before the model is loaded
    if targets is not None:
        resolve_targets(targets, {item.name: item.group_names for item in asked})
    folder_of(out)
    drawn = route is not Route.text
    resume = out / "fit.partial" if drawn else None
    options: dict[str, Any] = {
        "templates": template,
        "targets": targets,
        "resume": resume,
        "images": images,
        "steps": steps,
        "rank": rank,
        "checkpointing": checkpointing or None,
        "call": call_of(drawing_steps, guidance, size) or None,
        "judge": judge,
        "solver": None if solver is None else solver.value,
        "distance": None if distance is None else distance.value,
        "weight": weight,
        "ridge": ridge,
        "depth": depth,
        "batch_size": batch_size,
    }
    pictures = 4 * drawn if card_images is None else card_images
    pipe = pipe_of(model, device, dtype, offload, text_only=not drawn and not pictures)
    fair_map = find(
        pipe,
        words,
        asked,
        route=route.value,
        seed=seed,
        holdout=apart,
        **{name: value for name, value in options.items() if value is not None},
    )
    print_fit(fair_map.config)
    fair_map.save_pretrained(out)
    if resume is not None:
        for left in out.glob(f"{resume.name}*"):
            left.unlink()
    if pictures:  # the map is saved: nothing is lost if this fails
        call = call_of(drawing_steps, guidance, size)
        showcase(pipe, fair_map, images_per_prompt=pictures, seed=seed, batch_size=batch_size or 4, **call)
        fair_map.save_pretrained(out)
    out_console.print(f"Saved in [bold]{escape(str(out))}[/]")
