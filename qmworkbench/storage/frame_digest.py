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
    for series in frame.iter_columns():
        absent = series.is_null().to_numpy()
        digest.update(np.packbits(absent).tobytes() if series.null_count() else b"-")
        for piece in _values(series):
            digest.update(piece)
    return digest.hexdigest()


def _layout(frame: pl.DataFrame) -> bytes:
    return "\x1f".join(f"{name}:{kind}" for name, kind in frame.schema.items()).encode()


def _values(series: pl.Series) -> tuple[Any, ...]:
    """The values as bytes; what stands in the place of an absent one is always the same."""
    kind = series.dtype
    if kind in (pl.String, pl.Binary):
        return _lengths_and_bytes(series.cast(pl.Binary).fill_null(b""))
    if kind == pl.Null:
        return ()
    if kind == pl.Boolean:
        series = series.cast(pl.UInt8)
    elif kind.is_temporal():
        series = series.to_physical()
    elif not kind.is_numeric() or kind.is_decimal():
        raise TypeError(f"column {series.name!r} is of type {kind}: an archive holds numbers, text, bytes and times")
    return (np.ascontiguousarray(series.fill_null(0).to_numpy()).data.cast("B"),) if len(series) else ()


def _lengths_and_bytes(series: pl.Series) -> tuple[Any, ...]:
    if series.is_empty():
        return ()
    found = series.rechunk().to_arrow().cast(pa.large_binary())
    array = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    _, offsets, content = array.buffers()
    places = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    lengths = np.ascontiguousarray(np.diff(places)).data.cast("B")
    if content is None or places[0] == places[-1]:
        return (lengths,)
    return lengths, memoryview(content)[int(places[0]) : int(places[-1])]
