"""The report's routes beside each other, and what it says of a quota wherever a chance floor stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_audit import by_hand
from test_compare import routes
from test_report import Page

from fairmapping.report import report

FLOOR = "does not bound"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    audits = routes()
    return Page(report(audits["text"], tmp_path_factory.mktemp("page") / "report.html", routes=audits))


def test_each_set_of_keywords_has_its_table(page: Page) -> None:
    for words in (
        "The routes side by side",
        "1 keyword used in fitting",
        "2 keywords not used in fitting",
        "the paper's method",
        "joint deviation",
        "race as expected",
    ):
        assert words in page.text, words
    assert {"#routes"} <= {link["href"] for link in page.all("a")}
    assert "nan" not in page.html.split("</style>")[1]


def test_it_can_be_read_without_seeing_it(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    labels = {svg.get("aria-label") or "" for svg in page.all("svg")}
    assert any(label.startswith("sampled: gender pairwise bias 0.") for label in labels)


def test_a_route_with_a_quota_is_marked_and_the_floor_explained(page: Page) -> None:
    assert page.text.count("sampled †") == 4  # a chart and a table for each set
    assert FLOOR in page.text
    assert "text †" not in page.text


def test_a_page_without_routes_has_no_such_section(tmp_path: Path) -> None:
    page = Page(report(routes()["text"], tmp_path / "report.html"))
    assert "side by side" not in page.text
    assert FLOOR not in page.text
    assert "drawn independently" not in page.text


def test_a_quota_is_said_wherever_a_floor_stands(tmp_path: Path) -> None:
    answers = {"raw": {"nurse": "ffffffff", "cook": "mmmmmmmm"}, "mapped": {"nurse": "ffffmmmm", "cook": "fmfmfmfm"}}
    quota = {"scope": "prompt", "seed": 7, "targets": {"shares": {}}}
    found = by_hand(answers, map={"keywords": ["judge"], "route": "sampled", "quota": quota})
    page = Page(report(found, tmp_path / "report.html"))
    parts = page.text.split("Occupation by occupation")
    assert FLOOR in parts[0]  # headline and cards, above the contents
    assert "of independent draws, which does not bound a quota's" in parts[0]
    assert "drawn independently: with a quota, it is no bound" in parts[0]
    assert "would fall that draw independently" in page.text
    assert "groups assigned in exact numbers, scope prompt, seed 7" in page.text
    assert "Intervals of shares are made for independent draws" in page.text
    assert FLOOR in page.text.split("Settings and all figures")[-1]


def test_routes_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    audits = routes()
    other = audits["sampled"]
    audits["sampled"] = replace(other, settings=other.settings | {"call": {"guidance_scale": 9}})
    with pytest.raises(ValueError, match="differ in call"):
        report(audits["text"], tmp_path / "report.html", routes=audits)
    assert not list(tmp_path.iterdir())
