"""Rows as Parquet, and back: small files of one block each, and one of all rows, written a piece at a time.

Cells (the groups that a prompt names) are JSON text in Parquet. In memory a text that many rows share is held once, so
that a column of them costs eight bytes a row.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import pandas as pd

    from .store import Place

__all__ = ["CELLS", "about", "decode", "encode", "from_frame", "rows_of", "schema", "to_frame", "write_all"]

CELLS = ("groups", "assigned", "mapped")
_NUMBERS = ("index", "seed", "bytes", "faces")
_KEY = b"fairmapping"
_ROW_GROUP = 16_384  # rows that writing holds in memory at once
_OPTIONS: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}


def schema(names: Iterable[str], about: Mapping[str, Any] | None = None) -> pa.Schema:
    """Of rows with these columns; ``<attribute>_p`` is a probability. ``about`` is kept with it, as JSON."""
    names = list(names)
    kinds = {name: pa.int64() if name in _NUMBERS else pa.string() for name in names}
    kinds |= {name: pa.float64() for name in names if name.endswith("_p") and name[:-2] in kinds}
    return pa.schema(kinds, metadata=None if about is None else {_KEY: json.dumps(about).encode()})


def encode(rows: Sequence[Mapping[str, Any]], columns: pa.Schema) -> bytes:
    """The Parquet file of these rows, with a checksum on every page."""
    plain = [{name: _text(name, row.get(name)) for name in columns.names} for row in rows]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(plain, schema=columns), file, **_OPTIONS)
    return file.getvalue()


def decode(data: bytes, name: str) -> pa.Table:
    """The rows of a Parquet file, its texts by number. Raises ValueError, naming it, for a damaged one."""
    try:
        found = pq.ParquetFile(io.BytesIO(data))
        texts = [field.name for field in found.schema_arrow if pa.types.is_string(field.type) and field.name != "image"]
        file = pq.ParquetFile(
            io.BytesIO(data), metadata=found.metadata, read_dictionary=texts, page_checksum_verification=True
        )
        return file.read()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{name} is no readable Parquet file ({str(error).splitlines()[0]})") from error


def about(table: pa.Table) -> dict[str, Any]:
    """What was kept with the rows."""
    return json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as plain values, cells as tuples."""
    return [{name: _cell(name, value) for name, value in row.items()} for row in table.to_pylist()]


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The rows as a DataFrame, cells as tuples; equal texts are one object."""
    import numpy as np
    import pandas as pd

    found: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        if not pa.types.is_dictionary(column.type):
            found[name] = column.to_pandas()
            continue
        whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        whole = whole if isinstance(whole, pa.DictionaryArray) else whole.chunk(0)
        values = np.empty(len(whole.dictionary) + 1, object)  # the last one for the rows without
        for index, value in enumerate(whole.dictionary.to_pylist()):
            values[index] = _cell(name, value)
        found[name] = pd.Series(values[whole.indices.fill_null(len(values) - 1).to_numpy()], dtype=object)
    return pd.DataFrame(found)


def from_frame(frame: pd.DataFrame) -> pa.Table:
    """A DataFrame as the rows of a Parquet file."""
    plain = frame.assign(**{name: [_text(name, cell) for cell in frame[name]] for name in CELLS if name in frame})
    return pa.Table.from_pandas(plain, preserve_index=False).replace_schema_metadata(None)


def write_all(place: Place, name: str, tables: Iterable[pa.Table], kept: Mapping[str, Any]) -> int:
    """One Parquet file of all tables, whole or not at all; no more than 16,384 rows are held at once."""
    total = 0
    with place.writing(name) as file:
        writer = None
        for table in _gathered(tables):
            plain = pa.schema({field.name: _plain_type(field.type) for field in table.schema})
            if writer is None:
                columns = plain.with_metadata({_KEY: json.dumps(kept).encode()})
                writer = pq.ParquetWriter(file, columns, **_OPTIONS)
            writer.write_table(table.cast(columns))
            total += len(table)
        if writer is None:
            raise ValueError(f"no rows to write to {place}/{name}")
        writer.close()
    return total


def _gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += len(table)
        if count >= _ROW_GROUP:
            yield pa.concat_tables(held, promote_options="default").unify_dictionaries()
            held, count = [], 0
    if held:
        yield pa.concat_tables(held, promote_options="default").unify_dictionaries()


def _plain_type(kind: pa.DataType) -> pa.DataType:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.string() if pa.types.is_null(kind) or pa.types.is_large_string(kind) else kind


def _text(name: str, value: Any) -> Any:
    return json.dumps(value) if name in CELLS else value


def _cell(name: str, value: Any) -> Any:
    if name not in CELLS:
        return value
    return tuple(tuple(item) if isinstance(item, list) else item for item in json.loads(value or "[]"))
