"""Labels that somebody else gave, as an audit: words for groups, annotators who differ, what is counted apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fairmapping as fm
from fairmapping.report import report
from fairmapping.results import Audit
from fairmapping.sources import audit_labels
from fairmapping.sources.tables import read_table, whole_number
from fairmapping.sources.votes import Votes, agreement, majority, votes_of

LABELS = {"keyword": ["nurse", "nurse", "cook"], "gender": ["Woman", "FEMALE", "man"]}


def labelled(tmp_path: Path, table: Any, **options: Any) -> Audit:
    return audit_labels(pd.DataFrame(table), out=tmp_path / "out", progress=False, **options)


def notes_of(audit: Audit) -> str:
    return " ".join(audit.settings["source"]["notes"])


def test_words_of_a_group_are_its_labels(tmp_path: Path) -> None:
    found = fm.audit_labels(pd.DataFrame(LABELS), out=tmp_path / "out", progress=False)
    table = found.table("gender").set_index("keyword")
    assert (table.loc["nurse", "female_count"], table.loc["cook", "male_count"]) == (2, 1)
    assert found.attributes == {"gender": ("female", "male")}
    assert found.settings["judge"]["attributes"]["gender"] == ["female", "male"]
    again = Audit.load(tmp_path / "out")
    pd.testing.assert_frame_equal(found.rows, again.rows)
    assert again.settings == found.settings
    assert "how far people agree on them is not known" in report(again, tmp_path / "r.html").read_text("utf-8")


def test_every_row_ends_somewhere(tmp_path: Path) -> None:
    """Images = judged in a group + other + without a face, whatever was written in the cells."""
    cells = ["woman", "Man", "non-binary", "", None, "no face", "No_Face", "F", "None", "NA", "woman"]
    pd.DataFrame({"keyword": "cook", "gender": cells}).to_csv(tmp_path / "l.csv", index=False, encoding="utf-8-sig")
    found = audit_labels(tmp_path / "l.csv", out=tmp_path / "out", progress=False)
    line = found.table("gender").iloc[0]
    assert (line["images"], line["n"], line["no_face"], line["other"]) == (11, 3, 2, 6)
    assert "4 labels of gender naming none of its groups (female, male): " in notes_of(found)
    assert "non-binary (1)" in notes_of(found)
    assert "Counted as “no label”: 2 images" in notes_of(found)
    page = report(found, tmp_path / "r.html").read_text("utf-8")
    assert "6 others are left out" in page
    assert "non-binary (1)" in page


def test_annotators_vote_and_ties_are_no_agreement(tmp_path: Path) -> None:
    votes = {"a": "ffm", "b": "fm", "c": "mmm", "d": "f", "e": "fmx", "f": ""}
    words = {"f": "woman", "m": "man", "x": "no idea"}
    rows = [
        {"image": image, "occupation": "cook", "gender": words[letter], "rater": number}
        for image, letters in votes.items()
        for number, letter in enumerate(letters)
    ]
    rows.append({"image": "f", "occupation": "cook", "gender": "", "rater": 0})
    found = labelled(tmp_path, rows)
    said = found.rows.set_index("image")["gender"].to_dict()
    assert said == {
        "a": "female",
        "b": "no agreement",
        "c": "male",
        "d": "female",
        "e": "no agreement",
        "f": "no label",
    }
    assert found.table("gender")["other"].item() == 3
    agreed = found.settings["source"]["agreement"]["gender"]
    by_rater = [["f", "f", "m", "f", "f"], ["f", "m", "m", "*", "m"], ["m", "*", "m", "*", "x"]]
    numbers = [[{"f": 0, "m": 1, "x": 2, "*": np.nan}[cell] for cell in cells] for cells in by_rater]
    assert agreed["alpha"] == pytest.approx(krippendorff.alpha(numbers, level_of_measurement="nominal"), abs=1e-4)
    assert agreed["images"] == 4
    assert found.settings["source"]["annotators"] == 3
    assert "Krippendorff&#39;s alpha of 3 annotators is" in report(found, tmp_path / "r.html").read_text("utf-8")


def test_the_interval_of_agreement_covers_what_many_images_show() -> None:
    """Three annotators who err in a tenth of the cases: the interval of 300 images holds alpha of 30,000."""
    rng = np.random.default_rng(3)

    def votes(n: int) -> Votes:
        truth = rng.random(n) < 0.4
        said = np.stack([truth ^ (rng.random(n) < 0.1) for _ in range(3)], 1)
        return votes_of(np.repeat(np.arange(n), 3), pd.Series(np.where(said, "f", "m").ravel()), n)

    many, few = agreement(votes(30_000), resamples=200), agreement(votes(300))
    assert few.low < many.value < few.high
    assert few.high - few.low > 5 * (many.high - many.low)


def test_agreement_that_cannot_be_told() -> None:
    for counts in ([[2, 0], [3, 0]], [[1, 0], [0, 1]], np.zeros((3, 0), int)):
        array = np.asarray(counts)
        found = agreement(Votes(array, ("f", "m")[: array.shape[1]]))
        assert np.isnan([found.value, found.low, found.high]).all()
    assert list(majority(Votes(np.zeros((2, 0), int), ()))) == ["no label", "no label"]


def test_repeats_count_once_and_contradictions_are_refused(tmp_path: Path) -> None:
    rows = [{"image": "a", "prompt": "a cook", "gender": "man"}] * 3 + [{"image": None, "prompt": "x", "gender": "man"}]
    found = labelled(tmp_path, rows)
    assert len(found.rows) == 1
    assert "Counted once: 2 rows" in notes_of(found)
    assert "Left out: 1 row without an image" in notes_of(found)
    with pytest.raises(ValueError, match="'a' is labelled twice, in two ways"):
        labelled(tmp_path, [rows[0], rows[0] | {"gender": "woman"}])
    with pytest.raises(ValueError, match="by one annotator"):
        labelled(tmp_path, [rows[0] | {"annotator": 1}, rows[0] | {"gender": "woman", "annotator": 1}])
    with pytest.raises(ValueError, match="'a' has more than one prompt"):
        labelled(tmp_path, [rows[0] | {"annotator": 1}, rows[0] | {"prompt": "a clerk", "annotator": 2}])


def test_arms_and_seeds_make_a_paired_comparison(tmp_path: Path) -> None:
    rows = [
        {"image": f"{arm}{seed}", "prompt": "a photo of a cook", "arm": arm, "seed": seed, "gender": gender}
        for seed in range(10)
        for arm, gender in (("base", "male"), ("fair", "female" if seed % 2 else "male"))
    ]
    found = labelled(tmp_path, rows, arms=("base", "fair"))
    compared = found.compare("gender")
    assert (compared.changed.value, compared.changed.n, compared.difference.value) == (0.5, 10, -1)
    assert found.keywords == ["cook"]
    with pytest.raises(ValueError, match="an arm is 'base'"):
        labelled(tmp_path, rows)


def test_own_attributes_and_columns(tmp_path: Path) -> None:
    rows = {"Answer.look": ["old", "Young", "elderly"], "what": ["cook"] * 3, "n": [1, 0, 2]}
    found = labelled(
        tmp_path,
        rows,
        attributes={"age": {"young": ["young"], "old": ["old", "elderly"]}},
        columns={"age": "answer.Look", "keyword": "what", "faces": "n"},
    )
    line = found.table("age").iloc[0]
    assert (line["old_count"], line["young_count"], line["no_face"], line["several"]) == (2, 0, 1, 1)


def test_images_are_shown_where_they_lie(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    found = labelled(tmp_path, LABELS | {"image": ["1.png", "2.png", "3.png"]}, images=tmp_path)
    assert report(found, tmp_path / "r.html").read_text("utf-8").count("data:image/png;base64,") == 2
    with pytest.raises(FileNotFoundError, match="is no folder"):
        labelled(tmp_path, LABELS, images=tmp_path / "gone")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read as a table"),
        (b"keyword,gender\n", "has no rows"),
        (b"keyword,Gender,gender\ncook,man,man\n", "two columns of one name"),
        (b"keyword,sex\ncook,man\n", "no column is called gender or race"),
        (b"image,gender\n1,man\n", "no column is called prompt or caption or text, or keyword"),
        ("keyword,gender\nMüller,man\n".encode("latin-1"), "not in UTF-8"),
        (b'keyword,gender\n"cook,man\n', "cannot be read as a table"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "l.csv").write_bytes(content)
    with pytest.raises(ValueError, match=says):
        audit_labels(tmp_path / "l.csv", out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_json_lines_keep_long_seeds(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"keyword": "cook", "seed": 8927882883545273018}\n\n{"keyword": "cook"}\n')
    assert list(read_table(tmp_path / "a.jsonl")["seed"]) == ["8927882883545273018", None]
    (tmp_path / "a.jsonl").write_text('{"keyword": "cook"}\n{torn')
    with pytest.raises(ValueError, match="cannot be read as a table"):
        read_table(tmp_path / "a.jsonl")


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "gone.csv")
    for name in ("x.xlsx", "x"):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=r"use \.csv, \.tsv, \.jsonl or \.parquet"):
            read_table(tmp_path / name)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        read_table(tmp_path / "x.parquet")
    (tmp_path / "l.csv").write_text("keyword,gender\ncook,man\n")
    with pytest.raises(ValueError, match="has no column 'g'"):
        read_table(tmp_path / "l.csv", {"gender": "g"})


def test_an_image_without_a_prompt_is_left_out_and_told(tmp_path: Path) -> None:
    found = labelled(tmp_path, {"prompt": ["a cook", None, ""], "gender": "man", "seed": [1, None, 2]})
    assert len(found.rows) == 1
    assert "Left out: 2 images with neither a prompt nor a keyword." in notes_of(found)


def test_attributes_without_a_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no column 'race'"):
        labelled(tmp_path, LABELS, attributes=["gender", "race"])


def test_semicolons_tabs_and_spaces_around_cells(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(" Keyword ;Gender\n cook; man \n", encoding="utf-8-sig")
    (tmp_path / "a.tsv").write_text("keyword\tgender\ncook\tman\n")
    for name in ("a.csv", "a.tsv"):
        table = read_table(tmp_path / name)
        assert (table["keyword"].item(), table["gender"].item()) == ("cook", "man")


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), (7, 7), ("7.0", 7), (2**64, 2**64), (str(2**64), 2**64), ("-1", None), ("x", None), (None, None),
     ("inf", None), ("nan", None), ("1.5", None)],
)  # fmt: skip
def test_whole_numbers(text: Any, number: int | None) -> None:
    assert whole_number(text) == number
