"""What a table holds, as one hash: the same for equal content, however it was written and by which version (§21)."""

import hashlib
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa


def layout_digest(frame: pl.DataFrame) -> str:
    """16 hex digits over the columns' names and types, in order: tables of one layout can be read as one."""
    return hashlib.sha256(_layout(frame)).hexdigest()[:16]


def content_digest(frame: pl.DataFrame) -> str:
    """SHA-256 in hex over columns, types, absences and every value in order.

    It says nothing of how a file encodes them. Raises TypeError for a column of a type that no table here has.
    """
    digest = hashlib.sha256(_layout(frame))
    digest.update(f"|{frame.height}".encode())
    plain = [_plain(name, kind) for name, kind in frame.schema.items()]
    if frame.is_empty():
        return digest.hexdigest()
    gaps = [series.name for series in frame.iter_columns() if series.null_count()]
    absent = frame.select(pl.col(gaps).is_null())
    for series in frame.select(plain).iter_columns():
        digest.update(np.packbits(absent[series.name].to_numpy()).tobytes() if series.name in gaps else b"-")
        for piece in _bytes_of(series):
            digest.update(piece)
    return digest.hexdigest()


def _layout(frame: pl.DataFrame) -> bytes:
    return "\x1f".join(f"{name}:{kind}" for name, kind in frame.schema.items()).encode()


def _plain(name: str, kind: pl.DataType) -> pl.Expr:
    """A column as numbers or bytes; what stands in the place of an absent value is always the same."""
    column = pl.col(name)
    if kind in (pl.String, pl.Binary):
        return column.cast(pl.Binary).fill_null(b"")
    if kind == pl.Null:
        return pl.lit(0, dtype=pl.UInt8).alias(name)
    if kind == pl.Boolean:
        return column.cast(pl.UInt8).fill_null(0)
    if kind.is_temporal():
        return column.to_physical().fill_null(0)
    if not kind.is_numeric() or kind.is_decimal():
        raise TypeError(f"column {name!r} is of type {kind}: an archive holds numbers, text, bytes and times")
    return column.fill_null(0)


def _bytes_of(series: pl.Series) -> tuple[Any, ...]:
    if series.dtype != pl.Binary:
        return (np.ascontiguousarray(series.to_numpy()).data.cast("B"),)
    found = series.rechunk().to_arrow().cast(pa.large_binary())
    array = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    _, offsets, content = array.buffers()
    places = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    lengths = np.ascontiguousarray(np.diff(places)).data.cast("B")
    if content is None or places[0] == places[-1]:
        return (lengths,)
    return lengths, memoryview(content)[int(places[0]) : int(places[-1])]
