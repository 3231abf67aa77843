"""The one progress bar: on stderr, so that what a command prints can go to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["progress_bar", "silenced"]


@contextmanager
def progress_bar(
    what: str, total: int | None, unit: str, *, done: int = 0, shown: bool = True
) -> Iterator[Callable[..., None]]:
    """Yields ``advance(n, state=unit)``, which counts n more and shows `state` beside the count. total: None where
    nobody knows. done: what was there before. shown=False: no bar, and ``advance`` does nothing."""
    if not shown:
        yield lambda n, state=unit: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"))
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, *times, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done, state=unit)

        def advance(n: int, state: str = unit) -> None:
            bar.update(task, advance=n, state=state)

        yield advance


@contextmanager
def silenced(pipe: Any) -> Iterator[None]:
    """Without the progress bar of a diffusers pipeline; its setting comes back afterwards."""
    before = vars(pipe).get("_progress_bar_config")
    pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        if before is None:
            del pipe._progress_bar_config
        else:
            pipe._progress_bar_config = before
