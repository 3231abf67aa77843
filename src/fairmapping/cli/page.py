"""The command that serves the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, DType, MapSource, Model, Offload, Precision, Strength
from .printing import err_console
from .typed import map_of, pipe_of


def page(
    map_: MapSource = None,
    strength: Strength = None,
    model: Model = "portraits",
    runs: Annotated[Path, typer.Option(help="Audits and reports in this folder can be opened.")] = Path("runs"),
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="By default the first free one from 7860.")] = None,
    host: Annotated[
        str, typer.Option(help="Who can reach it: 127.0.0.1 is this machine alone, 0.0.0.0 everybody on the network.")
    ] = "127.0.0.1",
    device: Device = None,
    dtype: Precision = DType.float32,
    offload: Offload = None,
) -> None:
    """
    Serve a web page: pictures before and after on the same seeds, what is done about a prompt, finished reports.

    Examples:

    - `fairmapping app --map my-map`
    - `fairmapping app --map my-map --model PATH_OR_HUB_ID --device cuda --port 8000`
    """
    from ..app import build, serve

    fair_map, of_map = map_of(map_, strength)
    built = build(pipe_of(model, device, dtype, offload), fair_map, strength=of_map, runs=runs, name=model)
    address = serve(built, host=host, port=port, wait=False)
    err_console.print(f"Open [bold]{address}[/]; Ctrl-C stops it")
    built.block_thread()
