"""Rows on their way from files to parts: what does not fit in memory waits on disk, by part (§5 Data Check)."""

from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

# So many rows are held in memory; beyond that they are written out.
HELD_ROWS: Final = 4_000_000
_PART: Final = "part"


class _Piece(NamedTuple):
    """Where some rows of one part lie on disk."""

    file: Path
    offset: int
    length: int


class Spill:
    """Takes rows in any order, with the first day of their part in a column `part`, and gives them back by part.

    A file in order of symbol holds every date many times over. So it is gone through once, and its rows put down by
    part, instead of once for every part. `folder` is there already, and its owner's to remove.
    """

    def __init__(self, folder: Path, held_rows: int = HELD_ROWS) -> None:
        self._folder = folder
        self._held_rows = held_rows
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0
        self._pieces: dict[date, list[_Piece]] = {}
        self._kept: dict[date, pl.DataFrame] = {}
        self._files = 0

    def take(self, rows: pl.DataFrame) -> None:
        """Take in rows; they come out of `rows_of` in the order in which they came."""
        self._waiting.append(rows)
        self._rows += rows.height
        if self._rows >= self._held_rows:
            self._write_out()

    def parts(self) -> list[date]:
        """The first days of the parts there are rows of, in order. From here on nothing more is taken."""
        self._kept = self._by_part()
        return sorted({*self._pieces, *self._kept})

    def rows_of(self, part: date) -> pl.DataFrame:
        """A part's rows, once: what was held of them is let go."""
        found = [self._read(piece) for piece in self._pieces.get(part, ())]
        if part in self._kept:
            found.append(self._kept.pop(part))
        return pl.concat(found, how="diagonal")

    def _by_part(self) -> dict[date, pl.DataFrame]:
        if not self._waiting:
            return {}
        rows = pl.concat(self._waiting, how="diagonal")
        self._waiting, self._rows = [], 0
        apart = rows.partition_by(_PART, maintain_order=True, include_key=False, as_dict=True)
        return {day: part for (day,), part in apart.items()}

    def _write_out(self) -> None:
        file = self._folder / f"{self._files:06}.arrows"
        self._files += 1
        with file.open("wb") as stream:
            for part, rows in self._by_part().items():
                offset = stream.tell()
                rows.write_ipc_stream(stream, compression="lz4")
                self._pieces.setdefault(part, []).append(_Piece(file, offset, stream.tell() - offset))

    @staticmethod
    def _read(piece: _Piece) -> pl.DataFrame:
        with piece.file.open("rb") as stream:
            stream.seek(piece.offset)
            return pl.read_ipc_stream(BytesIO(stream.read(piece.length)))
