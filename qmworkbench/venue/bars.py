"""What the venue sees of the market: one symbol's bar as exact numbers, and the last prints (§2)."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from qmworkbench.domain.numbers import decimal_of

Floats = npt.NDArray[np.float64]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = -1
_FEW = 64
_REMEDY = "quarantine the row before it is fed"
_PLAINLY_ABOVE_ZERO = 1e-7  # exact numbers have eight places


class BadBar(ValueError):
    """A bar that no market could have printed reached the venue. The message names symbol, time and value."""


class Universe(Protocol):
    """The symbols a frame's rows refer to, in a fixed order (trading.frames.Universe is one)."""

    @property
    def symbols(self) -> tuple[str, ...]: ...

    @property
    def index(self) -> Mapping[str, int]: ...


class Frame(Protocol):
    """The bars that closed at one boundary, arrays side by side (trading.frames.BarFrame is one).

    The venue names what it needs instead of importing the platform's type: it plays the other side of the
    wire. `index` ascends and points into the universe; `extended` frames lie outside regular hours.
    """

    @property
    def as_of(self) -> datetime: ...
    @property
    def index(self) -> npt.NDArray[np.int32]: ...
    @property
    def open(self) -> Floats: ...
    @property
    def high(self) -> Floats: ...
    @property
    def low(self) -> Floats: ...
    @property
    def close(self) -> Floats: ...
    @property
    def volume(self) -> Floats: ...
    @property
    def extended(self) -> bool: ...


class Bar(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One symbol's bar, prices in exact numbers; `as_of` is its close time, `volume` as the frame has it."""

    symbol: str
    as_of: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: float


class Print(msgspec.Struct, frozen=True, gc=False):
    """The last regular trade of a symbol: its price, and the close time of the bar it was in."""

    px: Decimal
    at: datetime


class Row(NamedTuple):
    """One symbol's bar as the frame has it: a bar that can be, its numbers not made exact yet."""

    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: float

    def bar(self, as_of: datetime) -> Bar:
        """The same in exact numbers. Raises BadBar for a bar that cannot be."""
        symbol, *prices, volume = self
        try:
            o, h, low, c = map(decimal_of, prices)
        except ValueError as error:
            raise BadBar(f"{symbol} at {as_of}: {error}; {_REMEDY}") from None
        if not (0 < low <= o <= h and low <= c <= h and 0 <= volume < math.inf):
            found = f"open {o}, high {h}, low {low}, close {c}, volume {volume}"
            raise BadBar(f"{symbol} at {as_of}: {found} is not a bar; {_REMEDY}")
        return Bar(symbol=symbol, as_of=as_of, open=o, high=h, low=low, close=c, volume=volume)


def rows_of(symbols: Sequence[str], frame: Frame, universe: Universe) -> list[Row]:
    """The bars of those of `symbols` that traded in `frame`, in the order of `symbols`.

    Raises BadBar for a bar that cannot be: NaN, a price not above zero, a high under the low.
    """
    index = universe.index
    known = [(symbol, place) for symbol in symbols if (place := index.get(symbol)) is not None]
    if not known or not len(frame.index):
        return []
    found = _few(known, frame) if len(frame.index) <= _FEW else _picked(known, frame)
    for row in found:
        _, o, high, low, c, volume = row
        # What is plainly a bar needs no exact numbers to tell; anything else is looked at closely.
        if not (_PLAINLY_ABOVE_ZERO < low <= o <= high < math.inf and low <= c <= high and 0 <= volume < math.inf):
            row.bar(frame.as_of)
    return found


def _few(known: list[tuple[str, int]], frame: Frame) -> list[Row]:
    """As _picked, for frames so small that picking from arrays would cost more than it saves."""
    at = {place: k for k, place in enumerate(frame.index.tolist())}
    o, high, low, c, volume = [column.tolist() for column in _columns(frame)]
    hits = [(symbol, at[place]) for symbol, place in known if place in at]
    return [Row(symbol, o[k], high[k], low[k], c[k], volume[k]) for symbol, k in hits]


def _picked(known: list[tuple[str, int]], frame: Frame) -> list[Row]:
    wanted = np.array([place for _, place in known])
    places = np.minimum(np.searchsorted(frame.index, wanted), len(frame.index) - 1)
    hits = np.flatnonzero(frame.index[places] == wanted)
    at = places[hits]
    columns = [column[at].tolist() for column in _columns(frame)]
    return [Row(known[hit][0], *numbers) for hit, *numbers in zip(hits.tolist(), *columns, strict=True)]


def _columns(frame: Frame) -> tuple[Floats, ...]:
    return frame.open, frame.high, frame.low, frame.close, frame.volume


class Tape:
    """The last regular print of every symbol of the universe, in arrays: nothing is made per row.

    Lives in memory only. What the books depend on is stored with them (marks, rates); after a restart the
    tape fills again from the frames that follow, or from old ones that are fed once more.
    """

    def __init__(self) -> None:
        self._universe: Universe | None = None
        self._newest = _NEVER
        self._px: Floats = np.empty(0)
        self._at: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._prints: dict[str, tuple[tuple[float, int], Print]] = {}  # what was made of the arrays' last numbers

    def record(self, frame: Frame, universe: Universe) -> None:
        """Remember the closes of `frame`; a print older than the one known is passed over."""
        if universe is not self._universe:
            self._adopt(universe)
        stamp = (frame.as_of - _EPOCH) // timedelta(microseconds=1)
        rows = frame.index
        if stamp > self._newest:
            self._newest = stamp
            self._px[rows] = frame.close
            self._at[rows] = stamp
        else:
            newer = self._at[rows] < stamp
            self._px[rows[newer]] = frame.close[newer]
            self._at[rows[newer]] = stamp

    def trace(self, symbol: str) -> tuple[float, int] | None:
        """The last print of `symbol` as it lies in the arrays, to see whether it has changed; None without one."""
        row = self._universe.index.get(symbol) if self._universe is not None else None
        return None if row is None else (self._px.item(row), self._at.item(row))

    def last(self, symbol: str) -> Print | None:
        """The last print of `symbol`, None when none was seen in this process's life."""
        trace = self.trace(symbol)
        if trace is None or trace[1] == _NEVER:
            return None
        px, stamp = trace
        known = self._prints.get(symbol)
        if known is not None and known[0] == trace:
            return known[1]
        try:
            found = Print(decimal_of(px), _EPOCH + timedelta(microseconds=stamp))
        except ValueError:
            return None  # a NaN close is no print; the bar itself is refused where an order depends on it
        self._prints[symbol] = trace, found
        return found

    def _adopt(self, universe: Universe) -> None:
        """Index by `universe` from now on, keeping what was known of the symbols that stay."""
        px, at = (
            np.full(len(universe.symbols), np.nan),
            np.full(len(universe.symbols), _NEVER, dtype=np.int64),
        )
        if self._universe is not None:
            for symbol, old in self._universe.index.items():
                new = universe.index.get(symbol)
                if new is not None:
                    px[new], at[new] = self._px[old], self._at[old]
        self._universe, self._px, self._at = universe, px, at
