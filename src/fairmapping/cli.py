"""The command line: parsing and printing only. Every command calls the function of the same name that the library
offers."""

from __future__ import annotations

import difflib
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
    traceback: Annotated[bool, typer.Option(help="Show where an error comes from, instead of one line.")] = False,
) -> None:
    """
    Assess the demographic bias of text-to-image models, mitigate it by Fair Mapping, and show what changed.

    Start with `fairmapping demo`: the whole road on an embedded model, offline, in a few minutes.
    """


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
    from .generate import generate as draw

    rows = _prompts(prompts, keywords, template)
    pipe = _pipe(model, device, dtype)
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
    - `fairmapping audit --keywords held-out.txt --map my-map --explicit --out runs/x`, then `fairmapping report runs/x`
    """
    from . import prompts
    from .audit import audit as assess

    templates = template or list(prompts.DEFAULT_TEMPLATES)
    asked = prompts.resolve_attributes(_listed(attributes))
    rows = prompts.neutral(_keywords(keywords), templates)
    if explicit:
        rows += prompts.specific(_keywords(keywords), asked, templates[:1])
    pipe = _pipe(model, device, dtype)
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


def _pipe(model: str, device: str | None, dtype: DType) -> Any:
    """The pipeline that `--model` names."""
    import torch

    precision = getattr(torch, dtype.value)
    if model == "portraits":
        from . import portraits

        pipe = portraits.load(dtype=precision)
    else:
        from diffusers import DiffusionPipeline

        try:
            pipe = DiffusionPipeline.from_pretrained(model, torch_dtype=precision)
        except OSError as error:
            raise ValueError(f"no model could be loaded from {model!r}: {str(error).splitlines()[0]}") from error
    return pipe.to(device) if device else pipe


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
