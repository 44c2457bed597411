"""Radar snapshots on their way to disk: what is kept of each boundary, written many at a time (§5 Data Check)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from qmworkbench.storage.snapshots import SnapshotStore
from qmworkbench.trading.frames import Floats
from qmworkbench.trading.radar_snapshot import COLUMNS, RadarSnapshot

TOGETHER: Final = 30


class RadarArchive:
    """Keeps of each boundary the best ranked symbols and those that matter then; no decision reads it.

    Gathered as arrays and written TOGETHER boundaries at a time: a table a minute would cost more than the radar
    itself.
    """

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._waiting: list[tuple[datetime, list[str], Floats]] = []
        self._also: set[str] = set()

    def take(self, radar: RadarSnapshot, matter: Sequence[str]) -> None:
        """Note the top of the ranking and the symbols in `matter`."""
        index = radar.universe.index
        named = [symbol for symbol in matter if symbol in index]
        at = sorted({*radar.order[: self._store.top].tolist(), *(index[symbol] for symbol in named)})
        names = radar.universe.symbols
        self._waiting.append((radar.as_of, [names[position] for position in at], radar.values[:, at]))
        self._also.update(named)
        if len(self._waiting) >= TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered as one part."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        also, self._also = self._also, set()
        moments = [as_of for as_of, symbols, _ in waiting for _ in symbols]
        values = np.concatenate([block for _, _, block in waiting], axis=1)
        table = pl.DataFrame(
            [
                pl.Series("as_of", moments, dtype=pl.Datetime("us", "UTC")),
                pl.Series("symbol", [symbol for _, symbols, _ in waiting for symbol in symbols], dtype=pl.String),
                *(pl.Series(name, column, nan_to_null=True) for name, column in zip(COLUMNS, values, strict=True)),
            ]
        )
        self._store.append(table, also=also)
        self._store.flush()

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        self._store.close()
