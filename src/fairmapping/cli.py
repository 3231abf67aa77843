"""The command line: parsing and printing only. Every command calls the function of the same name that the library
offers."""

from __future__ import annotations

import difflib
import os
import warnings
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

__all__ = ["app"]

out_console = Console()
err_console = Console(stderr=True)


class _PlainErrors(TyperGroup):
    """What a user can mend is told in one line, with exit code 2; everything else keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, TypeError, FileNotFoundError, ModuleNotFoundError) as error:
            if ctx.params.get("traceback"):
                raise
            err_console.print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_PlainErrors,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Solver(str, Enum):
    gradient = "gradient"
    exact = "exact"


class Distance(str, Enum):
    pooled = "pooled"
    position = "position"
    sequence = "sequence"


class DType(str, Enum):
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


Model = Annotated[
    str, typer.Option(help="`portraits` (the embedded model), a folder, or a hub id.", rich_help_panel="Model")
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1, mps; by default where the model loads.", rich_help_panel="Model"),
]
Precision = Annotated[DType, typer.Option("--dtype", help="Precision of the model.", rich_help_panel="Model")]
Keywords = Annotated[
    str,
    typer.Option(
        help="`doctor,nurse` (with commas), a .txt, .csv, .json or .toml file, or `occupations` or `emotions`."
    ),
]
Attributes = Annotated[
    str, typer.Option(help="`gender,race`, one of them, or a .toml, .json or .csv file of your own.")
]
Templates = Annotated[
    list[str] | None,
    typer.Option("--template", help='Where the keyword goes, e.g. "a portrait of {}". Repeat for several.'),
]
DistanceOption = Annotated[
    Distance, typer.Option(help="Between prompts: pooled over their words, per position, or the whole sequence.")
]
MapSource = Annotated[str | None, typer.Option("--map", help="A fair map: a folder from `fit`, or a hub id.")]
Strength = Annotated[float, typer.Option(help="0 leaves the model as it is, 1 applies the map in full.")]
Seed = Annotated[int, typer.Option(help="Same seed, same images.")]
Images = Annotated[int, typer.Option(min=1, help="Images of each prompt. Intervals narrow with the square root.")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Denoising steps; by default the model's.", rich_help_panel="Drawing")
]
Guidance = Annotated[
    float | None, typer.Option(help="Guidance scale; by default the model's.", rich_help_panel="Drawing")
]
Batch = Annotated[int, typer.Option("--batch-size", min=1, help="Images drawn at once.", rich_help_panel="Drawing")]


@app.callback()
def main(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error comes from.")] = False,
) -> None:
    """
    Assess the demographic bias of text-to-image models, mitigate it by Fair Mapping, and show what changed.

    Start with `fairmapping demo`: the whole road on an embedded model, offline, in a few minutes.
    """
    # What these libraries say while they load (missing extras, deprecations) is nothing that a user of this can mend.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="diffusers")


@app.command("lists")
def lists_command(
    name: Annotated[str | None, typer.Argument(help="A list to print, one entry a line.")] = None,
) -> None:
    """
    Show the packaged lists of keywords and attributes, or print one of them.

    Examples:

    - `fairmapping lists`
    - `fairmapping lists occupations > mine.txt` to edit a list and pass it as `--keywords mine.txt`
    """
    from . import lists, prompts

    packaged = {"occupations": lists.occupations(), "emotions": lists.emotions()}
    known = lists.attributes()
    if name is None:
        table = Table("list", "what", "entries", title="Packaged lists", title_justify="left")
        for key, entries in packaged.items():
            table.add_row(key, "keywords", f"{len(entries)}: {', '.join(entries[:4])}, ...")
        for key, attribute in known.items():
            table.add_row(key, "attribute", ", ".join(attribute.group_names))
        out_console.print(table)
        out_console.print(f"Templates by default: {', '.join(prompts.DEFAULT_TEMPLATES)}")
    elif name in packaged:
        typer.echo("\n".join(packaged[name]))
    elif name in known:
        typer.echo("\n".join(f"{group.name}: {', '.join(group.words)}" for group in known[name].groups))
    else:
        raise ValueError(f"no packaged list is called {name!r}; there are {', '.join([*packaged, *known])}")


@app.command()
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
    from . import pipelines, prompts
    from .bias import measure as find

    asked = prompts.resolve_attributes(_listed(attributes))
    words = _keywords(keywords)
    known = _shares(shares if shares or keywords != "occupations" else "sd15")
    bias = find(
        pipelines.load(model, device=device, dtype=dtype.value),
        words,
        asked,
        templates=template or prompts.DEFAULT_TEMPLATES,
        distance=distance.value,
        fair_map=_map(map_),
        progress=True,
    )
    for attribute in asked:
        found = bias.table(attribute.name)
        groups = attribute.group_names
        title = f"Language bias, {attribute.name}: mean {bias.summary()[attribute.name]}"
        table = Table("", "keyword", "bias", "nearest", *groups, *(["known"] if known else []), title=escape(title))
        for place, (_, line) in enumerate(found.head(top).iterrows(), 1):
            cells = [f"{line[name]:.3f}" for name in groups]
            cells += [f"{known[line['keyword']]:.0%}" if line["keyword"] in known else ""] if known else []
            table.add_row(str(place), escape(line["keyword"]), f"{line['bias']:.3f}", line["nearest"], *cells)
        out_console.print(table)
        of = group or groups[0]
        if known and of in groups:
            out_console.print(f"Nearness to {of} and the known shares: {bias.correlation(known, of, attribute.name)}")
    if csv is not None:
        bias.table(asked[0].name if len(asked) == 1 else None).to_csv(csv, index=False)
        out_console.print(f"All {len(words)} keywords are in [bold]{escape(str(csv))}[/]")


@app.command()
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
    weight: Annotated[float, typer.Option(help="Of fairness against staying near the original.")] = 30.0,
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
    from . import lists, pipelines, prompts
    from .fit import fit as find

    asked = prompts.resolve_attributes(_listed(attributes))
    words = _keywords(keywords)
    apart: Any = 0.2 if holdout is None and len(words) >= 5 else _holdout(holdout)
    if holdout is None and keywords == "occupations":
        words, apart = lists.split()
    if isinstance(apart, list):
        words = [word for word in words if word not in apart]
    fair_map = find(
        pipelines.load(model, device=device, dtype=dtype.value),
        words,
        asked,
        templates=template or prompts.DEFAULT_TEMPLATES,
        solver=solver.value,
        distance=distance.value,
        weight=weight,
        depth=depth,
        steps=steps,
        seed=seed,
        holdout=apart,
    )
    config = fair_map.config
    table = Table("keywords", "attribute", "before", "after", "change", title="Language bias")
    for what, n, before, after in (
        ("fitted", len(config.keywords), config.bias_before, config.bias_after),
        ("held out", len(config.held_out), config.held_out_bias_before, config.held_out_bias_after),
    ):
        for name in before:
            change = f"{after[name] / before[name] - 1:+.1%}" if before[name] else ""
            table.add_row(f"{n} {what}", name, f"{before[name]:.4f}", f"{after[name]:.4f}", change)
    out_console.print(table)
    if config.relative_change is not None:
        out_console.print(f"Embeddings moved by {config.relative_change:.1%} of their length")
    fair_map.save_pretrained(out)
    out_console.print(f"Saved in [bold]{escape(str(out))}[/]")


@app.command()
def generate(
    prompts: Annotated[list[str] | None, typer.Argument(help="Prompts as they are. Or give --keywords.")] = None,
    keywords: Annotated[
        str | None, typer.Option(help="Instead of prompts: `doctor,nurse`, a file, or a packaged list.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the images; an interrupted run goes on there.")] = Path(
        "runs/images"
    ),
    images: Images = 8,
    template: Templates = None,
    map_: MapSource = None,
    strength: Strength = 1.0,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    batch_size: Batch = 16,
    model: Model = "portraits",
    device: Device = None,
    dtype: Precision = DType.float32,
) -> None:
    """
    Draw images of prompts or keywords into a folder, with a fair map where `--map` is given.

    Examples:

    - `fairmapping generate "a portrait of a doctor" --images 16`
    - `fairmapping generate --keywords doctor,nurse --map my-map --out runs/fair`
    """
    from . import pipelines
    from .generate import generate as draw

    rows = _prompts(prompts, keywords, template)
    pipe = pipelines.load(model, device=device, dtype=dtype.value)
    fair_map = _map(map_)
    done = draw(
        pipe,
        rows,
        images_per_prompt=images,
        out=out,
        fair_map=fair_map,
        strength=strength,
        seed=seed,
        batch_size=batch_size,
        **_call(steps, guidance),
    )
    out_console.print(f"{len(done)} images in [bold]{escape(str(out))}[/]")


@app.command()
def audit(
    keywords: Keywords = "occupations",
    attributes: Attributes = "gender,race",
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted one goes on there.")] = Path(
        "runs/audit"
    ),
    map_: MapSource = None,
    explicit: Annotated[
        bool, typer.Option("--explicit", help="Ask prompts that name a group too: are they obeyed?")
    ] = False,
    judge: Annotated[
        str, typer.Option(help="`portraits`, or one of your own: `my_package.judges:MyJudge`.")
    ] = "portraits",
    images: Images = 15,
    template: Templates = None,
    strength: Strength = 1.0,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    batch_size: Batch = 16,
    model: Model = "portraits",
    device: Device = None,
    dtype: Precision = DType.float32,
) -> None:
    """
    Draw images, judge each, and print the bias; with `--map` before and after on the same seeds.

    Examples:

    - `fairmapping audit --keywords doctor,nurse,carpenter --images 15`
    - `fairmapping audit --keywords held-out.txt --map my-map --explicit --out runs/x`
    """
    from . import pipelines, prompts
    from .audit import audit as assess

    templates = template or list(prompts.DEFAULT_TEMPLATES)
    asked = prompts.resolve_attributes(_listed(attributes))
    rows = prompts.neutral(_keywords(keywords), templates)
    if explicit:
        rows += prompts.specific(_keywords(keywords), asked, templates[:1])
    pipe = pipelines.load(model, device=device, dtype=dtype.value)
    result = assess(
        pipe,
        rows,
        images_per_prompt=images,
        judge=judge,
        fair_map=_map(map_),
        out=out,
        attributes=asked,
        seed=seed,
        strength=strength,
        batch_size=batch_size,
        **_call(steps, guidance),
    )
    _print_audit(result)
    out_console.print(f"Saved in [bold]{escape(str(out))}[/]. See it: fairmapping report {escape(str(out))}")


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of audits. The first gives the headline, all what was kept.")
    ],
    out: Annotated[Path | None, typer.Option(help="The page; by default report.html in the first folder.")] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    judge: Annotated[str | None, typer.Option(help="Have another judge read the images first.")] = None,
) -> None:
    """
    Write one HTML page about one or more audits. It opens offline and needs neither torch nor the model.

    Examples:

    - `fairmapping report runs/x`
    - `fairmapping report runs/demo/occupations runs/demo/explicit-prompts --out both.html`
    """
    from .audit import rescore
    from .report import report as write

    page = write([rescore(run, judge) for run in runs], out or runs[0] / "report.html", title=title)
    out_console.print(f"Written: [bold]{escape(str(page))}[/]")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted one goes on there.")] = Path("runs/demo"),
    quick: Annotated[
        bool, typer.Option("--quick", help="A sixth of the images: a minute, and wide intervals.")
    ] = False,
) -> None:
    """
    The whole road on the embedded model: measure, fit, audit before and after, one page that shows it.

    Example: `fairmapping demo --out runs/demo`, then open runs/demo/report.html
    """
    from .demo import demo as run

    run(out, quick=quick, say=lambda text: err_console.print(f"[bold]{escape(text)}[/]"))


def _print_audit(result: Any) -> None:
    both = len(result.arms) == 2
    names = ["attribute", "before", "after", "difference", "chance"] if both else ["attribute", "bias", "chance"]
    table = Table(*names, title=f"Mean pairwise bias over {len(result.keywords)} keywords, with 95 % intervals")
    for attribute in result.attributes if result.keywords else ():
        summary = result.summary(attribute)
        floor = f"{summary.loc[summary['measure'] == 'pairwise_bias', 'floor'].mean():.2f}"
        if both:
            compared = result.compare(attribute)
            table.add_row(
                attribute, *(str(part) for part in (compared.raw, compared.mapped, compared.difference)), floor
            )
        else:
            line = summary[summary["measure"] == "pairwise_bias"].iloc[0]
            value = f"{line['value']:.2f} [{line['low']:.2f}, {line['high']:.2f}]"
            table.add_row(attribute, escape(f"{value} n={line['keywords']}"), floor)
    out_console.print(table)
    for _, line in result.faces().iterrows():
        out_console.print(
            f"{line['arm']}: {line['no_face']} of {line['images']} images show no face, {line['several']} several"
        )
    obeyed = result.obeyed()
    for _, line in (obeyed[obeyed["group"] == "all"] if len(obeyed) else obeyed).iterrows():
        share = (
            f"{line['share']:.1%} of {line['n']} faces are as the prompt asks [{line['low']:.1%}, {line['high']:.1%}]"
        )
        out_console.print(f"{line['arm']}, explicit {line['attribute']}: {escape(share)}")


def _shares(source: str | None) -> dict[str, float]:
    """keyword -> share, from "sd15" or a CSV."""
    if source is None:
        return {}
    if source == "sd15":
        from .sections import sd15_women

        return sd15_women()
    import pandas as pd

    frame = pd.read_csv(source)
    if not {"keyword", "share"} <= set(frame) or not pd.api.types.is_numeric_dtype(frame["share"]):
        raise ValueError(f"{source} needs the columns keyword and share, a number; it has {', '.join(frame)}")
    return dict(zip(frame["keyword"], frame["share"].astype(float), strict=True))


def _holdout(source: str | None) -> Any:
    """A fraction, or keywords."""
    try:
        return float(source or 0)
    except ValueError:
        return _keywords(source or "")


def _map(source: str | None) -> Any:
    from .mapping import FairMap

    return FairMap.from_pretrained(source) if source else None


def _call(steps: int | None, guidance: float | None) -> dict[str, Any]:
    given = {"num_inference_steps": steps, "guidance_scale": guidance}
    return {name: value for name, value in given.items() if value is not None}


def _listed(source: str) -> list[str]:
    return [part.strip() for part in source.split(",") if part.strip()]


def _prompts(texts: list[str] | None, keywords: str | None, templates: list[str] | None) -> list[Any]:
    from . import prompts

    if bool(texts) == bool(keywords):
        raise ValueError("give either prompts or --keywords")
    if texts:
        return list(texts)
    return prompts.neutral(_keywords(keywords or ""), templates or prompts.DEFAULT_TEMPLATES)


def _keywords(source: str) -> list[str]:
    """ "a,b" is a list; otherwise a packaged list, a file, or, where it looks like neither, one keyword."""
    from . import prompts

    if "," in source:
        return prompts.resolve_keywords([part.strip() for part in source.split(",") if part.strip()])
    near = difflib.get_close_matches(source, ("occupations", "emotions"), 1)
    if near or "." in source or "/" in source or Path(source).exists():
        return prompts.resolve_keywords(source)
    return prompts.resolve_keywords([source])
