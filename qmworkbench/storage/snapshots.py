"""Radar snapshots by boundary: the top of the ranking and the symbols that matter, in Parquet parts (§5 Data Check)."""

from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import polars as pl

from qmworkbench.storage.atomic import appearing, sweep
from qmworkbench.storage.refused import StoreDamaged, StoreMissing

TOP: Final = 50
BUFFERED: Final = 30
_KEYS: Final = ("as_of", "symbol")


class SnapshotStore:
    """One session's radar snapshots, in one directory (SessionPaths.radar).

    Kept of each boundary: the `top` best ranked and the symbols given with it. `buffered` boundaries make one part;
    a kill loses those not yet written, which can be computed again from the bars. No decision reads them.
    """

    def __init__(self, directory: Path, *, top: int = TOP, buffered: int = BUFFERED) -> None:
        self.directory = Path(directory)
        self.top = top
        self.buffered = buffered
        self._waiting: list[pl.DataFrame] = []

    def append(self, snapshot: pl.DataFrame, also: Collection[str] = ()) -> None:
        """Take one boundary's snapshot, with columns `as_of`, `symbol` and `rank` (1 is best, null: not ranked).

        Raises ValueError naming a column that is missing.
        """
        missing = [name for name in (*_KEYS, "rank") if name not in snapshot.columns]
        if missing:
            raise ValueError(f"a radar snapshot needs the column(s) {', '.join(missing)}; it has {snapshot.columns}")
        wanted = (pl.col("rank") <= self.top).fill_null(value=False)
        if also:
            wanted = wanted | pl.col("symbol").is_in(sorted(also))
        self._waiting.append(snapshot.filter(wanted).sort("rank", "symbol", nulls_last=True))
        if len(self._waiting) >= self.buffered:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered as one part, whole or not at all."""
        if not self._waiting:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        part = self.directory / f"part-{self._next_part():06d}.parquet"
        with appearing(part) as temporary:
            pl.concat(self._waiting, how="diagonal_relaxed").write_parquet(temporary, compression="zstd")
        self._waiting = []

    def close(self) -> None:
        """Write what is buffered."""
        self.flush()
        if self.directory.is_dir():
            sweep(self.directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next_part(self) -> int:
        parts = _parts(self.directory)
        return int(parts[-1].stem.removeprefix("part-")) + 1 if parts else 1


def read_snapshots(directory: Path) -> pl.DataFrame:
    """Every snapshot on disk, by boundary and rank; one computed again after a kill counts once, the later.

    Raises StoreMissing when none was written, StoreDamaged naming the part that cannot be read.
    """
    parts = _parts(directory)
    if not parts:
        raise StoreMissing(
            f"{directory} holds no radar snapshots: the session has not closed a boundary, or they have aged out; "
            "`qm archive restore SESSION` brings them back"
        )
    frames = []
    for part in parts:
        try:
            frames.append(pl.read_parquet(part, glob=False))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise StoreDamaged(f"{part} cannot be read ({error}): remove it; the others stay readable") from error
    joined = pl.concat(frames, how="diagonal_relaxed").unique(_KEYS, keep="last", maintain_order=True)
    return joined.sort("as_of", "rank", "symbol", nulls_last=True)


def _parts(directory: Path) -> list[Path]:
    return sorted(directory.glob("part-*.parquet"))
