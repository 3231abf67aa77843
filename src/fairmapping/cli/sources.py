"""The commands about what somebody else made: a folder of images, a table of labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from .options import AskedAttributes, JudgeCard
from .printing import out_console, print_audit
from .typed import attributes_of, folder_of, judge_of, split

if TYPE_CHECKING:
    from ..results import Audit

Out = Annotated[Path, typer.Option(help="Folder that the audit is kept in; an interrupted one goes on there.")]
Named = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="NAME=COLUMN where the table has another name for image, prompt, keyword, arm, seed, annotator, faces or "
        "an attribute. Repeat for several.",
    ),
]
Arms = Annotated[
    str | None, typer.Option(help="`BEFORE,AFTER`: what the column arm says, where that is not raw and mapped.")
]
ModelName = Annotated[str | None, typer.Option("--name", help="What the report calls the model that drew them.")]
OwnAttributes = Annotated[
    str | None,
    typer.Option(help="`gender,race`, one of them, or a .toml, .json or .csv file of your own; by default these two."),
]


def audit_images(
    folder: Annotated[Path | None, typer.Argument(help="The images, in folders within it too.")] = None,
    before: Annotated[Path | None, typer.Option(help="Instead of one folder: the images before a change ...")] = None,
    after: Annotated[Path | None, typer.Option(help="... and after it.")] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="A .csv, .jsonl or .parquet with the columns image and prompt or keyword (arm, seed)."),
    ] = None,
    judge: Annotated[
        str,
        typer.Option(
            help="`photo`, `portraits` for pictures of the embedded model, `fairface=ID`, `clip=ID`, or "
            "`my_package.judges:MyJudge`."
        ),
    ] = "photo",
    judge_card: JudgeCard = None,
    out: Out = Path("runs/images-audit"),
    attributes: AskedAttributes = None,
    column: Named = None,
    arms: Arms = None,
    pair_by: Annotated[
        str, typer.Option(help="`seed`; or `name`, if files of one name in both folders began from the same noise.")
    ] = "seed",
    name: ModelName = None,
) -> None:
    """
    Judge images that somebody else made, and print the bias.

    The prompt of an image is the table's (`--prompts`), or what a tool wrote beside or into it, or its folder's name.

    Examples:

    - `fairmapping audit-images pictures --out runs/pictures`
    - `fairmapping audit-images pictures --prompts prompts.csv --attributes gender --out runs/pictures`
    - `fairmapping audit-images --before old --after new --out runs/change`
    """
    from ..sources import audit_images as assess

    if (folder is None) == (before is None) or (before is None) != (after is None):
        raise ValueError("give either one folder, or both --before and --after")
    folder_of(out)
    reader = judge_of(judge, judge_card, embedded=False)
    result = assess(
        {"before": before, "after": after} if before and after else folder or Path(),
        judge=reader,
        out=out,
        prompts=prompts,
        attributes=attributes_of(attributes, reader),
        columns=_columns(column),
        arms=None if arms is None else split(arms),
        pair_by=pair_by,
        model=name,
    )
    _print(result, out)


def audit_labels(
    labels: Annotated[Path, typer.Argument(help="The table: .csv, .tsv, .jsonl or .parquet.")],
    out: Out = Path("runs/labels-audit"),
    attributes: OwnAttributes = None,
    images: Annotated[Path | None, typer.Option(help="The folder of the images, for the report to show them.")] = None,
    column: Named = None,
    arms: Arms = None,
    name: ModelName = None,
) -> None:
    """
    Audit labels that somebody else gave, by one annotator or several.

    Columns: prompt and/or keyword, and one for each attribute; image, annotator, arm and seed where there are any.

    Examples:

    - `fairmapping audit-labels labels.csv --out runs/labels`
    - `fairmapping audit-labels labels.csv --column gender=Answer.gender --arms baseline,ours --images pictures`
    """
    from ..prompts import resolve_attributes
    from ..sources import audit_labels as assess

    folder_of(out)
    result = assess(
        labels,
        out=out,
        attributes=None if attributes is None else resolve_attributes(split(attributes)),
        images=images,
        columns=_columns(column),
        arms=None if arms is None else split(arms),
        model=name,
    )
    _print(result, out)


def _columns(given: list[str] | None) -> dict[str, str]:
    """NAME=COLUMN of each."""
    found = {}
    for text in given or ():
        name, sign, theirs = text.partition("=")
        if not (name.strip() and sign and theirs.strip()):
            raise ValueError(f"--column is {text!r}; give NAME=COLUMN, such as gender=Answer.gender")
        found[name.strip()] = theirs.strip()
    return found


def _print(result: Audit, out: Path) -> None:
    for note in result.settings["source"]["notes"]:
        out_console.print(escape(note), soft_wrap=True)
    print_audit(result)
    for name, found in result.settings["source"].get("agreement", {}).items():
        if found["alpha"] is not None:
            ends = "" if found["low"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]"
            out_console.print(
                escape(f"Krippendorff's alpha of {name}: {found['alpha']:.2f}{ends}, n {found['images']:,}")
            )
    out_console.print(f"Saved in [bold]{escape(str(out))}[/]. See it: fairmapping report {escape(str(out))}")
