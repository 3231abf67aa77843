"""The report: self-contained, escaped, accessible, and its numbers those of the audit."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_audit import by_hand

import fairmapping
from fairmapping import charts, lists, words
from fairmapping.metrics import Interval
from fairmapping.report import report
from fairmapping.results import Audit
from fairmapping.store import Place

VOID = {"meta", "link", "img", "br", "hr"}
FITTED = ["judge", "clerk"]
MAP = {
    "keywords": FITTED,
    "held_out": ["nurse", "cook"],
    "solver": "exact",
    "weight": 30.0,
    "bias_before": {"gender": 0.1},
    "bias_after": {"gender": 0.01},
    "held_out_bias_before": {"gender": 0.2},
    "held_out_bias_after": {"gender": 0.05},
    "relative_change": 0.04,
    "held_out_relative_change": 0.05,
    "strength": 1.0,
}


class Page(HTMLParser):
    """Reads a page, insisting that every tag is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(self.html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in ("td", "th", "p", "li"):
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        """Without tags, and with every run of white space as one space."""
        return " ".join("".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def pictured(folder: Path, **settings: Any) -> Audit:
    """Both arms of four keywords, two of them fitted, with pictures on disk."""
    audit = by_hand(
        {
            "raw": {"nurse": "ffffffff", "cook": "mmmmmm0m", "judge": "mmmmmmmm", "clerk": "ffmmffmm"},
            "mapped": {"nurse": "ffffffmm", "cook": "fmmmfm0m", "judge": "ffmmffmm", "clerk": "ffmmffmm"},
        },
        map=MAP,
        expected={"cue": {"nurse": "medical", "cook": "plain"}},
        **settings,
    )
    audit.save(folder)
    for number, image in enumerate(audit.rows["image"]):
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / image)
    return Audit.load(folder)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("run")
    audit = pictured(folder)
    rows = audit.rows.assign(groups=[(("gender", "male"),)] * len(audit.rows))
    return Page(report([audit, replace(audit, rows=rows)], folder / "report.html"))


def test_the_page_holds_all_it_shows(page: Page) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert "@import" not in page.html
    assert "url(" not in page.html
    assert not page.all("script")
    targets = {attributes.get("id") for _, attributes in page.tags}
    assert {link["href"] for link in page.all("a")} <= {f"#{target}" for target in targets}


def test_the_headline_is_about_keywords_that_were_not_fitted(page: Page, tmp_path: Path) -> None:
    compared = pictured(tmp_path).compare("gender", keywords=["nurse", "cook"])
    assert "over 2 occupations that were not used in fitting" in page.text
    assert words.number(compared.raw.value) == "1.00"
    assert f"1.00 [{words.number(compared.raw.low)}, 1.00] before, {words.number(compared.mapped.value)}" in page.text
    assert "The 2 keywords that the map was fitted on" in page.text
    assert page.text.count("judge") > 1


def test_what_was_kept_and_the_words_of_caution_are_there(page: Page) -> None:
    for words_of in (
        "Prompts that name a group",
        "cue of the occupation's sector",
        "moved the prompts' embeddings by 4.0 % of their length",
        "perceived",
        "No model becomes free of bias",
        "Confusion matrix, perceived gender",
        "2 of 64 before",
        "gender, keywords not used in fitting 0.200 0.050 −75 %",
    ):
        assert words_of in page.text, words_of
    assert not re.search(r"\b(un|de)biased\b", page.text)


def test_it_can_be_read_without_seeing_it(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    images = page.all("img")
    assert len(images) == 2 * 2  # the two keywords that were not fitted, in both arms
    assert all("Perceived: " in (image["alt"] or "") for image in images)
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert len(page.all("h1")) == 1


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: int) -> None:
    """4.5 to 1 for text and 3 to 1 for marks (WCAG 2, level AA)."""
    css = (Path(fairmapping.__file__).parent / "templates" / "report.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colour = dict(re.findall(r"--(\w+): (#\w{6})", blocks[scheme]))
    for ground in ("page", "card"):
        for ink, least in (("ink", 4.5), ("soft", 4.5), ("mapped", 4.5), ("raw", 3), ("floor", 3)):
            light, dark = sorted((luminance(colour[ink]), luminance(colour[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= least, (ink, ground)


def test_what_users_write_is_escaped(tmp_path: Path) -> None:
    nasty = "<script>alert('x')</script>"
    audit = by_hand({"raw": {nasty: "ffmm", "& co": "ffff"}}, call={"note": nasty})
    html = report(audit, tmp_path / "report.html", title=nasty, notes=[nasty]).read_text()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 5
    assert "&amp; co" in html


def test_one_arm_is_reported_without_a_comparison(tmp_path: Path) -> None:
    page = Page(report(by_hand({"raw": {"nurse": "ffffffmm", "cook": "mmmm"}}), tmp_path / "report.html"))
    assert "mean pairwise bias of perceived gender is 0.75" in page.text
    assert "after" not in page.text.split("See for yourself")[0].split("Occupation by occupation")[0]
    assert "No prompt here names a group" in page.text
    assert not page.all("img")  # its pictures are gone


def test_several_groups_are_stacked(tmp_path: Path) -> None:
    audit = by_hand({"raw": {"nurse": "ffmm", "cook": "mmmm"}}, attributes={"cue": ["medical", "food", "plain"]})
    page = Page(report(audit, tmp_path / "report.html"))
    assert "only one is" in page.text
    assert "medical 0 %, food 0 %, plain 100 %" in {
        (svg.get("aria-label") or "").replace("\N{NARROW NO-BREAK SPACE}", " ") for svg in page.all("svg")
    }


def test_a_keyword_without_a_face_is_still_listed(tmp_path: Path) -> None:
    page = Page(report(by_hand({"raw": {"ghost": "0000", "nurse": "ffmm"}}), tmp_path / "report.html"))
    assert "ghost" in page.text
    assert "4 of 8 had none" in page.text
    assert "nan" not in page.text


def test_bad_input_is_refused(tmp_path: Path) -> None:
    audit = by_hand({"raw": {"nurse": "ff"}})
    explicit = replace(audit, rows=audit.rows.assign(groups=[(("gender", "male"),)] * 2))
    for given, options, says in (
        ([], {}, "no audit"),
        (explicit, {}, "no neutral prompts"),
        (audit, {"show": ["cook"]}, "'cook' was not audited"),
    ):
        with pytest.raises(ValueError, match=says):
            report(given, tmp_path / "report.html", **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_pictures_may_be_chosen(tmp_path: Path) -> None:
    page = Page(report(pictured(tmp_path), tmp_path / "report.html", show=["judge"]))
    assert len(page.all("img")) == 2
    assert "most unevenly" not in page.text
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("value", "number", "percent"),
    [
        (0.614, "0.61", "61 %"),
        (-0.08, "−0.08", "−8 %"),
        (1.0, "1.00", "100 %"),
        (0.998, "1.00", "99.8 %"),
        (0.0, "0.00", "0 %"),
    ],
)
def test_numbers_in_words(value: float, number: str, percent: str) -> None:
    assert words.number(value) == number
    assert words.percent(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == percent


def test_words_for_what_is_missing() -> None:
    assert words.number(float("nan")) == words.percent(float("nan")) == "n/a"
    assert words.cell(Interval(0.5, float("nan"), float("nan"), 1)) == "0.50 "
    assert words.listing(["a"]) == "a"
    assert words.listing(["a", "b", "c"]) == "a, b and c"
    assert words.noun(lists.occupations()[:3]) == "occupation"
    assert words.noun(lists.emotions()[:3]) == "emotion"
    assert words.noun(["wizard"]) == words.noun([]) == "keyword"


def test_a_sprite_holds_every_picture(tmp_path: Path) -> None:
    place, files = Place(tmp_path), [f"{level}.png" for level in range(8)]
    for level, name in enumerate(files):
        Image.new("RGB", (64, 64), (30 * level, 0, 0)).save(tmp_path / name)
    made = charts.sprite(place, files, columns=6)
    assert made is not None
    assert made[0].startswith("data:image/png;base64,")
    assert made[1:] == (6 * 66 - 2, 2 * 66 - 2)
    assert charts.sprite(place, [*files, "gone.png"]) is None
    assert charts.sprite(place, []) is None
    (tmp_path / "0.png").write_bytes(b"torn")
    assert charts.sprite(place, files) is None


def test_other_papers_measures_cells_and_tests_are_shown(tmp_path: Path) -> None:
    found = by_hand(
        {"raw": {"nurse": "f" * 20, "cook": "mmmf"}, "mapped": {"nurse": "f" * 8 + "m" * 12, "cook": "mmff"}},
        attributes={"gender": ["female", "male"], "cue": ["medical", "food", "plain"]},
    )
    page = report(found, tmp_path / "report.html").read_text()
    assert "1 of 2 keywords changed measurably" in page or "1 of 2 occupations changed measurably" in page
    assert "p of change (Holm)" in page and "&lt; .001" in page
    assert "parity gap (EquiSteer)" in page and "fairness (FairImagen)" in page
    assert "Cells of gender and cue" in page and "female, plain" in page
    one = by_hand({"raw": {"nurse": "fffm"}})
    page = report(one, tmp_path / "one.html").read_text()
    assert "changed measurably" not in page and "p of change" not in page and "Cells of" not in page
