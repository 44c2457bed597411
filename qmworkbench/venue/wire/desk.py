"""The venue behind the wire: one exchange, its tape, the session and bars it is told of (§2, §12).

The exchange is made anew when the control door tells of other instruments: its books are in its file. What was
changed is on disk before anybody is answered, so that the process may be killed at any moment.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.instruments import Instrument
from qmworkbench.venue.bars import Floats, Frame
from qmworkbench.venue.costs import VenueModel
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.reached import WIRE
from qmworkbench.venue.records import VenueError
from qmworkbench.venue.wire.tape import Tape, Update

Listener = Callable[[Sequence[Update]], None]
_DAY: Final = timedelta(days=1)


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """`/control/session`: a session opens. `symbols` are what the frames' rows refer to, in order."""

    session_id: str
    at: datetime
    day: date | None
    opens_at: datetime
    closes_at: datetime
    symbols: tuple[str, ...]
    instruments: tuple[Instrument, ...]
    actions: tuple[CorporateAction, ...] = ()


class FrameIn(msgspec.Struct, frozen=True, kw_only=True):
    """`/control/frame`: the bars of one boundary, arrays as little-endian bytes. `columns` None: the venue's own."""

    as_of: datetime
    extended: bool = False
    index: bytes = b""
    columns: tuple[bytes, bytes, bytes, bytes, bytes] | None = None


@dataclass(frozen=True, eq=False)
class Rows:
    """A frame's bars as arrays (venue.bars.Frame)."""

    as_of: datetime
    index: npt.NDArray[np.int32]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    extended: bool = False


@dataclass(frozen=True, eq=False)
class Symbols:
    """The symbols a frame's rows refer to (venue.bars.Universe)."""

    symbols: tuple[str, ...]
    index: Mapping[str, int]


def rows_of(given: FrameIn) -> Rows:
    """The bars of a message. Raises VenueError for arrays that do not fit together."""
    assert given.columns is not None, "asked of a frame that carries its bars"
    index = np.frombuffer(given.index, dtype="<i4").astype(np.int32)
    columns = [np.frombuffer(column, dtype="<f8").astype(np.float64) for column in given.columns]
    opens, highs, lows, closes, volumes = columns
    if any(len(column) != len(index) for column in columns):
        raise VenueError(f"the frame of {given.as_of} has {len(index)} rows and columns of other lengths")
    return Rows(given.as_of, index, opens, highs, lows, closes, volumes, given.extended)


class Desk:
    """The venue of one account. `tape_of_file` gives the venue's own bars by their close, where it replays a file.

    Raises VenueError as Exchange does.
    """

    def __init__(
        self,
        db_path: Path | str,
        model: VenueModel,
        currency: str,
        initial_cash: Decimal,
        *,
        instruments: Sequence[Instrument] = (),
        name: str = "sim",
        own_frames: Mapping[datetime, Frame] | None = None,
        own_symbols: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._path, self._model, self._currency, self._cash = db_path, model, currency, initial_cash
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._own_frames = dict(own_frames or {})
        self._own_symbols = _symbols(own_symbols)
        self._universe = self._own_symbols
        self._listeners: list[Listener] = []
        self.opens_at = self.closes_at = datetime(1970, 1, 1, tzinfo=UTC)
        self.exchange = self._open()
        self.tape = Tape(self.exchange, name)

    def _open(self) -> Exchange:
        return Exchange(
            self._path,
            self._instruments,
            self._model,
            self._currency,
            self._cash,
            name=self.name,
            reached_by=WIRE,
        )

    def close(self) -> None:
        """Let go of the file."""
        self.exchange.close()

    @property
    def now(self) -> datetime:
        """Where the exchange's clock stands."""
        return self.exchange.account().as_of

    # --- the control door ---------------------------------------------------------------------------------------

    def open_session(self, given: Opening) -> None:
        """Open a session, among the instruments it names."""
        told = {instrument.symbol: instrument for instrument in given.instruments}
        wanted = self._instruments | told
        if wanted != self._instruments:
            foreign = sorted(i.symbol for i in given.instruments if i.currency != self._currency)
            if foreign:
                raise VenueError(
                    f"{', '.join(foreign[:5])} trade in another currency than the account's {self._currency}: this "
                    "wire is that of a broker of US shares and has no rates; trade them with venue.broker simulated"
                )
            self.exchange.close()
            self._instruments = wanted
            self.exchange = self._open()
            self.tape.follow(self.exchange)
        self._universe = _symbols(given.symbols)
        self.opens_at, self.closes_at = given.opens_at, given.closes_at
        self.exchange.open_session(given.session_id, given.at, day=given.day, actions=given.actions)
        self.tell()

    def on_frame(self, given: FrameIn) -> None:
        """Match the bars of one boundary: those of the message, or the venue's own of that time."""
        if given.columns is not None:
            self.exchange.on_frame(rows_of(given), self._universe)
        else:
            own = self._own_frames.get(given.as_of)
            if own is None:
                raise VenueError(f"the venue replays no bars of {given.as_of}: send them, or serve it with --data")
            self.exchange.on_frame(own, self._own_symbols)
        self.tell()

    def close_session(self, at: datetime) -> None:
        """Close the session."""
        self.exchange.close_session(at)
        self.tell()

    def set_halted(self, symbol: str, halted: bool) -> None:
        """Stop trading in a symbol, or let it go on."""
        (self.exchange.halt if halted else self.exchange.resume)(symbol)
        self.tell()

    # --- the stream -------------------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Be told of every update; the returned call ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self) -> None:
        """Send what the exchange has said since to everybody who listens."""
        news = self.tape.advance()
        if news:
            for listener in tuple(self._listeners):
                listener(news)


def _symbols(symbols: Sequence[str]) -> Symbols:
    return Symbols(tuple(symbols), {symbol: row for row, symbol in enumerate(symbols)})
