"""Rows that are worked out when asked for."""

from __future__ import annotations

import pytest
import quick

from fairmapping.plan import Order, Plan


def plan(count: int = 14, **options: object) -> Plan:
    return Plan(Order(quick.PROMPTS, count, batch_size=4, store="files", **options))  # type: ignore[arg-type]


def test_rows_are_a_sequence_by_prompt_then_index() -> None:
    rows = plan()
    assert len(rows) == len(list(rows)) == 42
    assert list(rows) == [rows[index] for index in range(42)] == rows[:]
    assert rows[-1] == rows[41]
    assert [(row.keyword, row.index) for row in rows[12:16]] == [
        ("doctor", 12),
        ("doctor", 13),
        ("nurse", 0),
        ("nurse", 1),
    ]
    assert [len(rows.block(number)) for number in rows.blocks] == [4] * 10 + [2]
    with pytest.raises(IndexError):
        rows[42]


def test_ten_million_rows_cost_nothing_until_they_are_asked_for() -> None:
    rows = plan(10_000_000)
    assert len(rows) == 30_000_000
    assert rows[-1].image.endswith("/9999999.png")
    assert rows[12_345_678] == plan(10_000_000)[12_345_678]


def test_a_block_is_named_by_what_it_draws() -> None:
    names = [plan().name(number) for number in plan().blocks]
    assert len(set(names)) == 11
    assert names == [plan(seed=5).name(number) for number in plan().blocks]
    other = [plan(15).name(number) for number in plan().blocks]
    assert [a == b for a, b in zip(names, other, strict=True)] == [True] * 3 + [False] * 8


def test_a_shard_is_named_like_its_block() -> None:
    rows = Plan(Order(quick.PROMPTS, 14, batch_size=4, store="webdataset"))
    assert rows[5].image.startswith(f"shards/raw/{rows.name(1)}.tar/a-portrait-of-a-doctor-")
    with pytest.raises(ValueError, match="store is 'zip'; give files or webdataset"):
        Plan(Order(quick.PROMPTS, store="zip"))
