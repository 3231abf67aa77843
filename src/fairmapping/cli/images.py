"""The commands about images: draw them, audit them, show what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .options import (
    AskedAttributes,
    Batch,
    DetectorMode,
    DetectorOption,
    Device,
    DType,
    Guidance,
    Images,
    JudgeCard,
    JudgeName,
    Keywords,
    MapSource,
    Model,
    Offload,
    Precision,
    QuotaSource,
    RayAddress,
    Seed,
    Steps,
    StoreKind,
    StoreOption,
    Strength,
    Templates,
    Threads,
    Workers,
)
from .printing import err_console, out_console, print_audit, print_receipts
from .typed import (
    attributes_of,
    call_of,
    folder_of,
    judge_of,
    keywords_of,
    map_of,
    place_of,
    prompts_of,
    quota_of,
    route_of,
    source_of,
    workers_of,
)


def generate(
    prompts: Annotated[list[str] | None, typer.Argument(help="Prompts as they are. Or give --keywords.")] = None,
    keywords: Annotated[
        str | None, typer.Option(help="Instead of prompts: `doctor,nurse`, a file, or a packaged list.")
    ] = None,
    out: Annotated[
        str, typer.Option(help="Folder for the images, or an address (s3://...); an interrupted run goes on there.")
    ] = "runs/images",
    images: Images = 8,
    template: Templates = None,
    map_: MapSource = None,
    strength: Strength = None,
    quota: QuotaSource = None,
    detector: DetectorOption = DetectorMode.auto,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    batch_size: Batch = 16,
    model: Model = "portraits",
    device: Device = None,
    dtype: Precision = DType.float32,
    offload: Offload = None,
    store: StoreOption = StoreKind.files,
    ray: RayAddress = None,
    workers: Workers = None,
    threads: Threads = 1,
) -> None:
    """
    Draw images of prompts or keywords into a folder, with a fair map where `--map` is given.

    Examples:

    - `fairmapping generate "a portrait of a doctor" --images 16`
    - `fairmapping generate --keywords doctor,nurse --map my-map --out runs/fair`
    - `fairmapping generate --keywords doctor,nurse --map my-map --quota labour --out runs/fair`
    - `fairmapping generate "a doctor" --map gender-map --map race-map --strength 0.5 --strength 1`
    """
    from ..generate import generate as draw

    # All that may be mistyped comes before the model, which can take minutes to load.
    place_of(out)
    cluster = workers_of(ray, workers, threads)
    rows, call = prompts_of(prompts, keywords, template), call_of(steps, guidance)
    fair_map, part = map_of(map_, strength)
    drawn_by = quota_of(quota, fair_map, seed)
    done = draw(
        source_of(model, device, dtype, offload),
        rows,
        images_per_prompt=images,
        out=out,
        fair_map=fair_map,
        strength=part,
        quota=drawn_by,
        detector=detector.value,
        seed=seed,
        batch_size=batch_size,
        store=store.value,
        ray=cluster,
        **call,
    )
    out_console.print(f"{len(done)} images in [bold]{escape(out)}[/]")
    if fair_map is not None:
        print_receipts(done.receipts)


def audit(
    keywords: Keywords = "occupations",
    attributes: AskedAttributes = None,
    out: Annotated[
        str, typer.Option(help="Folder of the run, or an address (s3://...); an interrupted one goes on there.")
    ] = "runs/audit",
    map_: MapSource = None,
    explicit: Annotated[
        bool, typer.Option("--explicit", help="Ask prompts that name a group too: are they obeyed?")
    ] = False,
    judge: JudgeName = None,
    judge_card: JudgeCard = None,
    images: Images = 15,
    stop_at: Annotated[
        float | None,
        typer.Option(
            "--stop-at", help="Draw a keyword until its shares are known to +- this, such as 0.1; --images is the most."
        ),
    ] = None,
    template: Templates = None,
    strength: Strength = None,
    quota: QuotaSource = None,
    detector: DetectorOption = DetectorMode.auto,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    batch_size: Batch = 16,
    model: Model = "portraits",
    device: Device = None,
    dtype: Precision = DType.float32,
    offload: Offload = None,
    store: StoreOption = StoreKind.files,
    ray: RayAddress = None,
    workers: Workers = None,
    threads: Threads = 1,
) -> None:
    """
    Draw images, judge each, and print the bias; with `--map` before and after on the same seeds.

    Examples:

    - `fairmapping audit --keywords doctor,nurse,carpenter --images 15`
    - `fairmapping audit --keywords held-out.txt --map my-map --explicit --out runs/x`
    - `fairmapping audit --model me/model --judge photo --judge-card card.json --attributes gender --out runs/y`
    - `fairmapping audit --images 400 --stop-at 0.1 --out runs/y` spends no more than each keyword needs
    - `fairmapping audit --model me/model --device cuda --ray auto --store webdataset --out s3://bucket/run`
    """
    from .. import prompts
    from ..audit import audit as assess

    place_of(out)
    cluster = workers_of(ray, workers, threads)
    call = call_of(steps, guidance)
    reader = judge_of(judge, judge_card, embedded=model == "portraits")
    templates = template or list(prompts.DEFAULT_TEMPLATES)
    asked = attributes_of(attributes, reader)
    rows = prompts.neutral(keywords_of(keywords), templates)
    if explicit:
        asked = prompts.resolve_attributes(asked)  # the groups that have words
        rows += prompts.specific(keywords_of(keywords), asked, templates[:1])
    fair_map, part = map_of(map_, strength)
    drawn_by = quota_of(quota, fair_map, seed)
    result = assess(
        source_of(model, device, dtype, offload),
        rows,
        images_per_prompt=images,
        # Workers elsewhere make a judge by its name, which fits every judge; one with a card of yours is sent as it is.
        judge=judge if ray and not judge_card else reader,
        fair_map=fair_map,
        out=out,
        attributes=asked,
        stop_at=stop_at,
        seed=seed,
        strength=part,
        quota=drawn_by,
        detector=detector.value,
        batch_size=batch_size,
        store=store.value,
        ray=cluster,
        **call,
    )
    print_audit(result)
    out_console.print(f"Saved in [bold]{escape(out)}[/]. See it: fairmapping report {escape(out)}")


def report(
    runs: Annotated[
        list[str],
        typer.Argument(help="Folders of audits, or addresses. The first gives the headline, all what was kept."),
    ],
    out: Annotated[Path | None, typer.Option(help="The page; by default report.html in the first folder.")] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    judge: Annotated[
        str | None, typer.Option(help="Have another judge read the images first: `photo`, `fairface=ID`, `clip=ID`.")
    ] = None,
    judge_card: JudgeCard = None,
    route: Annotated[
        list[str] | None,
        typer.Option("--route", help="NAME=FOLDER of an audit to set beside others in a table. Repeat for several."),
    ] = None,
) -> None:
    """
    Write one HTML page about one or more audits. It opens offline and needs neither torch nor the model.

    Examples:

    - `fairmapping report runs/x`
    - `fairmapping report runs/x --route sampled=runs/x --route text=runs/y`
    - `fairmapping report runs/demo/occupations runs/demo/explicit-prompts --out both.html`
    """
    from ..audit import rescore
    from ..report import report as write
    from ..store import Place

    first = Place(runs[0]).path
    if out is None and first is None:
        raise ValueError(f"{runs[0]} is no folder of this machine: say where the page goes, --out report.html")
    page = out or (first or Path()) / "report.html"
    if out is not None:
        folder_of(out.parent)
        if out.is_dir():
            raise ValueError(f"--out {out} is a folder; give a file, such as {out / 'report.html'}")
    if judge is None and judge_card is not None:
        raise ValueError("--judge-card goes with --judge: name the judge that the card is of")
    reader = None if judge is None else judge_of(judge, judge_card, embedded=False)
    audits = {run: rescore(run, reader) for run in runs}
    named = dict(map(route_of, route or ()))
    routes = {name: audits[folder] if folder in audits else rescore(folder, reader) for name, folder in named.items()}
    page = write(list(audits.values()), page, title=title, routes=routes or None)
    out_console.print(f"Written: [bold]{escape(str(page))}[/]")


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
    from .. import pipelines
    from ..demo import demo as run

    folder_of(out)
    pipelines.hush()
    run(out, quick=quick, say=lambda text: err_console.print(f"[bold]{escape(text)}[/]"))
