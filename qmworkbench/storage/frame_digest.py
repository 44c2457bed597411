"""What a table holds, as one hash: the same for equal content, however it was written and in however many pieces (§21).

Each column is hashed by itself, row after row, so that a table longer than memory is hashed as it passes by.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

# What a hash begins with: one that was made in another way is told from one of other content.
FORM: Final = "2-"


class FrameDigest:
    """The hash of a table that is given piece by piece; where the pieces begin and end makes no difference.

    Raises TypeError for a column of a type that no table here has, ValueError for a piece of another layout.
    """

    def __init__(self, schema: pl.Schema) -> None:
        self.rows = 0
        self.layout = hashlib.sha256(_layout(schema)).hexdigest()[:16]
        self._schema = schema
        self._plain = [_plain(name, kind) for name, kind in schema.items()]
        self._columns = [_Column() for _ in schema]

    def add(self, piece: pl.DataFrame) -> None:
        """Take the rows that follow."""
        if piece.schema != self._schema:
            raise ValueError(f"a piece of a table has columns {piece.schema}, the first one {self._schema}")
        if piece.is_empty():
            return
        self.rows += piece.height
        plain = piece.select(self._plain)
        for column, values, series in zip(self._columns, plain.iter_columns(), piece.iter_columns(), strict=True):
            column.absent(series)
            for hashed, content in zip((column.values, column.lengths), _bytes_of(values), strict=False):
                hashed.update(content)

    def content(self) -> str:
        """FORM and a SHA-256 in hex over columns, types, absences and every value in order."""
        whole = hashlib.sha256(_layout(self._schema) + f"|{self.rows}".encode())
        for column in self._columns:
            for part in column.parts():
                whole.update(part)
        return FORM + whole.hexdigest()


def layout_digest(frame: pl.DataFrame) -> str:
    """16 hex digits over the columns' names and types, in order: tables of one layout can be read as one."""
    return FrameDigest(frame.schema).layout


def content_digest(frame: pl.DataFrame) -> str:
    """The hash of a whole table; it says nothing of how a file encodes it. Raises TypeError as FrameDigest does."""
    return digest_of([frame]).content()


def digest_of(pieces: Iterable[pl.DataFrame]) -> FrameDigest:
    """The digest of a table's pieces, of which there is at least one."""
    found: FrameDigest | None = None
    for piece in pieces:
        if found is None:
            found = FrameDigest(piece.schema)
        found.add(piece)
    if found is None:
        raise ValueError("a table without a single piece has no columns either: give an empty frame")
    return found


class _Column:
    """The hashes of one column: its values, how long each text is, and which are absent."""

    def __init__(self) -> None:
        self.values = hashlib.sha256()
        self.lengths = hashlib.sha256()
        self._absent = hashlib.sha256()
        self._rest = np.empty(0, dtype=np.bool_)  # fewer than make a byte

    def absent(self, series: pl.Series) -> None:
        bits = np.concatenate([self._rest, series.is_null().to_numpy()])
        whole = len(bits) - len(bits) % 8
        self._absent.update(np.packbits(bits[:whole]).tobytes())
        self._rest = bits[whole:]

    def parts(self) -> tuple[bytes, ...]:
        absent = self._absent.copy()
        absent.update(np.packbits(self._rest).tobytes())
        return self.values.digest(), self.lengths.digest(), absent.digest()


def _layout(schema: pl.Schema) -> bytes:
    return "\x1f".join(f"{name}:{kind}" for name, kind in schema.items()).encode()


def _plain(name: str, kind: pl.DataType) -> pl.Expr:
    """A column as numbers or bytes; what stands in the place of an absent value is always the same."""
    column = pl.col(name)
    if kind in (pl.String, pl.Binary):
        return column.cast(pl.Binary).fill_null(b"")
    if kind == pl.Null:
        return column.is_null().cast(pl.UInt8)
    if kind == pl.Boolean:
        return column.cast(pl.UInt8).fill_null(0)
    if kind.is_temporal():
        return column.to_physical().fill_null(0)
    if not kind.is_numeric() or kind.is_decimal():
        raise TypeError(f"column {name!r} is of type {kind}: an archive holds numbers, text, bytes and times")
    return column.fill_null(0)


def _bytes_of(series: pl.Series) -> tuple[Any, ...]:
    """The values, and for texts their lengths."""
    if series.dtype != pl.Binary:
        return (np.ascontiguousarray(series.to_numpy()).data.cast("B"),)
    found = series.rechunk().to_arrow().cast(pa.large_binary())
    array = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    _, offsets, content = array.buffers()
    places = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    lengths = np.ascontiguousarray(np.diff(places)).data.cast("B")
    if content is None or places[0] == places[-1]:
        return b"", lengths
    return memoryview(content)[int(places[0]) : int(places[-1])], lengths
