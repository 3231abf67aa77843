"""What only people can answer: the questions of a card, and who should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["QUESTIONS", "RISK_TIERS", "Question", "answered"]

# Categories of the EU AI Act, Regulation (EU) 2024/1689, in our words; which of them holds is a question of law.
RISK_TIERS = {
    "unacceptable": "a practice that the EU AI Act prohibits (Article 5)",
    "high": "a use that the EU AI Act counts as high-risk (Article 6 and Annex III)",
    "limited": "a use with duties of transparency (Article 50)",
    "minimal": "none of the other categories",
}


class Question(NamedTuple):
    """One field of the card: its heading, what it asks, and who should answer."""

    title: str
    asks: str
    who: str


_DEPLOYS = "whoever deploys the model"
_LAW = "whoever answers for compliance, with legal advice"
_CONCERNED = "whoever deploys the model, with people whom the pictures concern"
QUESTIONS = {
    "use_case": Question("Use case", "What is the model used for, by whom, and who sees the pictures?", _DEPLOYS),
    "risk_tier": Question("Risk tier", f"Which of {', '.join(RISK_TIERS)} does the use fall under?", _LAW),
    "risk_reason": Question("Reason for the tier", "Why this tier, and by which text of law or policy?", _LAW),
    "affected": Question("People affected", "Whom do the pictures show, reach or leave out?", _CONCERNED),
    "scenario": Question("Scenario", "Who types what, with which settings, and where do the pictures go?", _DEPLOYS),
    "manifestation": Question(
        "Manifestation",
        "How would the bias show in the pictures: under- or over-representation, a stereotype, a group never drawn?",
        _CONCERNED,
    ),
    "harm_hypothesis": Question(
        "Harm hypothesis",
        "Who would be harmed by that, and how (representation, quality of service, chances given or withheld)?",
        _CONCERNED,
    ),
    "acceptance": Question(
        "What would be acceptable", "Which figures would be acceptable, as decided before they were known?", _DEPLOYS
    ),
    "conclusion": Question("Conclusion", "What follows from the results, and who decided so?", _DEPLOYS),
    "owner": Question("Answerable", "Who answers for this card, and when is it looked at again?", _DEPLOYS),
}


def answered(given: Mapping[str, Any]) -> dict[str, str | None]:
    """Every question with its answer, None where there is none.

    Raises TypeError for a question that there is not or an answer that is no string, ValueError for an empty one or an
    unknown risk tier.
    """
    unknown = [name for name in given if name not in QUESTIONS]
    if unknown:
        raise TypeError(f"a card has no question {unknown[0]!r}; it has {', '.join(QUESTIONS)}")
    for name, answer in given.items():
        if answer is not None and not isinstance(answer, str):
            raise TypeError(f"the answer to {name} is {answer!r}; give a string, or leave it out")
        if answer is not None and not answer.strip():
            raise ValueError(
                f"the answer to {name} is empty; leave it out, and the card says that it is to be answered"
            )
    tier = given.get("risk_tier")
    if tier is not None and tier not in RISK_TIERS:
        raise ValueError(f"the risk tier is {tier!r}; give one of {', '.join(RISK_TIERS)}")
    return {name: given[name].strip() if given.get(name) else None for name in QUESTIONS}
