"""A table in pieces: written and read as Parquet with one piece in memory, however long the table is (§5, §21).

Whoever makes pieces gives at least one, an empty one for a table without rows, and all of one layout.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from qmworkbench.storage.frame_digest import FrameDigest

ROWS: Final = 1 << 16
LEVEL: Final = 9  # zstd: an archive is written once, and kept
Pieces = Iterable[pl.DataFrame]


def cut(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """A table that is in memory, in pieces."""
    yield from frame.iter_slices(ROWS) if frame.height else iter((frame,))


def write(path: Path, pieces: Pieces, metadata: Mapping[str, str], *, level: int = LEVEL) -> FrameDigest:
    """Write pieces as Parquet (zstd), a row group for each; returns the digest of what was given. Not yet durable.

    Raises OSError where the disk refuses.
    """
    told = {key.encode(): value.encode() for key, value in metadata.items()}
    writer: pq.ParquetWriter | None = None
    digest: FrameDigest | None = None
    try:
        for piece in pieces:
            table = piece.to_arrow()
            if writer is None or digest is None:
                digest = FrameDigest(piece.schema)
                schema = table.schema.with_metadata(told)
                writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=level)
            digest.add(piece)
            if piece.height:
                writer.write_table(table.replace_schema_metadata(told))
    finally:
        if writer is not None:
            writer.close()
    if digest is None:
        raise ValueError(f"{path}: a table without a single piece has no columns: give an empty frame")
    return digest


def read(source: str | Path) -> Iterator[pl.DataFrame]:
    """A Parquet file's rows in order, piece by piece; what polars says of a file it cannot read comes as it is."""
    yield from scanned(pl.scan_parquet(source, glob=False, hive_partitioning=False))


def scanned(lazy: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The rows of a scan in order, piece by piece."""
    empty = True
    for piece in lazy.collect_batches(chunk_size=ROWS, maintain_order=True, engine="streaming"):
        empty = False
        yield piece
    if empty:
        yield lazy.collect_schema().to_frame()
