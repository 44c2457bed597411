"""Market data in batches: one frame of bars for the universe at each boundary (§5 Data Check, DESIGN "Frames")."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


class Universe:
    """The symbols of a session in alphabetical order; every array of the session is indexed by this order.

    The order is fixed for the session's life, so an index is as good as a symbol and ties can be
    broken by index.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols: tuple[str, ...] = tuple(sorted(set(symbols)))
        self.index: dict[str, int] = {symbol: i for i, symbol in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self.index


@dataclass(frozen=True, eq=False)
class BarFrame:
    """The bars that closed at one boundary, one entry per symbol that traded, arrays side by side.

    `as_of` is the boundary (the bars' close time, aware UTC); `index` holds ascending positions in the
    universe; prices and `volume` are float64 of the same length. A symbol without a trade in the
    interval is absent. An empty frame is legal: nobody traded.
    `ts` (the bars' open time) is `as_of` minus the bar interval; `extended` says the interval lies outside
    regular hours, where nothing is matched.
    """

    as_of: datetime
    index: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    extended: bool = False

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over boundary and contents: what the journal refers to, 16 hex digits."""
        digest = hashlib.sha256(self.as_of.isoformat().encode())
        digest.update(b"extended" if self.extended else b"regular")
        for column in (self.index, self.open, self.high, self.low, self.close, self.volume):
            digest.update(np.ascontiguousarray(column).data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Reference:
    """What is known of each symbol before the session opens, indexed by the universe.

    `prev_close`: last regular close of the session before, NaN where there is none.
    `volume_profile`: mean cumulative volume by boundary, shape (boundaries, symbols), from the history
    days; row k is the volume usually done once k+1 regular intervals have closed. None where no
    history day exists, NaN for symbols without history.
    `history_days`: how many sessions the profile averages.
    """

    prev_close: Floats
    volume_profile: Floats | None
    history_days: int

    @staticmethod
    def unknown(universe: Universe) -> "Reference":
        """No history at all: every reference is NaN, and filters that need one say so."""
        return Reference(prev_close=np.full(len(universe), np.nan), volume_profile=None, history_days=0)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the reference, 16 hex digits: an input of every decision made with it."""
        digest = hashlib.sha256(np.ascontiguousarray(self.prev_close).data)
        if self.volume_profile is not None:
            digest.update(np.ascontiguousarray(self.volume_profile).data)
        return digest.hexdigest()[:16]
