from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest

from fairmapping.prompts import (
    DEFAULT_TEMPLATES,
    Attribute,
    Group,
    Prompt,
    neutral,
    resolve_attributes,
    resolve_keywords,
    specific,
    with_article,
)

AN = """
    asian doctor; hour; honest man; heiress; honorary member; IT specialist; it specialist; HR manager; MRI
    technician; FBI agent; x-ray technician; X-ray technician; F1 driver; A-list actor; e-sports player; urban
    planner; uber driver; umpire; usher; unpaid intern; uninsured driver; unimpressed person; 8-year-old;
    11-year-old; 18-year-old; 80; 11000; oncologist; engineer; astonished person; élite cook; Österreicher; Ärztin;
    “honest” man; (old) man; HVAC installer; iOS developer; LGBT activist; MP3 seller; old asian female doctor
"""
A = """
    european; one-man band; one-eyed man; once-famous singer; doctor; user; used car salesman; university teacher;
    union representative; unicorn; united worker; urologist; utility worker; ukulele player; Ukrainian; ubiquitous
    person; UFC fighter; UX designer; U.S. marshal; USA fan; U-boat captain; T-shirt seller; CEO; NASA engineer;
    SWAT officer; UNESCO envoy; 3D artist; 1; 110; 180; 7-year-old; hospital worker; happy person; house painter;
    FARMER; COVID-19 nurse; médico; 医者; врач; طبيب; young person; tv host; PhD student; eulogist; female engineer
"""


def words(block: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in block.split(";")]


@pytest.mark.parametrize("phrase", words(AN))
def test_an(phrase: str) -> None:
    assert with_article(phrase) == f"an {phrase}"


@pytest.mark.parametrize("phrase", words(A))
def test_a(phrase: str) -> None:
    assert with_article(phrase) == f"a {phrase}"


def test_article_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        with_article(" \t ")


def test_neutral_rows_go_by_keyword_then_template() -> None:
    rows = neutral(["engineer", "nurse"], ["a photo of {}", "{} at work"])
    assert [row.text for row in rows] == [
        "a photo of an engineer",
        "an engineer at work",
        "a photo of a nurse",
        "a nurse at work",
    ]
    assert [row.keyword for row in rows] == ["engineer", "engineer", "nurse", "nurse"]
    assert all(row.is_neutral and row.groups == () and row.group("gender") is None for row in rows)
    assert rows[1].template == "{} at work"


def test_specific_takes_one_attribute_at_a_time() -> None:
    rows = specific(["doctor"], ["gender", "race"], ["a portrait of {}"])
    assert [row.text for row in rows] == [
        "a portrait of a female doctor",
        "a portrait of a male doctor",
        "a portrait of an asian doctor",
        "a portrait of a black doctor",
        "a portrait of a hispanic doctor",
        "a portrait of a white doctor",
    ]
    assert rows[0].groups == (("gender", "female"),)
    assert rows[0].group("gender") == "female" and rows[0].group("race") is None and not rows[0].is_neutral
    assert all(row.keyword == "doctor" for row in rows)


@pytest.mark.parametrize("order", list(itertools.permutations(["gender", "race"])))
def test_joint_says_race_before_gender_however_they_were_given(order: tuple[str, str]) -> None:
    rows = specific(["doctor"], list(order), ["a portrait of {}"], joint=True)
    assert len(rows) == 8 and len({row.text for row in rows}) == 8
    assert "a portrait of an asian female doctor" in {row.text for row in rows}
    assert [name for name, _ in rows[0].groups] == list(order)
    assert {(row.group("gender"), row.group("race")) for row in rows} == set(
        itertools.product(("female", "male"), ("asian", "black", "hispanic", "white"))
    )


def test_joint_order_of_adjectives() -> None:
    age = {"age": {"young": ["young"], "old": ["old", "elderly"]}}
    rows = specific(["clerk"], ["gender", age, "race", {"build": ["tall", "short"]}], ["{}"], joint=True)
    assert rows[0].text == "a tall young asian female clerk"
    assert len(rows) == 2 * 2 * 4 * 2


@pytest.mark.parametrize("joint", [False, True])
def test_specific_rows_line_up_with_neutral_ones(joint: bool) -> None:
    keywords, templates = ["doctor", "artist", "IT specialist"], DEFAULT_TEMPLATES
    plain = neutral(keywords, templates)
    made = specific(keywords, ["gender", "race"], templates, joint)
    size = len(made) // len(plain)
    assert len(plain) == len(keywords) * len(templates) and size == (8 if joint else 6)
    for i, row in enumerate(made):
        assert (row.keyword, row.template) == (plain[i // size].keyword, plain[i // size].template)
        assert row.groups == made[i % size].groups
    texts = [row.text for row in plain + made]
    assert len(set(texts)) == len(texts)


def test_default_templates_make_good_english() -> None:
    assert DEFAULT_TEMPLATES[0] == "a portrait of {}"
    assert neutral("emotions")[0].text == "a portrait of a calm person"
    assert len(neutral("occupations")) == 153 * len(DEFAULT_TEMPLATES)


def test_words_alone_serve_plurals_and_other_languages() -> None:
    gender = {"Geschlecht": {"weiblich": ["weibliche"], "männlich": ["männliche"]}}
    rows = specific(["Lehrkraft"], gender, ["ein Porträt: {words}"])
    assert [row.text for row in rows] == ["ein Porträt: weibliche Lehrkraft", "ein Porträt: männliche Lehrkraft"]
    assert neutral(["医者", "طبيب"], "{words}")[0].text == "医者"


def test_braces_in_a_keyword_are_text() -> None:
    assert neutral(["{} {0} %s coder"], ["a photo of {}"])[0].text == "a photo of a {} {0} %s coder"


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ([], "no templates"),
        (["a portrait"], "must hold"),
        (["{} and {}"], "must hold"),
        (["{} and {words}"], "must hold"),
        (["a photo of a {}"], "article before"),
        (["The {}"], "article before"),
        (["a photo of {}", "a photo of {}"], "twice"),
    ],
)
def test_templates_that_would_spoil_prompts_are_refused(templates: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        neutral(["doctor"], templates)


def test_template_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="template must be a str, got int 3"):
        neutral(["doctor"], [3])  # type: ignore[list-item]


def test_rows_are_frozen_and_hashable() -> None:
    row = neutral(["doctor"])[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.text = "other"  # type: ignore[misc]
    assert row == Prompt("a portrait of a doctor", "doctor", (), "a portrait of {}")
    assert len({row, neutral(["doctor"])[0]}) == 1


# Keywords from everywhere


def test_keywords_keep_their_order_and_lose_stray_space() -> None:
    assert resolve_keywords([" police \t officer\n", "Médecin", "医者"]) == ["police officer", "Médecin", "医者"]
    assert resolve_keywords(word for word in ("a-cappella singer", "thespian")) == ["a-cappella singer", "thespian"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("k.txt", "# my list\ndoctor\n\n  nurse  # both\nDJ\n"),
        ("k.csv", "doctor\nnurse\nDJ\n"),
        ("k.csv", "id,Keyword\n1,doctor\n2,nurse\n\n3,DJ\n"),
        ("k.csv", 'occupation;share\n"doctor";1,5\nnurse;2,5\nDJ;3\n'),
        ("k.csv", "occupation\tshare\ndoctor\t1\nnurse\t2\nDJ\t3\n"),
        ("k.json", '["doctor", "nurse", "DJ"]'),
        ("K.JSON", '{"keywords": ["doctor", "nurse", "DJ"]}'),
        ("k.toml", 'keywords = ["doctor", "nurse", "DJ"]'),
    ],
)
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_keyword_files(tmp_path: Path, name: str, content: str, bom: str, ends: str) -> None:
    path = tmp_path / name
    path.write_bytes((bom + content.replace("\n", ends)).encode("utf-8"))
    assert resolve_keywords(path) == resolve_keywords(str(path)) == ["doctor", "nurse", "DJ"]


def test_non_english_file(tmp_path: Path) -> None:
    path = tmp_path / "métiers.txt"
    path.write_text("médecin\nинженер\n看護師\nمهندس\n", encoding="utf-8")
    assert [row.text for row in neutral(path, ["photo: {words}"])][2] == "photo: 看護師"


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ([], ValueError, "no keywords"),
        (["doctor", " "], ValueError, "keyword 2 is empty"),
        (["Doctor", "nurse", "doctor"], ValueError, "'doctor' is given twice .as number 1 and number 3"),
        (["x" * 10_000], ValueError, "10000 characters, more than 200"),
        (["a doctor"], ValueError, "begins with an article"),
        (["The  doctor"], ValueError, "begins with an article"),
        (["doc\x00tor"], ValueError, "control character"),
        (["doc\ud800tor"], ValueError, "control character"),
        ([3], TypeError, "keyword 1 must be a str, got int 3"),
        ([b"doctor"], TypeError, "got bytes"),
        ([None], TypeError, "got NoneType"),
        ({"doctor": 1}, TypeError, "got dict"),
        (7, TypeError, "got int"),
        ("ocupations", FileNotFoundError, "did you mean 'occupations'"),
        ("nowhere.csv", FileNotFoundError, "packaged: occupations, further, emotions"),
        ("", FileNotFoundError, "no file"),
        ("x" * 10_000, FileNotFoundError, "10000 characters"),
        ("nul\x00.txt", FileNotFoundError, "no file"),
    ],
)
def test_bad_keywords(source: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        resolve_keywords(source)  # type: ignore[arg-type]
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("k.csv", b"", "no keywords in"),
        ("k.txt", b"# only this\n", "no keywords in"),
        ("k.csv", b"job,share\ndoctor,1\n", "columns job, share; name the one"),
        ("k.csv", b'keyword\n"doctor\n', "not a valid CSV"),
        ("k.csv", b"id,keyword\n1,doctor\n2\n", "keyword 2 in .* is empty"),
        ("k.txt", "médecin".encode("latin-1"), "not UTF-8"),
        ("k.json", b"[1,", "not valid JSON"),
        ("k.json", b'{"words": []}', "no list of keywords"),
        ("k.toml", b"keywords = ", "not valid TOML"),
        ("k.toml", b'keywords = "doctor"', "no list of keywords"),
        ("k.yaml", b"- doctor", "ending is .yaml"),
        ("k", b"doctor", "ending is missing"),
    ],
)
def test_bad_keyword_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        resolve_keywords(tmp_path / name)


# Attributes from everywhere

AGE = Attribute("age", (Group("young", ("young",)), Group("old", ("old", "elderly"))))


def test_attributes_from_every_source(tmp_path: Path) -> None:
    table = {"age": {"young": ["young"], "old": ["old", "elderly"]}}
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(table), encoding="utf-8")
    (tmp_path / "a.toml").write_text('[age]\nyoung = "young"\nold = ["old", "elderly"]\n', encoding="utf-8")
    (tmp_path / "a.csv").write_text(
        "\ufeffattribute,group,word\nage,young,young\nage,old,old\nage,old,elderly\n", encoding="utf-8"
    )
    for source in (AGE, [AGE], table, [table], tmp_path / "a.json", str(tmp_path / "a.toml"), tmp_path / "a.csv"):
        assert resolve_attributes(source) == [AGE]
    mixed = resolve_attributes(["race", AGE, {"build": ["tall", "short"]}])
    assert [attribute.name for attribute in mixed] == ["race", "age", "build"]
    assert mixed[2].groups == (Group("tall", ("tall",)), Group("short", ("short",)))
    assert mixed[0].group_names == ("asian", "black", "hispanic", "white")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ([], ValueError, "no attributes"),
        ({}, ValueError, "no attributes"),
        ("gendre", FileNotFoundError, "did you mean 'gender'"),
        ("", FileNotFoundError, "no file"),
        (["gender", "gender"], ValueError, "attribute 'gender' is given twice"),
        ({"age": {"old": ["old"]}}, ValueError, "at least two groups .* got: old"),
        ({"age": {}}, ValueError, "got: none"),
        ({"age": ["old", "Old"]}, ValueError, "given twice"),
        ({"age": {"old": ["old"], "young": []}}, ValueError, "no words"),
        ({"age": {"old": ["old"], "young": [""]}}, ValueError, "is empty"),
        ({"age": {"old": ["aged"], "ancient": ["aged"]}}, ValueError, "word of attribute 'age' 'aged' is given twice"),
        ({"age": {"old": 3, "young": ["young"]}}, TypeError, "words of group 'old'"),
        ({"age": {"old": [3], "young": ["young"]}}, TypeError, "must be a str, got int 3"),
        ({"age": "old"}, TypeError, "must be a dict or a list"),
        ({3: ["old", "young"]}, TypeError, "attribute name must be a str"),
        (3, TypeError, "got int 3"),
        ([None], TypeError, "got NoneType"),
    ],
)
def test_bad_attributes(source: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        resolve_attributes(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "group,word\nold,old\n", "must have the columns attribute, group and word, got: group, word"),
        ("a.csv", "attribute,group,word\nage,old\n", "empty"),
        ("a.json", "[1]", "must map attributes to groups"),
        ("a.ini", "[age]", "ending is .ini"),
    ],
)
def test_bad_attribute_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        resolve_attributes(tmp_path / name)


def test_group_refuses_a_string_for_its_words() -> None:
    with pytest.raises(TypeError, match="must be a tuple of words"):
        Group("old", "old")  # type: ignore[arg-type]


def test_a_hash_inside_a_word_is_no_comment(tmp_path: Path) -> None:
    (tmp_path / "k.txt").write_text("C# developer  # by name\n#nothing\nnurse\n", encoding="utf-8")
    assert resolve_keywords(tmp_path / "k.txt") == ["C# developer", "nurse"]
