"""The files an addition is made of, and their rows block by block, however long they are (§5 Data Check)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from qmworkbench.market.adding.text_files import Kind, text_blocks
from qmworkbench.market.findings import sample_of
from qmworkbench.market.schema import open_parquet
from qmworkbench.market.store.manifest import is_store, store_refused

# So many rows of a file are held at a time.
BLOCK_ROWS: Final = 1_000_000
# Text files name no instrument where there is one a file; this asks for the file's name up to its first dot.
BY_FILE_NAME: Final = "@file"
_ENDINGS: Final = (".parquet", ".csv", ".txt", ".csv.gz", ".txt.gz")


@dataclass(frozen=True)
class TextReading:
    """How text files are read: the kind, the instrument where no column names it, the zone of times without one."""

    kind: Kind = "auto"
    symbol: str | None = None
    zone: str | None = None


def bar_files(given: Path) -> list[Path]:
    """The files that are meant: the one, or whatever bar files a directory holds, at any depth, by name.

    Raises DataRefused where there is none.
    """
    if is_store(given):
        raise store_refused("nothing_to_add", "this is a bar store itself, and no source of one.", given)
    if not given.is_dir():
        return [given]
    inside = sorted(path for path in given.rglob("*") if path.name.lower().endswith(_ENDINGS) and path.is_file())
    if not inside:
        raise store_refused("nothing_to_add", f"it holds no file that ends in {', '.join(_ENDINGS)}.", given)
    return inside


def symbol_of(path: Path, asked: str | None) -> str | None:
    """The instrument of a text file that names none: as asked for, or the file's own name up to its first dot."""
    return path.name.partition(".")[0] if asked == BY_FILE_NAME else asked


def blocks_of(path: Path, reading: TextReading) -> Iterator[pl.DataFrame]:
    """A file's rows in the documented schema, in its order, a block at a time; `spread` where it knows quotes.

    Raises DataRefused as the readers do, and for a row without symbol or time: no part would be its own.
    """
    if path.suffix == ".parquet":
        found = open_parquet(path).blocks(BLOCK_ROWS)
    else:
        symbol = symbol_of(path, reading.symbol)
        found = text_blocks(path, kind=reading.kind, symbol=symbol, zone=reading.zone)
    for rows in found:
        lost = rows.filter(pl.col("symbol").is_null() | pl.col("ts").is_null() | (pl.col("symbol") == ""))
        if lost.height:
            message = "rows have no symbol or no time."
            raise store_refused("unplaced_rows", message, path, rows=lost.height, sample=sample_of(lost))
        yield rows
