"""What a running session's events come to for the four signals, folded once, event by event (§9).

Nothing is looked up again and no boundary is scanned: a fill, an order's end or a closed trade is noted when it comes
by, and what has to be judged is judged only after something was noted (analytics/signal_readings.py).
"""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from qmworkbench.analytics import slippage
from qmworkbench.analytics.signal_settings import DEFAULTS, SignalSettings
from qmworkbench.domain.events import Event, analytics, market, orders, session
from qmworkbench.domain.orders import TERMINAL, Leg, OrdStatus

# Denials that speak of the whole book, not of the symbol or the instance that asked.
OF_THE_BOOK: Final = frozenset(
    {
        "trading_state",
        "critical_health",
        "environment_armed",
        "entries_released",
        "run_active",
        "broker_connected",
        "feed_quality",
        "clock_skew",
        "rule_failed",
        "reconciled",
        "max_daily_loss",
        "max_trades_per_day",
        "max_open_positions",
        "submit_rate",
        "day_trades",
    }
)
Key = tuple[str, str]
SYMBOL: Final = "symbol"
STRATEGY: Final = "strategy"


class Attempt(msgspec.Struct):
    """One entry that was asked for; `failure` says how it failed, "" where it did not or is under way."""

    failure: str = ""


class Leaving(msgspec.Struct, frozen=True):
    """How one trade ended: `boundaries` from the decision to the fill (None: an order at the broker took it out),
    `bps` worse than decided (None: not known), `gave_back` the share of its best open P&L, in R where that was enough.
    """

    boundaries: float | None
    bps: float | None
    gave_back: float | None


class _Held(msgspec.Struct):
    """A round trip under way, in account currency."""

    qty: float = 0.0
    cost: float = 0.0
    rate: float = 1.0
    realized: float = 0.0
    best: float = 0.0
    exit_decided: datetime | None = None
    exits: list[tuple[float, float]] = []


class SessionSignals:
    """The session so far, as the four signals need it. Subjects are (SYMBOL | STRATEGY, name), in order of appearance.

    `slips`: basis points against the decision price, fill by fill. `attempts`: the last entries. `leavings`: the last
    trades. `net`, `closed`: P&L and count of closed trades. `told`: which signals stand, as the record has it. `noted`
    counts what mattered: where it has not moved, nothing can have changed.
    """

    def __init__(self, settings: SignalSettings = DEFAULTS) -> None:
        self.settings = settings
        self.noted = 0
        self._begin()
        self._take: dict[type[Event], Callable[[Any], None]] = {
            session.SessionOpened: self._opened,
            market.FrameComputed: self._marked,
            orders.RiskDecided: self._judged,
            orders.OrderIntended: self._intended,
            orders.OrderDenied: self._denied,
            orders.CancelRequested: self._cancel_wanted,
            orders.OrderChanged: self._changed,
            orders.ExitRequested: self._exit_wanted,
            orders.FillRecorded: self._filled,
            orders.FillReversed: self._reversed,
            orders.PositionsOffset: self._offset,
            orders.TradeClosed: self._closed,
            analytics.AnalyticsObserved: self._observed,
        }

    def _begin(self) -> None:
        self.interval_s = 60
        self.instances = 0
        self.slips: dict[Key, list[float]] = {}
        self.every_slip: list[tuple[str, str, float]] = []
        self.attempts: dict[Key, deque[Attempt]] = {}
        self.leavings: dict[str, deque[Leaving]] = {}
        self.net: dict[Key, float] = {}
        self.closed: dict[Key, int] = {}
        self.trades = 0
        self.told: dict[tuple[str, str], bool] = {}
        self._by_order: dict[str, Attempt] = {}
        self._by_signal: dict[str, Attempt] = {}
        self._trailing: set[str] = set()
        self._called_off: set[str] = set()
        self._denied_for: dict[str, tuple[str, ...]] = {}
        self._held: dict[Key, _Held] = {}

    def take(self, events: Iterable[Event]) -> None:
        """Take in events in their order; those that say nothing of the signals cost a look-up each."""
        look = self._take.get
        for event in events:
            react = look(type(event))
            if react is not None:
                react(event)

    def _opened(self, event: session.SessionOpened) -> None:
        self._begin()
        self.noted += 1
        self.interval_s, self.instances = event.window.interval_s, len(event.runs)

    def _observed(self, event: analytics.AnalyticsObserved) -> None:
        self.told.update({(signal.code, signal.subject): signal.active for signal in event.signals})

    # --- entries -----------------------------------------------------------------------------------------------

    def _attempt(self, strategy_id: str, symbol: str, failure: str = "") -> Attempt:
        attempt = Attempt(failure)
        for subject in ((SYMBOL, symbol), (STRATEGY, strategy_id)):
            self.attempts.setdefault(subject, deque(maxlen=self.settings.failed_entries_of)).append(attempt)
        self.noted += 1
        return attempt

    def _judged(self, event: orders.RiskDecided) -> None:
        if not event.allowed and event.leg is Leg.ENTRY:
            self._denied_for[event.cl_ord_id] = tuple(rule.code for rule in event.failed)

    def _denied(self, event: orders.OrderDenied) -> None:
        if event.leg is not Leg.ENTRY:
            return
        codes = self._denied_for.pop(event.request.cl_ord_id, ())
        own = [code for code in codes if code not in OF_THE_BOOK]
        if own or not codes:
            self._attempt(event.strategy_id, event.request.symbol, "denied")

    def _intended(self, event: orders.OrderIntended) -> None:
        for leg in event.request.legs:
            if leg.trail_bps is not None:
                self._trailing.add(leg.cl_ord_id)
        if event.leg is Leg.ENTRY:
            attempt = self._attempt(event.strategy_id, event.request.symbol)
            self._by_order[event.request.cl_ord_id] = self._by_signal[event.signal_id] = attempt

    def _cancel_wanted(self, event: orders.CancelRequested) -> None:
        self._called_off.add(event.cl_ord_id)

    def _changed(self, event: orders.OrderChanged) -> None:
        attempt = self._by_order.get(event.cl_ord_id)
        if attempt is None or event.status not in TERMINAL:
            return
        del self._by_order[event.cl_ord_id]
        # What we called off ourselves, at a halt or a close, did not fail.
        if event.cum_qty == 0 and event.cl_ord_id not in self._called_off:
            attempt.failure = "rejected" if event.status is OrdStatus.REJECTED else "unfilled"
            self.noted += 1

    # --- positions and exits -----------------------------------------------------------------------------------

    def _exit_wanted(self, event: orders.ExitRequested) -> None:
        held = self._held.setdefault((event.strategy_id, event.symbol), _Held())
        held.exit_decided = held.exit_decided or event.at

    def _marked(self, event: market.FrameComputed) -> None:
        if not self._held:
            return
        marks = {mark.symbol: mark.px for mark in event.marks}
        for (_, symbol), held in self._held.items():
            px = marks.get(symbol)
            if px is not None:
                held.best = max(held.best, held.realized + (held.qty * float(px) - held.cost) * held.rate)

    def _filled(self, event: orders.FillRecorded) -> None:
        self.noted += 1
        key = (event.strategy_id, event.symbol)
        held = self._held.setdefault(key, _Held())
        held.realized += float(event.realized_pnl)
        held.qty, held.cost = float(event.position_qty), float(event.position_cost)
        held.rate = float(event.conversion_rate)
        known = slippage.known_bps(event, trails=event.cl_ord_id in self._trailing)
        if known is None:
            return
        bps = float(known)
        self.slips.setdefault((SYMBOL, event.symbol), []).append(bps)
        self.slips.setdefault((STRATEGY, event.strategy_id), []).append(bps)
        self.every_slip.append((event.symbol, event.strategy_id, bps))
        if event.realized_pnl or not event.position_qty:
            held.exits.append((float(event.last_qty), bps))

    def _reversed(self, event: orders.FillReversed) -> None:
        self._held.pop((event.strategy_id, event.symbol), None)

    def _offset(self, event: orders.PositionsOffset) -> None:
        for strategy_id in event.strategy_ids:
            held = self._held.get((strategy_id, event.symbol))
            if held is not None:
                held.qty = held.cost = 0.0

    def _closed(self, event: orders.TradeClosed) -> None:
        self.noted += 1
        self.trades += 1
        for subject in ((SYMBOL, event.symbol), (STRATEGY, event.strategy_id)):
            self.net[subject] = self.net.get(subject, 0.0) + float(event.net_pnl)
            self.closed[subject] = self.closed.get(subject, 0) + 1
        attempt = self._by_signal.pop(event.signal_id, None)
        if attempt is not None and event.exit_leg is Leg.STOP and event.bars_held <= self.settings.at_once_bars:
            attempt.failure = "stopped out at once"
        held = self._held.pop((event.strategy_id, event.symbol), None)
        leaving = Leaving(self._boundaries(event, held), _worse(held), self._gave_back(event, held))
        self.leavings.setdefault(event.strategy_id, deque(maxlen=self.settings.late_exits_of)).append(leaving)
        if held is not None and held.qty:
            # The fill that closed it opened the opposite: a new round trip has begun.
            self._held[event.strategy_id, event.symbol] = _Held(qty=held.qty, cost=held.cost, rate=held.rate)

    def _boundaries(self, event: orders.TradeClosed, held: _Held | None) -> float | None:
        if held is None or held.exit_decided is None or event.exit_leg in (Leg.STOP, Leg.TARGET, Leg.CLOSE):
            return None
        return (event.closed_at - held.exit_decided).total_seconds() / self.interval_s

    def _gave_back(self, event: orders.TradeClosed, held: _Held | None) -> float | None:
        """The share of its best open P&L that a trade gave back; None where that was little, or its risk is unknown.

        Best is by the closes of the boundaries: what was reached within a bar and lost again could not be acted on.
        """
        if held is None or event.initial_stop_px is None:
            return None
        risk = float(abs(event.entry_px - event.initial_stop_px) * event.qty) * held.rate
        gross = float(event.gross_pnl)
        best = max(held.best, gross)
        if risk <= 0 or best < self.settings.gave_back_from_r * risk:
            return None
        return (best - gross) / best


def _worse(held: _Held | None) -> float | None:
    """How much worse than decided a trade was left, over its exit fills by quantity."""
    qty = sum(qty for qty, _ in held.exits) if held is not None else 0.0
    return sum(qty * bps for qty, bps in held.exits) / qty if held is not None and qty else None


def exposure(positions: Iterable[tuple[str, str, Decimal]]) -> dict[Key, float]:
    """Gross exposure by subject from (strategy_id, symbol, signed cost in account currency)."""
    gross: dict[Key, float] = {}
    for strategy_id, symbol, cost in positions:
        for subject in ((SYMBOL, symbol), (STRATEGY, strategy_id)):
            gross[subject] = gross.get(subject, 0.0) + abs(float(cost))
    return gross
