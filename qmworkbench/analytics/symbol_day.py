"""One symbol's session, gathered from its events: how far it came, and where it stopped (§17, §18)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qmworkbench.domain.events import Event, control, market, orders
from qmworkbench.domain.orders import Leg, OrdStatus

# Reasons for which a signal is not followed because it says what is so already.
HELD_ALREADY = frozenset({"the same side is already held", "an entry is already on its way"})


@dataclass
class Owned:
    """An instance's time with the symbol; `until` None: to the session's end."""

    strategy_id: str
    since: datetime
    until: datetime | None = None
    why_ended: str = ""


@dataclass
class SymbolDay:
    """What happened to `symbol`, in order. Empty lists where nothing did."""

    symbol: str
    found: list[market.WatchlistChanged] = field(default_factory=list)
    watch: list[market.WatchlistChanged] = field(default_factory=list)
    near_misses: list[market.NearMissSeen] = field(default_factory=list)
    declined: list[market.AssignmentDeclined] = field(default_factory=list)
    owned: list[Owned] = field(default_factory=list)
    signals: dict[str, market.SignalRaised] = field(default_factory=dict)
    ignored: list[market.SignalIgnored] = field(default_factory=list)
    denied: list[orders.RiskDecided] = field(default_factory=list)
    refused: list[orders.OrderDenied] = field(default_factory=list)
    entries: dict[str, orders.OrderIntended] = field(default_factory=dict)
    ended: dict[str, orders.OrderChanged] = field(default_factory=dict)
    blocked: list[control.SymbolBlocked] = field(default_factory=list)
    fills: list[orders.FillRecorded] = field(default_factory=list)

    @property
    def traded(self) -> bool:
        return bool(self.fills)


def symbol_day(events: Iterable[Event], symbol: str) -> SymbolDay:
    """Gather one session's events of a symbol."""
    return symbol_days(events, [symbol])[symbol]


def symbol_days(events: Iterable[Event], symbols: Iterable[str]) -> dict[str, SymbolDay]:
    """The same for several symbols, walking the events once."""
    walk = _Walk({symbol: SymbolDay(symbol) for symbol in symbols})
    for event in events:
        walk.take(event)
    return walk.days


class _Walk:
    def __init__(self, days: dict[str, SymbolDay]) -> None:
        self.days = days
        self._of_signal: dict[str, SymbolDay] = {}
        self._of_order: dict[str, SymbolDay] = {}
        self._take: dict[type[Event], Callable[[SymbolDay, Any], object]] = {
            market.WatchlistChanged: self._watched,
            market.NearMissSeen: lambda day, e: day.near_misses.append(e),
            market.AssignmentDeclined: lambda day, e: day.declined.append(e),
            market.AssignmentMade: lambda day, e: day.owned.append(Owned(e.strategy_id, e.at)),
            market.AssignmentEnded: self._given_back,
            market.SignalRaised: self._raised,
            orders.RiskDecided: self._judged,
            orders.FillRecorded: lambda day, e: day.fills.append(e),
            control.SymbolBlocked: lambda day, e: day.blocked.append(e),
        }

    def take(self, event: Event) -> None:
        kind = type(event)
        if isinstance(event, market.SignalIgnored):
            if event.signal_id in self._of_signal:
                self._of_signal[event.signal_id].ignored.append(event)
        elif isinstance(event, orders.OrderChanged):
            if event.cl_ord_id in self._of_order:
                self._of_order[event.cl_ord_id].ended[event.cl_ord_id] = event
        elif isinstance(event, orders.OrderIntended | orders.OrderDenied):
            self._ordered(event)
        elif kind in self._take:
            day = self.days.get(event.symbol)  # type: ignore[attr-defined]  # every kind of the table has one
            if day is not None:
                self._take[kind](day, event)

    def _watched(self, day: SymbolDay, event: market.WatchlistChanged) -> None:
        day.watch.append(event)
        if event.state is market.WatchState.FOUND:
            day.found.append(event)

    def _given_back(self, day: SymbolDay, event: market.AssignmentEnded) -> None:
        for owned in day.owned:
            if owned.strategy_id == event.strategy_id and owned.until is None:
                owned.until, owned.why_ended = event.at, event.reason

    def _raised(self, day: SymbolDay, event: market.SignalRaised) -> None:
        if event.kind.startswith("entry"):
            day.signals[event.signal_id] = event
            self._of_signal[event.signal_id] = day

    def _judged(self, day: SymbolDay, event: orders.RiskDecided) -> None:
        if event.leg is Leg.ENTRY and not event.allowed:
            day.denied.append(event)

    def _ordered(self, event: orders.OrderIntended | orders.OrderDenied) -> None:
        day = self.days.get(event.request.symbol)
        if day is None or event.leg is not Leg.ENTRY:
            return
        if isinstance(event, orders.OrderDenied):
            day.refused.append(event)
            return
        day.entries[event.request.cl_ord_id] = event
        self._of_order[event.request.cl_ord_id] = day


def unfilled(day: SymbolDay) -> list[tuple[orders.OrderIntended, orders.OrderChanged | None]]:
    """Entries that were sent and never filled, with how each ended (None: it had not, by then)."""
    found = [(intent, day.ended.get(name)) for name, intent in day.entries.items()]
    return [(intent, last) for intent, last in found if last is None or last.cum_qty == 0]


def ended_as(last: orders.OrderChanged | None) -> str:
    """An order's end in words."""
    if last is None:
        return "was still under way at the end of the record"
    status = OrdStatus(last.status).value.replace("_", " ")
    return f"ended {status} without a fill: {last.reason or 'no reason given'}"
