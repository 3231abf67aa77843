"""The command that writes an audit card: what was typed, as the answers of a card."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from .printing import out_console
from .typed import file_of


class Tier(str, Enum):
    unacceptable = "unacceptable"
    high = "high"
    limited = "limited"
    minimal = "minimal"


def _answer(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Answers, left open where not given")


def card(
    runs: Annotated[list[Path], typer.Argument(help="Folders of audits.")],
    use_case: Annotated[str | None, _answer("What the model is used for, by whom, and who sees the pictures.")] = None,
    risk_tier: Annotated[Tier | None, _answer("The category of the EU AI Act that the use falls under.")] = None,
    risk_reason: Annotated[str | None, _answer("Why this tier.")] = None,
    affected: Annotated[str | None, _answer("Whom the pictures show, reach or leave out.")] = None,
    scenario: Annotated[str | None, _answer("Who types what, with which settings; where the pictures go.")] = None,
    manifestation: Annotated[str | None, _answer("How the bias would show in the pictures.")] = None,
    harm_hypothesis: Annotated[str | None, _answer("Who would be harmed by that, and how.")] = None,
    acceptance: Annotated[str | None, _answer("Figures that would be acceptable, decided before.")] = None,
    conclusion: Annotated[str | None, _answer("What follows from the results.")] = None,
    owner: Annotated[str | None, _answer("Who answers for the card, and when it is looked at again.")] = None,
    answers: Annotated[
        Path | None,
        typer.Option(help="A .json or .toml file of answers, or an earlier card in JSON; options go before it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The card, as .md and as .json beside it; by default in the first folder.")
    ] = None,
) -> None:
    """
    Write an audit card for governance: use case, risk and harms as people answer them, beside what was measured.

    What is not answered is printed as "to be answered by ..."; nothing is made up.

    Examples:

    - `fairmapping card runs/x`
    - `fairmapping card runs/x --use-case "Stock pictures for a news site" --risk-tier limited --out card.md`
    - `fairmapping card runs/x --answers card.json --conclusion "Not used until measured on photographs"`
    """
    from ..cards import audit_card
    from ..results import Audit

    typed = {
        "use_case": use_case,
        "risk_tier": None if risk_tier is None else risk_tier.value,
        "risk_reason": risk_reason,
        "affected": affected,
        "scenario": scenario,
        "manifestation": manifestation,
        "harm_hypothesis": harm_hypothesis,
        "acceptance": acceptance,
        "conclusion": conclusion,
        "owner": owner,
    }
    place = out or runs[0] / "card.md"
    if place.suffix.lower() not in (".md", ".json"):
        raise ValueError(f"--out {place} is neither .md nor .json; give one of them, and both are written")
    given = {} if answers is None else _answers_in(answers)
    audits = [Audit.load(run) for run in runs]
    pages = [file_of(place.with_suffix(suffix), "--out") for suffix in (".md", ".json")]
    made = audit_card(audits, **(given | {name: text for name, text in typed.items() if text is not None}))
    for page in pages:
        made.save(page)
    out_console.print(f"Written: [bold]{escape(str(pages[0]))}[/] and {escape(pages[1].name)}", soft_wrap=True)
    if made.unanswered:
        out_console.print(f"Still to be answered: {', '.join(made.unanswered)}", soft_wrap=True)


def _answers_in(path: Path) -> dict[str, Any]:
    """Answers by their names, of a plain table or of a card."""
    from ..wordfiles import read_table

    table = read_table(path)
    found = table.get("answers", table) if isinstance(table, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no answers; write a table such as use_case = '...'")
    return found
