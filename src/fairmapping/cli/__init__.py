"""The command line: parsing and printing only. Every command calls the function of the same name that the library
offers."""

from __future__ import annotations

import os
import warnings
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from . import figures, images, judging, language, sources
from .card import card
from .explain import explain
from .page import page
from .printing import err_console, sentence

__all__ = ["app"]


class _PlainErrors(TyperGroup):
    """What a user can mend is told in one line, with exit code 2; everything else keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            goes_on = ctx.invoked_subcommand in ("generate", "audit", "audit-images", "quality", "judge-card", "demo")
            err_console.print("Interrupted; the same command goes on where it stopped" if goes_on else "Interrupted")
            raise typer.Exit(130) from error
        except BrokenPipeError:  # `| head` has read enough
            raise
        except (ValueError, TypeError, OSError, RuntimeError, ModuleNotFoundError) as error:
            if isinstance(error, (typer.Exit, typer.Abort)) or ctx.params.get("traceback"):
                raise
            err_console.print(f"[bold red]Error:[/] {escape(sentence(error))}", soft_wrap=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_PlainErrors,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


app.command("lists")(language.lists_command)
app.command()(language.measure)
app.command()(language.fit)
app.command()(images.generate)
app.command()(explain)
app.command()(figures.advise)
app.command()(images.audit)
app.command()(figures.quality)
app.command("audit-images")(sources.audit_images)
app.command("audit-labels")(sources.audit_labels)
app.command()(images.report)
app.command()(card)
app.command("app")(page)
app.command("judge-card")(judging.judge_card)
app.command()(images.demo)
