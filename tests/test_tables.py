"""Rows to Parquet and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from fairmapping import tables
from fairmapping.store import Place

CELL = (("gender", "female"), ("race", "black"))
ROWS: list[dict[str, Any]] = [
    {"image": "a", "keyword": "Süß", "groups": CELL, "mapped": ("gender",), "seed": 2**62, "gender": None},
    {"image": "b", "keyword": "", "groups": (), "mapped": (), "seed": 0, "gender": "female"},
]
for row in ROWS:
    row["gender_p"] = row["gender"] and 0.5


def parquet() -> bytes:
    return tables.encode(ROWS, tables.schema(ROWS[0], {"judge": "x"}))


def test_rows_come_back() -> None:
    table = tables.decode(parquet(), "x")
    assert tables.rows_of(table) == ROWS
    assert tables.about(table) == {"judge": "x"}
    frame = tables.to_frame(table)
    assert frame["groups"].tolist() == [CELL, ()]
    assert frame["gender"].tolist() == [None, "female"]
    assert frame["gender_p"].isna().tolist() == [True, False]
    assert tables.rows_of(tables.from_frame(frame)) == ROWS


def test_equal_texts_are_one_object() -> None:
    many = tables.decode(tables.encode(ROWS[1:] * 100, tables.schema(ROWS[0])), "x")
    frame = tables.to_frame(many)
    assert len({id(value) for value in frame["gender"]}) == len({id(value) for value in frame["groups"]}) == 1


def test_anyone_can_read_it(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(parquet())
    assert pd.read_parquet(tmp_path / "x.parquet")["groups"].tolist() == [
        '[["gender", "female"], ["race", "black"]]',
        "[]",
    ]


@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: d[:-1], lambda d: d[:40] + b"\0\0\0\0" + d[44:]])
def test_damage_is_told(damage: Any) -> None:
    with pytest.raises(ValueError, match="some/x is no readable Parquet file"):
        tables.decode(damage(parquet()), "some/x")


def test_many_tables_make_one_file(tmp_path: Path) -> None:
    place = Place(tmp_path)
    part = tables.decode(parquet(), "x")
    assert tables.write_all(place, "all.parquet", [part] * 1000, {"judge": "y"}) == 2000
    found = tables.decode(place.read("all.parquet"), "all")
    assert tables.about(found) == {"judge": "y"}
    assert tables.rows_of(found)[-2:] == ROWS
    assert pq.read_metadata(tmp_path / "all.parquet").num_row_groups == 1
    with pytest.raises(ValueError, match="no rows"):
        tables.write_all(place, "none.parquet", [], {})
    assert not place.exists("none.parquet")
