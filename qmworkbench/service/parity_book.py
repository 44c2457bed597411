"""A session of a book as a comparison with its backtest needs it, and where the result is kept (M: layer 2).

The book is read through its read-only doors; what is written is one file in the session's own directory.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from qmworkbench.analytics.session_record import record_of
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.market import BoundaryClosed
from qmworkbench.domain.events.orders import ExecutionReported
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.domain.orders import Leg
from qmworkbench.research.parity.parity import Parity, parity
from qmworkbench.research.parity.parity_record import Carried, RecordedDay
from qmworkbench.service.ground import load_ground
from qmworkbench.service.recorded_state import state_after
from qmworkbench.service.why_session import NoSuchSession
from qmworkbench.storage.atomic import write_whole
from qmworkbench.storage.barstore import BarStore
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.stores import open_reader
from qmworkbench.strategies.bars import RAW_SCHEMA
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import EXTERNAL, State, decode_state, encode_state

FILE: Final = "parity.json"
_OF_A_BAR: Final = (BoundaryClosed, ExecutionReported)


def parity_of(paths: BookPaths, session_id: str) -> Parity:
    """Compare a session of the book with the backtest of its bars. Nothing is written.

    Raises NoSuchSession, and StorageRefused where journal or bars cannot be read.
    """
    return parity(recorded_day(paths, session_id))


def recorded_day(paths: BookPaths, session_id: str) -> RecordedDay:
    """The session's events, bars, history and grids, and the positions with which its first bar began.

    Raises NoSuchSession, and StorageRefused where journal or bars cannot be read.
    """
    with open_reader(paths) as journal:
        begun = [(seq, event) for seq, event in journal.session_events() if isinstance(event, SessionOpened)]
        mine = [(seq, event) for seq, event in begun if event.session_id == session_id]
        if not mine:
            there = ", ".join(dict.fromkeys(event.session_id for _, event in begun)) or "none"
            raise NoSuchSession(f"the book at {paths.root} has no session {session_id}; it has {there}")
        first, opened = mine[-1]
        following = [seq for seq, _ in begun if seq > first]
        story = [(first, opened), *journal.events(after_seq=first, upto_seq=following[0] - 1 if following else None)]
        began = state_after(journal, paths, first - 1)
    store = BarStore(paths.session(session_id).bars)
    ground = load_ground(store)
    history = ground.history
    return RecordedDay(
        record=record_of([event for _, event in story]),
        bars=store.bars().filter(~pl.col("extended")).select(list(RAW_SCHEMA)),
        history=history if history is not None else pl.DataFrame(schema=RAW_SCHEMA),
        grids=ground.grids,
        carried=carried_in(began, [event for _, event in story]),
    )


def carried_in(began: State, events: Sequence[Event]) -> tuple[Carried, ...]:
    """What a session held when its first bar began: `began` is the book before its `events`, which stay as they are."""
    if not began.positions:
        return ()
    first = events[0]
    assert isinstance(first, SessionOpened), "a session's events begin with its opening"
    opens = datetime.fromisoformat(first.window.opens_at)
    # The first bar's fills are reported before its boundary closes.
    of_a_bar = (at for at, event in enumerate(events) if isinstance(event, _OF_A_BAR) and event.at > opens)
    return tuple(_carried(fold(events[: next(of_a_bar, len(events))], decode_state(encode_state(began)))))


def _carried(state: State) -> Iterator[Carried]:
    for key in sorted(state.positions):
        held = state.positions[key]
        if held.qty == 0 or held.strategy_id == EXTERNAL:
            continue
        legs = {order.leg: order for order in state.exit_legs(held.strategy_id, held.symbol)}
        stop, target = legs.get(Leg.STOP), legs.get(Leg.TARGET)
        yield Carried(
            strategy_id=held.strategy_id,
            symbol=held.symbol,
            qty=held.qty,
            px=held.avg_px,
            stop=stop.stop_px if stop is not None else None,
            target=target.limit_px if target is not None else None,
            trail_bps=stop.trail_bps if stop is not None else None,
            hold_left=None if held.max_hold_bars is None else held.max_hold_bars - held.bars_held,
            leaving=bool(held.exit_wanted),
            legs={order.cl_ord_id: order.leg.value for order in legs.values()},
        )


# --- what is kept -----------------------------------------------------------------------------------------------------


def file_of(paths: BookPaths, session_id: str) -> Path:
    """Where a session's comparison is kept."""
    return paths.session(session_id).root / FILE


def keep(paths: BookPaths, found: Parity) -> Path:
    """Write a session's comparison beside its bars, whole or not at all. Raises OSError."""
    file = file_of(paths, found.session_id)
    write_whole(file, msgspec.json.encode(found))
    return file


def kept(paths: BookPaths, session_id: str) -> Parity | None:
    """A session's comparison as it was kept; None where there is none, or one that is not readable any more."""
    try:
        return msgspec.json.decode(file_of(paths, session_id).read_bytes(), type=Parity)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def kept_between(
    paths: BookPaths, sessions: list[tuple[str, date]], first: date | None = None, last: date | None = None
) -> tuple[list[Parity], list[str]]:
    """The comparisons of `sessions` (id, date) from `first` to `last`, oldest first, and the ids of those without; one
    made while its session was open counts as none.
    """
    found, missing = [], []
    for session_id, day in sorted(sessions, key=lambda one: (one[1], one[0])):
        if (first is None or day >= first) and (last is None or day <= last):
            one = kept(paths, session_id)
            if one is None or not one.closed:
                missing.append(session_id)
            else:
                found.append(one)
    return found, missing
