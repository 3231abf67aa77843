"""An audit card for governance: what people answer for, beside what was measured.

In the manner of the THUMB cards (Text-to-image Harms-informed Use-case-aligned Metrics of gender Bias; Luna, Wu, Xie
and Garcia, "Context Matters", FAccT 2026, arXiv 2605.13113), which ask for context, scenario, manifestation of bias,
harm hypotheses and audit strategy under the risk categories of the EU AI Act. What was public of them here is their
abstract, so the fields below follow it and are not a copy of theirs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import __version__
from ..report import cautions
from ..results import Audit
from ..store import write_text
from .measured import measured
from .questions import QUESTIONS, RISK_TIERS, answered
from .text import markdown

__all__ = ["QUESTIONS", "RISK_TIERS", "SCHEMA_VERSION", "AuditCard", "audit_card"]

SCHEMA_VERSION = 1
_KIND = "fairmapping audit card"


@dataclass(frozen=True)
class AuditCard:
    """A card as plain JSON: schema_version, kind, created, made_with, answers (of people; None: still to be answered),
    audits (what was measured of each) and limits."""

    table: dict[str, Any]

    @property
    def answers(self) -> dict[str, str | None]:
        """What people answered, by the names of :data:`QUESTIONS`."""
        return dict(self.table["answers"])

    @property
    def unanswered(self) -> tuple[str, ...]:
        """The questions that still wait for a person."""
        return tuple(name for name, answer in self.answers.items() if answer is None)

    def to_json(self) -> str:
        return json.dumps(self.table, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def markdown(self) -> str:
        return markdown(self.table)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the card to `path`, as Markdown or JSON by its ending. Raises ValueError for another ending."""
        path = Path(path)
        writers = {".md": self.markdown, ".json": self.to_json}
        if path.suffix.lower() not in writers:
            raise ValueError(f"a card is written as .md or .json, not {path.suffix or 'without an ending'}")
        write_text(path, writers[path.suffix.lower()]())
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AuditCard:
        """Read a card in JSON. Raises ValueError for what :meth:`save` did not write, or a newer schema."""
        path = Path(path)
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no card in JSON ({error})") from error
        if not isinstance(table, dict) or table.get("kind") != _KIND or type(table.get("schema_version")) is not int:
            raise ValueError(f"{path} is no audit card; give the .json that `fairmapping card` wrote")
        if table["schema_version"] > SCHEMA_VERSION:
            raise ValueError(
                f"{path} has schema_version {table['schema_version']} and this fairmapping reads up to "
                f"{SCHEMA_VERSION}; upgrade it: pip install --upgrade fairmapping"
            )
        if missing := [name for name in ("created", "made_with", "answers", "audits", "limits") if name not in table]:
            raise ValueError(f"{path} lacks {missing[0]}; write the card again")
        return cls(table | {"answers": answered(table["answers"])})


def audit_card(audits: Audit | Sequence[Audit], **answers: str | None) -> AuditCard:
    """A card of one audit or several: the answers that you give, and the figures of the audits.

    answers: by the names of :data:`QUESTIONS`: use_case, risk_tier ("unacceptable", "high", "limited", "minimal"),
    risk_reason, affected, scenario, manifestation, harm_hypothesis, acceptance, conclusion, owner. Those left out are
    printed as "to be answered"; none is ever made up. The figures are of keywords that the map was not fitted on, where
    there are any.

    Raises TypeError for a question that there is not, ValueError for an empty answer, an unknown tier, or no audit.
    """
    given = [audits] if isinstance(audits, Audit) else list(audits)
    if not given:
        raise ValueError("no audit to make a card of")
    return AuditCard(
        {
            "schema_version": SCHEMA_VERSION,
            "kind": _KIND,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "made_with": f"fairmapping {__version__}",
            "answers": answered(answers),
            "audits": [measured(audit) for audit in given],
            "limits": list(dict.fromkeys(text for audit in given for text in cautions(audit))),
        }
    )
