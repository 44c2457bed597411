"""One session's events as tables: orders, fills, trades, signals, refusals, watchlist, notes (§17, §18).

The journal is walked once, in order; nothing is looked up elsewhere. Frames are float64 and for looking at: sums that
have to be right to the cent are taken from the events' exact numbers (`money`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from qmworkbench.analytics.control_rows import ControlRows
from qmworkbench.analytics.order_rows import OrderRows
from qmworkbench.analytics.tables import TABLES, Rows, table
from qmworkbench.analytics.trip_rows import TripRows
from qmworkbench.domain.candidates import FilterVerdict
from qmworkbench.domain.events import Event, market, orders, session
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.sessions import Phase


class NoSession(ValueError):
    """The events hold no opened session: there is nothing to review."""


@dataclass(frozen=True)
class Money:
    """The day's exact sums in account currency."""

    realized: Decimal = ZERO
    fees: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        return self.realized - self.fees


@dataclass(frozen=True, eq=False)
class SessionRecord:
    """What one session did. Tables as in analytics/tables.py; `closed` are the exact trades behind `trades`.

    `phases` lists each phase with the time it was entered; `ended` is None while the session is open.
    """

    opened: session.SessionOpened
    events: tuple[Event, ...]
    closed: tuple[orders.TradeClosed, ...]
    money: Money
    phases: tuple[tuple[Phase, datetime], ...]
    summary: session.SessionSummarized | None
    tables: dict[str, pl.DataFrame]

    @property
    def session_id(self) -> str:
        return self.opened.session_id

    @property
    def opens_at(self) -> datetime:
        return datetime.fromisoformat(self.opened.window.opens_at)

    @property
    def closes_at(self) -> datetime:
        return datetime.fromisoformat(self.opened.window.closes_at)

    @property
    def is_closed(self) -> bool:
        return any(phase is Phase.CLOSED for phase, _ in self.phases)

    def __getitem__(self, name: str) -> pl.DataFrame:
        """A table by name. KeyError lists those there are."""
        if name not in self.tables:
            raise KeyError(f"no table {name!r}; a session record has {', '.join(self.tables)}")
        return self.tables[name]


def record_of(events: Iterable[Event]) -> SessionRecord:
    """The record of the session in `events`, which begin with its SessionOpened. Raises NoSession."""
    walk = _Walk()
    kept = tuple(events)
    for event in kept:
        walk.take(event)
    if walk.opened is None:
        raise NoSession("no session was opened in these events: give the events of one session, from its opening on")
    return SessionRecord(
        opened=walk.opened,
        events=kept,
        closed=tuple(walk.trips.closed),
        money=Money(walk.orders.realized, walk.orders.fees),
        phases=tuple(walk.phases),
        summary=walk.summary,
        tables={name: table(name, walk.rows.by_table[name]) for name in TABLES},
    )


class _Walk:
    """Hands each event to those who keep rows of it."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.trips = TripRows(self.rows)
        self.orders, self.control = OrderRows(self.rows, self.trips), ControlRows(self.rows)
        self.opened: session.SessionOpened | None = None
        self.summary: session.SessionSummarized | None = None
        self.phases: list[tuple[Phase, datetime]] = []
        self._take: dict[type[Event], Callable[[Any], None]] = {
            session.SessionOpened: self._session_opened,
            session.SessionSummarized: self._summarized,
            session.PhaseEntered: self._phase_entered,
            market.SignalRaised: self._signal,
            market.SignalIgnored: self._ignored,
            market.WatchlistChanged: self._watched,
            market.NearMissSeen: self._near_miss,
            market.AssignmentMade: self._assigned,
            market.AssignmentDeclined: self._declined,
        }
        for keeper in (self.trips.handlers, self.orders.handlers, self.control.handlers):
            assert self._take.keys().isdisjoint(keeper), "of each kind of event one keeps rows"
            self._take.update(keeper)

    def take(self, event: Event) -> None:
        handler = self._take.get(type(event))
        if handler is not None:
            handler(event)

    def _session_opened(self, event: session.SessionOpened) -> None:
        self.opened = event
        self.trips.opened(event)
        self.phases.append((Phase.PRE_START, event.at))

    def _phase_entered(self, event: session.PhaseEntered) -> None:
        self.phases.append((event.phase, event.at))
        self.control.phase_entered(event.phase)

    def _summarized(self, event: session.SessionSummarized) -> None:
        self.summary = event

    def _signal(self, event: market.SignalRaised) -> None:
        self.rows.signals[event.signal_id] = self.rows.add(
            "signals",
            at=event.at,
            signal_id=event.signal_id,
            strategy_id=event.strategy_id,
            symbol=event.symbol,
            kind=event.kind,
            decision_px=event.decision_px,
            why=event.why,
            ignored="",
        )

    def _ignored(self, event: market.SignalIgnored) -> None:
        if event.signal_id in self.rows.signals:
            self.rows.signals[event.signal_id]["ignored"] = event.reason

    def _watched(self, event: market.WatchlistChanged) -> None:
        self.rows.add(
            "watch", at=event.at, symbol=event.symbol, state=event.state, reason=event.reason, rank=event.rank
        )

    def _near_miss(self, event: market.NearMissSeen) -> None:
        self.rows.add(
            "near_misses",
            at=event.at,
            symbol=event.symbol,
            rank=event.rank,
            codes=",".join(verdict.code for verdict in event.failed),
            why=_because(event.failed),
        )

    def _assigned(self, event: market.AssignmentMade) -> None:
        self.rows.add("assignments", at=event.at, symbol=event.symbol, strategy_id=event.strategy_id, why=event.reason)

    def _declined(self, event: market.AssignmentDeclined) -> None:
        self.rows.add("assignments", at=event.at, symbol=event.symbol, strategy_id="", why=event.reason)


def _because(failed: Sequence[FilterVerdict]) -> str:
    return "; ".join(verdict.sentence() for verdict in failed)
