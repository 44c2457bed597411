"""A closed session's bars as Parquet: the documented bar schema, and what it takes to give every frame back (§17)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from qmworkbench.storage.atomic import appearing
from qmworkbench.storage.bar_segments import PRICES, Shape
from qmworkbench.storage.refused import StorageRefused, StoreDamaged
from qmworkbench.storage.times import stored_time
from qmworkbench.trading.frames import BarFrame

_KEY = "qmworkbench.bars"
_TS = pl.Datetime("us", "UTC")


class _Boundary(msgspec.Struct, array_like=True):
    as_of: datetime
    rows: int
    frame_hash: str
    extended: bool


class _Index(msgspec.Struct):
    """What Parquet's columns do not say: boundaries without bars, the universe's order, the hashes."""

    symbols: tuple[str, ...]
    interval_s: int
    boundaries: list[_Boundary]


def table(shape: Shape, frames: Sequence[BarFrame]) -> pl.DataFrame:
    """Frames as one table: symbol, ts (the bar's open time), open … volume, extended; in boundary order."""
    rows = [len(frame) for frame in frames]
    positions = _joined([frame.index for frame in frames], np.int32)
    opened = [frame.as_of - timedelta(seconds=shape.interval_s) for frame in frames]
    per_frame = pl.DataFrame(
        {"ts": opened, "extended": [frame.extended for frame in frames]}, schema={"ts": _TS, "extended": pl.Boolean}
    )
    repeated = per_frame[np.repeat(np.arange(len(frames)), rows)]
    columns = {
        name: pl.Series(name, _joined([getattr(frame, name) for frame in frames], np.float64)) for name in PRICES
    }
    symbols = pl.Series("symbol", shape.symbols, dtype=pl.String).gather(pl.Series(positions, dtype=pl.UInt32))
    return pl.DataFrame([symbols, repeated["ts"], *columns.values(), repeated["extended"]])


def write(path: Path, shape: Shape, frames: Sequence[BarFrame]) -> None:
    """Write frames as Parquet (zstd), read them back, and only then let the file appear. Raises StorageRefused."""
    boundaries = [_Boundary(frame.as_of, len(frame), frame.content_hash, frame.extended) for frame in frames]
    index = _Index(symbols=shape.symbols, interval_s=shape.interval_s, boundaries=boundaries)
    with appearing(path) as temporary:
        table(shape, frames).write_parquet(
            temporary, compression="zstd", metadata={_KEY: msgspec.json.encode(index).decode()}
        )
        try:
            again = read(temporary)
        except StoreDamaged as error:
            raise StorageRefused(
                f"{path} did not read back as it was written, the segments are kept: {error}"
            ) from error
        if len(again) != len(frames):
            raise StorageRefused(f"{path} holds {len(again)} of {len(frames)} boundaries, the segments are kept")


def read(path: Path) -> list[BarFrame]:
    """Every frame of an archive, bit for bit as it was. Raises StoreDamaged naming the first that is not."""
    index, bars = _index(path), _bars(path)
    order = np.arange(len(index.symbols), dtype=np.int32)
    place = pl.DataFrame({"symbol": index.symbols, "place": order}, schema_overrides={"symbol": pl.String})
    positions = bars.select("symbol").join(place, on="symbol", how="left", maintain_order="left")["place"].to_numpy()
    columns = {name: bars[name].to_numpy() for name in PRICES}
    frames, start = [], 0
    for boundary in index.boundaries:
        here = slice(start, start + boundary.rows)
        frame = BarFrame(
            as_of=boundary.as_of,
            index=positions[here],
            extended=boundary.extended,
            **{name: column[here] for name, column in columns.items()},
        )
        if len(frame) != boundary.rows or frame.content_hash != boundary.frame_hash:
            raise StoreDamaged(
                f"{path}: the bars of {stored_time(boundary.as_of)} were changed after they were written: "
                "restore the file from a copy"
            )
        frames.append(frame)
        start += boundary.rows
    if start != len(bars):
        raise StoreDamaged(f"{path} has {len(bars)} rows, its boundaries name {start}: restore it from a copy")
    return frames


def shape(path: Path) -> Shape:
    """Universe and interval of an archive."""
    index = _index(path)
    return Shape(index.symbols, index.interval_s)


def _index(path: Path) -> _Index:
    try:
        return msgspec.json.decode(pl.read_parquet_metadata(path)[_KEY], type=_Index)
    except (KeyError, ValueError, OSError, pl.exceptions.PolarsError) as error:
        raise StoreDamaged(f"{path} is no bar archive of ours ({error}): restore it from a copy") from error


def _bars(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, glob=False)  # a directory's name may hold [ or *
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreDamaged(f"{path} cannot be read ({error}): restore it from a copy") from error


def _joined(arrays: list[Any], dtype: Any) -> Any:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=dtype)
