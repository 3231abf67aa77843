"""What of a plan stands in a run, told by two small Parquet files a block: its rows as drawn, and as judged.

A file stands whole or not at all, and images are written before the rows that tell of them. So a block is done when its
files can be read and the images are there; anything else, damage included, is made again, to the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import runs, tables
from .judges import records
from .plan import Plan
from .store import Place, holder, picture, shard

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

__all__ = ["Ledger", "Rows"]

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Ledger:
    """A plan's blocks at a place. ``judge`` is its description, None where nothing is judged."""

    place: Place
    plan: Plan
    judge: Mapping[str, Any] | None = None

    def done(self, number: int) -> bool:
        drawn = self.drawn(number)
        return drawn is not None and (self.judge is None or self.judged(number, drawn))

    def drawn(self, number: int) -> Rows | None:
        """The rows of a block, if all of its images are the very files that were written."""
        table = self._read(self._rows(number), self._drawn_columns)
        if table is None:
            return None
        rows = tables.rows_of(table)
        digests = {holder(row["image"]): row["digest"] for row in rows}
        try:
            whole = all(_digest(self.place.read(name)) == digest for name, digest in digests.items())
        except FileNotFoundError:
            return None
        return rows if whole else None

    def judged(self, number: int, drawn: Rows) -> bool:
        """Whether the judge answered, to what is asked now, and to these very images."""
        table = self._read(self._answers(number), self._answer_columns)
        if table is None:
            return False
        there = [{name: row[name] for name in (*records.ASKED, "bytes")} for row in tables.rows_of(table)]
        sizes = [row["bytes"] for row in drawn]
        return there == [row | {"bytes": size} for row, size in zip(self.asked(number), sizes, strict=True)]

    def asked(self, number: int) -> list[dict[str, Any]]:
        """The rows of a block as a judge's answers name them."""
        return [{name: vars(row)[name] for name in records.ASKED} for row in self.plan.block(number)]

    def images(self, drawn: Rows) -> list[Image]:
        names = [row["image"] for row in drawn]
        archive = holder(names[0])
        files = {name: self.place.read(name) for name in names} if archive == names[0] else self.place.members(archive)
        return [picture(files[name], name) for name in names]

    def standing(self, number: int) -> dict[str, bytes]:
        """Image files of a block that can be read although no rows tell of them: those of a killed run, and those that
        a run with fewer prompts or images drew in another block. They stay as they are."""
        found: dict[str, bytes] = {}
        if self.plan.order.store == "webdataset":  # where a shard is one block's
            return found
        for row in self.plan.block(number):
            try:
                data = self.place.read(row.image)
                picture(data, row.image).load()
                found[row.image] = data
            except (ValueError, FileNotFoundError):
                continue
        return found

    def keep(self, number: int, pngs: Sequence[bytes], standing: Mapping[str, bytes]) -> Rows:
        """Write the images of a block that do not stand yet, then its rows, and return these."""
        block = self.plan.block(number)
        if self.plan.order.store == "webdataset":
            files = {holder(block[0].image): shard(_samples(block, pngs))}
        else:
            files = {row.image: data for row, data in zip(block, pngs, strict=True)}
        for name, data in files.items():
            if name not in standing:
                self.place.write(name, data)
        rows = [
            vars(row) | {"bytes": len(files[holder(row.image)]), "digest": _digest(files[holder(row.image)])}
            for row in block
        ]
        self.place.write(self._rows(number), tables.encode(rows, self._drawn_columns))
        return rows

    def keep_answers(self, number: int, drawn: Rows, answers: Rows) -> None:
        rows = [dict(row) | {"bytes": image["bytes"]} for row, image in zip(answers, drawn, strict=True)]
        self.place.write(self._answers(number), tables.encode(rows, self._answer_columns))

    def answers(self, numbers: Iterable[int]) -> Iterator[pa.Table]:
        """Those to each of these blocks, in order. Raises ValueError where one is missing."""
        for number in numbers:
            table = self._read(self._answers(number), self._answer_columns)
            if table is None:
                raise ValueError(
                    f"{self.place}/{self._answers(number)} is missing: workers on other machines need an address that "
                    "all of them see, such as s3://; if it was removed just now, call again"
                )
            yield table

    def _read(self, name: str, columns: pa.Schema) -> pa.Table | None:
        try:
            table = tables.decode(self.place.read(name), f"{self.place}/{name}")
        except (FileNotFoundError, ValueError):  # damaged is as good as missing: it is made again
            return None
        return table if table.column_names == columns.names else None

    @property
    def _drawn_columns(self) -> pa.Schema:
        return tables.schema(runs.COLUMNS)

    @property
    def _answer_columns(self) -> pa.Schema:
        assert self.judge is not None
        return records.columns(records.ASKED, self.judge)

    def _rows(self, number: int) -> str:
        return f"rows/{self.plan.arm}/{self.plan.name(number)}.parquet"

    def _answers(self, number: int) -> str:
        assert self.judge is not None
        return f"{records.parts_of(self.judge)}/{self.plan.arm}-{self.plan.name(number)}.parquet"


def _samples(block: Sequence[runs.Row], pngs: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Of each image its PNG and its row, under one name."""
    for row, data in zip(block, pngs, strict=True):
        member = row.image.removeprefix(holder(row.image)).lstrip("/")
        yield member, data
        yield member.removesuffix(".png") + ".json", runs.to_json(row).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
