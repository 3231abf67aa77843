"""The options that several commands share, declared once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Solver(str, Enum):
    gradient = "gradient"
    exact = "exact"


class Distance(str, Enum):
    pooled = "pooled"
    position = "position"
    sequence = "sequence"


class Route(str, Enum):
    sampled = "sampled"
    denoiser = "denoiser"
    calibrated = "calibrated"
    text = "text"


class DetectorMode(str, Enum):
    auto = "auto"
    off = "off"


class StoreKind(str, Enum):
    files = "files"
    webdataset = "webdataset"


class OffloadMode(str, Enum):
    model = "model"
    sequential = "sequential"


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
Offload = Annotated[
    OffloadMode | None,
    typer.Option(
        help="Move models to the device when needed: model by model, or layer by layer.", rich_help_panel="Model"
    ),
]
Precision = Annotated[DType, typer.Option("--dtype", help="Precision of the model.", rich_help_panel="Model")]
Keywords = Annotated[
    str,
    typer.Option(
        help="`doctor,nurse` (with commas), a .txt, .csv, .json or .toml file, or one of `fairmapping lists`."
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
RouteOption = Annotated[Route, typer.Option(help="How to fit; see above.")]
MapSource = Annotated[
    list[str] | None,
    typer.Option("--map", help="A fair map: a folder from `fit`, or a hub id. Several, given one by one, become one."),
]
QuotaSource = Annotated[
    str | None,
    typer.Option(
        "--quota",
        help="Shares that a map of sampled groups draws them by: `even`, `labour`, or a .csv, .json or .toml file; "
        "by default those it was fitted with.",
    ),
]
DetectorOption = Annotated[
    DetectorMode,
    typer.Option("--detector", help="auto: the map's own detector decides what is mapped. off: every prompt is."),
]
Strength = Annotated[
    list[float] | None,
    typer.Option(help="0 leaves the model as it is, 1 (the default) applies the map in full. Once, or once a --map."),
]
Seed = Annotated[int, typer.Option(help="Same seed, same images.")]
Images = Annotated[int, typer.Option(min=1, help="Images of each prompt. Intervals narrow with the square root.")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Denoising steps; by default the model's.", rich_help_panel="Drawing")
]
Guidance = Annotated[
    float | None, typer.Option(help="Guidance scale; by default the model's.", rich_help_panel="Drawing")
]
Batch = Annotated[int, typer.Option("--batch-size", min=1, help="Images drawn at once.", rich_help_panel="Drawing")]
StoreOption = Annotated[
    StoreKind, typer.Option("--store", help="A PNG file an image, or a tar file a batch (WebDataset).")
]
JudgeName = Annotated[
    str | None,
    typer.Option(
        "--judge",
        help="Who reads the pictures: `portraits`, `photo`, `fairface=ID`, `clip=ID`, or `my_package.judges:MyJudge`; "
        "by default `portraits` for the embedded model, and `photo` for any other.",
    ),
]
JudgeCard = Annotated[
    Path | None,
    typer.Option(
        "--judge-card", help="The judge's card, from `judge-card`, in place of its own: shares are corrected by it."
    ),
]
AskedAttributes = Annotated[
    str | None,
    typer.Option(
        "--attributes",
        help="`gender,race`, one of them, another that the judge knows, or a .toml, .json or .csv file of your own; by "
        "default these two as far as the judge knows them.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        help="Work on a Ray cluster: `local`, `auto`, or an address such as ray://host:10001.",
        rich_help_panel="Cluster",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Ray workers; by default one per GPU, or per CPU.", rich_help_panel="Cluster"),
]
Threads = Annotated[
    int,
    typer.Option(
        "--threads", min=1, help="CPU threads of each Ray worker; they can change last bits.", rich_help_panel="Cluster"
    ),
]
