"""The audit card: the figures of the audit, answers of people and nobody else's, Markdown that holds together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from test_audit import by_hand
from test_report import MAP

import fairmapping as fm
from fairmapping import metrics
from fairmapping.cards import QUESTIONS, AuditCard, audit_card
from fairmapping.results import Audit

WORDS = {
    "raw": {"nurse": "ffff", "cook": "mmm0", "judge": "mmmm"},
    "mapped": {"nurse": "ffmm", "cook": "fmmm", "judge": "ffmm"},
}


@pytest.fixture
def pair() -> Audit:
    return by_hand(WORDS, map=MAP)


def tables_of(text: str) -> list[list[list[str]]]:
    """Rows of cells of every table, as a reader of Markdown sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    found: list[list[list[str]]] = []
    for i, token in enumerate(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            found[-1][-1].append(tokens[i + 1].content)
    return found


def test_every_figure_is_the_audits(pair: Audit) -> None:
    card = fm.audit_card(pair)
    one = card.table["audits"][0]["results"]["attributes"][0]
    table = pair.summary("gender", keywords=["nurse", "cook"])  # the map was fitted on the judge
    for found, line in zip(one["summary"], table.to_dict("records"), strict=True):
        assert found["measure"] == line["measure"]
        for name in ("value", "low", "high", "images"):
            assert found[name] == pytest.approx(line[name], abs=1e-5)
    compared = pair.compare("gender", keywords=["nurse", "cook"])
    assert one["comparison"]["difference"]["value"] == pytest.approx(compared.difference.value, abs=1e-5)
    assert one["comparison"]["verdict"] == compared.verdict
    assert [line["keyword"] for line in one["tests"]] == ["nurse", "cook"]
    strategy = card.table["audits"][0]["strategy"]
    assert strategy["keywords_reported"] == ["nurse", "cook"]
    assert strategy["keywords_fitted"] == ["judge"]
    assert strategy["judge"]["recall"]["gender"]["male"] == {"right": 80, "n": 100}
    text = card.markdown()
    assert "with Holm's correction: 0 of 2 changed measurably" in text
    row = next(line for line in text.splitlines() if line.startswith("| pairwise bias | before"))
    line = table.iloc[0]
    assert f"{line['value']:.3f} [{line['low']:.3f}, {line['high']:.3f}]" in row
    assert f"{line['floor']:.3f}" in row


def test_nothing_is_answered_for_people(pair: Audit) -> None:
    card = audit_card(pair)
    assert card.unanswered == tuple(QUESTIONS)
    text = card.markdown()
    assert text.count("To be answered by") == len(QUESTIONS)
    card = audit_card(pair, use_case="Pictures\nfor a site", risk_tier="limited")
    assert set(card.unanswered) == set(QUESTIONS) - {"use_case", "risk_tier"}
    text = card.markdown()
    assert "> Pictures\n> for a site" in text
    assert "limited: a use with duties of transparency" in text
    assert text.count("To be answered by") == len(QUESTIONS) - 2


def test_json_can_be_read_again(pair: Audit, tmp_path: Path) -> None:
    card = audit_card([pair, by_hand({"raw": {"clerk": "00"}})], owner="Ärztin 看護師")
    again = AuditCard.load(card.save(tmp_path / "card.json"))
    assert again == card
    assert again.markdown() == card.markdown()
    assert card.save(tmp_path / "card.md").read_text(encoding="utf-8") == card.markdown()
    assert json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))["schema_version"] == 1


def test_words_of_others_break_no_table(tmp_path: Path) -> None:
    odd = "a|b <i>*c*</i> _d_ [x](y)\n# e"
    audit = by_hand({"raw": {odd: "fm", "cook": "ff"}}, model={"name": odd, "pipeline": "x|y"})
    text = audit_card(audit, scenario=f"{odd}\n- more").markdown()
    widths = [{len(row) for row in table} for table in tables_of(text)]
    assert all(len(width) == 1 for width in widths)
    assert "<i>" not in text
    html = MarkdownIt("commonmark").enable("table").render(text)
    for tag in ("<em>", "<a ", "<i>", "<li>- more"):
        assert tag not in html.split("Limits</h2>")[0].split("Context")[1].replace("<em>To be answered", "")


def test_tables_have_every_group(pair: Audit) -> None:
    tables = tables_of(audit_card(pair).markdown())
    heads = [table[0] for table in tables]
    assert ["keyword", "arm", "female", "male", "n", "pairwise bias", "chance floor"] in heads
    assert ["group", "arm", "share [95 %]", "images"] in heads
    one_arm = tables_of(audit_card(by_hand({"raw": {"cook": "fm"}})).markdown())
    assert ["keyword", "female", "male", "n", "pairwise bias", "chance floor"] in [table[0] for table in one_arm]


def test_audits_with_nothing_to_tell() -> None:
    empty = by_hand({"raw": {"ghost": "000"}})
    text = audit_card(empty).markdown()
    assert "nothing can be told" in text
    assert f"100.0% [{metrics.wilson(3, 3)[0]:.1%}, 100.0%] | 3 |" in text  # no face found
    named = by_hand({"raw": {"cook": "mm"}})
    named.rows["groups"] = [(("gender", "male"),)] * 2
    text = audit_card(named).markdown()
    assert "no bias to report" in text
    assert "explicit prompts obeyed, gender, all" in text


def test_a_map_fitted_on_all_of_it_is_said() -> None:
    found = by_hand({"raw": {"judge": "fm", "clerk": "ff"}, "mapped": {"judge": "fm", "clerk": "fm"}}, map=MAP)
    assert "Every keyword here was used in fitting" in audit_card(found).markdown()


def test_notes_on_labels_of_others_are_limits(tmp_path: Path) -> None:
    import pandas as pd

    table = pd.DataFrame({"keyword": "cook", "gender": ["man", "woman", "unclear"]})
    text = audit_card(fm.audit_labels(table, out=tmp_path / "out", progress=False)).markdown()
    assert text.count("unclear (1)") == 2
    assert "labels of a DataFrame" in text


@pytest.mark.parametrize(
    ("answers", "error", "says"),
    [
        ({"usecase": "x"}, TypeError, "no question 'usecase'"),
        ({"use_case": 7}, TypeError, "use_case is 7"),
        ({"use_case": " "}, ValueError, "is empty"),
        ({"risk_tier": "medium"}, ValueError, "'medium'; give one of unacceptable, high"),
    ],
)
def test_odd_answers_are_refused(pair: Audit, answers: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)):
        audit_card(pair, **answers)


def test_odd_files_are_refused(pair: Audit, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no audit"):
        audit_card([])
    with pytest.raises(ValueError, match=r"as \.md or \.json"):
        audit_card(pair).save(tmp_path / "card.html")
    path = tmp_path / "card.json"
    for text, says in (
        ("{", "no card in JSON"),
        ("[]", "no audit card"),
        ('{"kind": "fairmapping audit card"}', "no audit card"),
        ('{"kind": "fairmapping audit card", "schema_version": 99}', "upgrade"),
        ('{"kind": "fairmapping audit card", "schema_version": 1}', "lacks created"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=says):
            AuditCard.load(path)
