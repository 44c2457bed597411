"""The invariants of order safety, checked while a session runs (§11, §13, §14, §15, §19).

Each has its number and its own arithmetic (ledger.py, broker_truth.py); none asks the code under test what is allowed.
What a step could break is looked at after that step; whole books are compared at a crash and at the end.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.market import SignalIgnored, SignalRaised
from qmworkbench.domain.events.orders import (
    CancelRequested,
    OrderChanged,
    OrderDenied,
    OrderIntended,
    OrderQueryRequested,
    RiskDecided,
)
from qmworkbench.domain.events.reconciliation import BreakFound, FallbackImported, ReconciliationStarted, RepairApplied
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import OrdStatus
from qmworkbench.simulation.broker_truth import BrokerTruth
from qmworkbench.simulation.ledger import BOOK, ZERO, Ledger
from qmworkbench.simulation.loop import MINUTE
from qmworkbench.trading.effects import CancelOrder, Effect, ReplaceOrder, SubmitOrder
from qmworkbench.trading.state import State

INVARIANTS: Final[dict[int, str]] = {
    0: "the kernel answers every input",
    1: "nothing at the broker without a durable intent",
    2: "filled at most the quantity, one live order for an id",
    3: "a position is the sum of unique executions and recorded adjustments",
    4: "after healing positions, cash and orders are the venue's",
    5: "worst-case exposure of our own sends is never above the limits",
    6: "nothing that adds risk is decided while not ACTIVE",
    7: "folding the journal gives the live state",
    8: "the sequence has no gap and the chain holds",
    9: "every order ends, or is carried on record",
    10: "after an emergency flat, and HALTED whatever crashes",
    11: "every decision of the Risk Manager and every repair is on record",
    12: "no entry between a crash and its release",
}


_ENDED: Final = frozenset({OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED})
# Within this time an answer of the broker may still be on its way.
_BELIEVABLE_MS: Final = 60_000
_ASKS: Final[dict[type[Event], str]] = {
    ReconciliationStarted: "comparisons",
    OrderQueryRequested: "queries",
    CancelRequested: "cancels",
}
# A minute, of the whole book or of one order. A person asks for a comparison once a second before the open.
_AT_MOST: Final[dict[type[Event], int]] = {ReconciliationStarted: 150, OrderQueryRequested: 20, CancelRequested: 15}


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """An invariant that does not hold: its number, what is wrong, and when, in ms after the open."""

    invariant: int
    detail: str
    at_ms: int

    def __str__(self) -> str:
        return f"{self.invariant} ({INVARIANTS[self.invariant]}): {self.detail} [{self.at_ms / 1000:.3f} s]"


class Violated(BaseException):
    """Stops the session at its first violation. No Exception: whoever outlives those must not outlive this."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(str(violation))
        self.violation = violation


class Checker:
    """Looks on. `now_ms` is the loop's time; `limits` those of the session."""

    def __init__(self, limits: Limits, truth: BrokerTruth) -> None:
        self.limits = limits
        self.truth = truth
        self.ledger = Ledger()
        self.now_ms = 0
        self.planted: set[str] = set()  # symbols in which the venue was made to misbehave
        self.lying_disk = False
        self.under_way: Callable[[str], bool] = lambda name: False
        self._events: list[Event] = []
        self._intent_seq: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._asked: dict[tuple[int, str, str], int] = {}
        self._dead: set[str] = set()
        self._open_at: dict[tuple[str, str], dict[str, None]] = {}
        self._entered_on: dict[tuple[str, str], str] = {}

    def demand(self, holds: bool, invariant: int, detail: str) -> None:
        if not holds:
            raise Violated(Violation(invariant=invariant, detail=detail, at_ms=self.now_ms))

    # --- a decision -----------------------------------------------------------------------------------------

    def decided(self, seq: int, events: list[Event], state: State) -> None:
        """Events were appended, the last one as number `seq`; `state` is the live state after them."""
        first = seq - len(events) + 1
        judged: dict[str, RiskDecided] = {}
        unanswered: dict[str, str] = {}
        moved: dict[str, None] = {}
        for number, event in enumerate(events, start=first):
            kind = type(event)
            if kind is OrderIntended:
                self._intended(number, event, judged)  # type: ignore[arg-type]
                unanswered.pop(event.signal_id, None)  # type: ignore[attr-defined]
            elif kind is RiskDecided:
                judged[event.cl_ord_id] = event  # type: ignore[attr-defined, assignment]
            elif kind is OrderDenied:
                self._denied(event, judged)  # type: ignore[arg-type]
                unanswered.pop(event.signal_id, None)  # type: ignore[attr-defined]
            elif kind is SignalRaised and event.kind.startswith("entry"):  # type: ignore[attr-defined]
                unanswered[event.signal_id] = event.symbol  # type: ignore[attr-defined]
            elif kind is SignalIgnored:
                unanswered.pop(event.signal_id, None)  # type: ignore[attr-defined]
            elif kind is OrderChanged and event.status in _ENDED:  # type: ignore[attr-defined]
                self._ended(event)  # type: ignore[arg-type]
            elif kind in _ASKS:
                self._asks(kind, getattr(event, "cl_ord_id", ""))
            elif kind is RepairApplied:
                self._repaired(event, state, events)  # type: ignore[arg-type]
            elif kind is FallbackImported:
                told = (event.n, event.record)  # type: ignore[attr-defined]
                self.demand(told not in self.ledger.imported, 11, f"record {told[0]} was taken over twice")
            symbol = self.ledger.take(event)
            if symbol:
                moved[symbol] = None
        self._events.extend(events)
        self.demand(not unanswered, 11, f"entry signals without intent, denial or reason: {unanswered}")
        for symbol in moved:
            self._position(symbol, state)

    def _asks(self, kind: type[Event], name: str) -> None:
        """The broker is asked for something: never without a pause, whatever it answers."""
        about = (self.now_ms // MINUTE, _ASKS[kind], name)
        count = self._asked[about] = self._asked.get(about, 0) + 1
        most = _AT_MOST[kind]
        self.demand(count <= most, 0, f"more than {most} {_ASKS[kind]} {name} within a minute: asked without a pause")

    def _intended(self, seq: int, event: OrderIntended, judged: dict[str, RiskDecided]) -> None:
        request, ledger = event.request, self.ledger
        name, owner = request.cl_ord_id, event.strategy_id
        verdict = judged.get(name)
        allowed = verdict is not None and verdict.allowed and all(rule.passed for rule in verdict.rules)
        self.demand(allowed, 11, f"{name} was intended without the Risk Manager's leave on record")
        self.demand(name not in self._intent_seq, 2, f"{name} was intended twice")
        for each in (name, *(leg.cl_ord_id for leg in request.legs)):
            self._intent_seq[each] = seq
            self._open_at.setdefault((owner, request.symbol), {})[each] = None
        if request.position_effect == "close":
            self._leaving(event)
            return
        self.demand(event.leg == "entry", 6, f"{name}: a {event.leg} order that opens")
        again = [n for n in self._live(owner, request.symbol) if ledger.orders[n].entry]
        self.demand(not again, 2, f"{name} enters {request.symbol} while {again} may still fill there")
        state = ledger.halted.get(BOOK) or ledger.halted.get(owner)
        self.demand(state is None, 6, f"{name} was intended while the {owner} or its book was {state}")
        self.demand(not ledger.awaiting_release, 12, f"{name} was intended after a crash and before a release")
        before = self._entered_on.setdefault((owner, event.signal_id), name)
        self.demand(before == name, 2, f"signal {event.signal_id} was acted on as {before} and again as {name}")
        entries = ledger.entries + 1
        most = self.limits.max_trades_per_day
        self.demand(entries <= most, 5, f"{name} is entry {entries} of the day, the limit is {most}")
        pnl = None if ledger.adjusted or self.planted else ledger.day_pnl()
        lost = pnl is not None and pnl <= -self.limits.max_daily_loss
        self.demand(
            not lost, 5, f"{name} was intended at a day P&L of {pnl}, the limit is {self.limits.max_daily_loss}"
        )

    def _leaving(self, event: OrderIntended) -> None:
        """An exit closes no more than its owner holds; an emergency asks for the cancel of what rests before."""
        request, ledger = event.request, self.ledger
        name, symbol = request.cl_ord_id, request.symbol
        if event.leg == "liquidate":
            resting = [
                other
                for other, order in self.truth.orders.items()
                if order.live and order.symbol == symbol and other in ledger.orders
            ]
            left = [n for n in resting if n not in ledger.cancelled and ledger.orders[n].leg != "liquidate"]
            self.demand(
                not left, 10, f"{name} closes {symbol} while {left} rest there, and nobody asked to cancel them"
            )
            return
        if symbol in self.planted or self.lying_disk:
            return
        others = [n for n in self._live(event.strategy_id, symbol) if not ledger.orders[n].entry]
        self.demand(not others, 2, f"{name} closes {symbol} while {others} work for {event.strategy_id} at the broker")
        held = ledger.of(event.strategy_id, symbol)
        sign = 1 if request.side == "buy" else -1
        text = f"{name} closes {sign * request.order_qty} {symbol}, {event.strategy_id} holds {held}"
        self.demand(-sign * held >= request.order_qty, 5, text)

    def _live(self, owner: str, symbol: str) -> list[str]:
        """Orders of one owner in one symbol that truly work at the broker, or are on their way there."""
        if symbol in self.planted or self.lying_disk:
            return []
        found = []
        for name in self._open_at.get((owner, symbol), ()):
            known = self.truth.orders.get(name)
            if known.live if known is not None else self.under_way(name):
                found.append(name)
        return found

    def _ended(self, event: OrderChanged) -> None:
        """Our books end an order only once it is over at the broker, and no request for it is under way."""
        name = event.cl_ord_id
        known = self.truth.orders.get(name)
        symbol = known.symbol if known is not None else ""
        if event.cum_qty >= event.order_qty or symbol in self.planted or name in self.planted or self.lying_disk:
            return
        live = known.live if known is not None else self.under_way(name)
        self.demand(
            not live, 9, f"{name} is {event.status} here ({event.arc}: {event.reason}), and works at the broker"
        )

    def rebuild(self, kept: int) -> None:
        """A crash has left `kept` records: what came after them has not happened, but for what was sent."""
        del self._events[kept:]
        self._intent_seq = {name: seq for name, seq in self._intent_seq.items() if seq <= kept}
        self.ledger = Ledger()
        for event in self._events:
            self.ledger.take(event)

    def _denied(self, event: OrderDenied, judged: dict[str, RiskDecided]) -> None:
        name = event.request.cl_ord_id
        verdict = judged.get(name)
        refused = verdict is not None and not verdict.allowed and bool(verdict.failed)
        self.demand(refused, 11, f"{name} was denied, and no verdict on record says why")

    def _repaired(self, event: RepairApplied, state: State, events: list[Event]) -> None:
        found = any(isinstance(e, BreakFound) and e.break_id == event.break_id for e in [*events, *self._events])
        self.demand(found, 11, f"repair of {event.break_id} ({event.kind} {event.symbol}) without a break on record")
        if event.qty and event.symbol not in self.planted:
            true = self.truth.held_since(event.symbol, self.now_ms - _BELIEVABLE_MS)
            net = state.net_qty(event.symbol)
            self.demand(
                net in true, 11, f"repaired {event.symbol} to {net}, which the broker never held of late: {true}"
            )

    def _position(self, symbol: str, state: State) -> None:
        ours = sum((p.qty for p in state.positions.values() if p.symbol == symbol), ZERO)
        mine = sum((qty for (_, held), qty in self.ledger.held.items() if held == symbol), ZERO)
        self.demand(ours == mine, 3, f"{symbol}: the books hold {ours}, executions and adjustments come to {mine}")
        net = state.net_qty(symbol)
        self.demand(net == mine, 3, f"{symbol}: the net is {net}, executions and adjustments come to {mine}")

    # --- a request leaves ---------------------------------------------------------------------------------------

    def sending(self, effect: Effect, durable: int) -> None:
        """A request is about to leave; `durable` records would surely survive a crash now."""
        if isinstance(effect, SubmitOrder):
            name = effect.request.cl_ord_id
            times = self._sent[name] = self._sent.get(name, 0) + 1
            # What a lying disk has lost is decided again, under the same id: the venue takes it once.
            self.demand(times == 1 or self.lying_disk, 2, f"{name} was sent {times} times")
        elif isinstance(effect, CancelOrder):
            name = effect.cl_ord_id
            known = name in self.ledger.orders or name in self.ledger.heard_of or name in self.truth.orders
            self.demand(known, 1, f"cancel of {name}, unheard of")
            return
        elif isinstance(effect, ReplaceOrder):
            return
        else:
            return
        seq = self._intent_seq.get(name)
        self.demand(seq is not None, 1, f"{name} was sent, and nothing on record asked for it")
        durable_enough = self.lying_disk or (seq is not None and seq <= durable)
        self.demand(durable_enough, 1, f"{name} was sent with its intent (record {seq}) not on disk ({durable} are)")
        order, ledger = self.ledger.orders[name], self.ledger
        self.demand(name not in ledger.cancelled, 6, f"{name} was sent after it was asked to cancel")
        if order.entry:
            state = ledger.halted.get(BOOK) or ledger.halted.get(order.owner)
            self.demand(state is None, 6, f"{name} was sent while {order.owner} or its book was {state}")
            self._exposure(name)

    def dropped(self, subject: str) -> None:
        """A request will never have an effect: what it asked for exists only where an earlier one brought it."""
        what, _, name = subject.partition(" ")
        if what == "submit":
            self._dead.add(name)

    def _pending(self) -> dict[str, Decimal]:
        """Entries that are out there or may be, and what they may still fill, by id."""
        pending: dict[str, Decimal] = {}
        for name in self._sent:
            order = self.ledger.orders.get(name)
            known = self.truth.orders.get(name)
            if order is None or not order.entry or (known is None and name in self._dead):
                continue
            leaves = known.leaves if known is not None else order.qty
            if leaves > 0:
                pending[name] = leaves
        return pending

    def _exposure(self, name: str) -> None:
        """The worst that can be held if everything fills, at the decision price, by what is truly at the broker."""
        if self.planted or self.ledger.adjusted:
            return
        order, limits = self.ledger.orders[name], self.limits
        pending, held = self._pending(), self.truth.positions
        mine = [n for n in pending if self.ledger.orders[n].symbol == order.symbol]
        same_side = sum((pending[n] for n in mine if self.ledger.orders[n].sign == order.sign), ZERO)
        worst = max(ZERO, order.sign * held.get(order.symbol, ZERO)) + same_side
        if limits.max_position_qty is not None:
            text = f"{name}: {worst} {order.symbol} may come to be held, the limit is {limits.max_position_qty}"
            self.demand(worst <= limits.max_position_qty, 5, text)
        self.demand(order.rate is not None, 5, f"{name}: nobody knew what the currency of {order.symbol} is worth")
        notional = worst * order.decision_px * (order.rate or ZERO)
        text = f"{name}: {order.symbol} may come to {notional}, the limit is {limits.max_position_notional}"
        self.demand(notional <= limits.max_position_notional, 5, text)
        others = {s for s in held if s != order.symbol}
        others |= {self.ledger.orders[n].symbol for n in pending} - {order.symbol}
        count = len(others)
        text = f"{name} may open a position beside {count} others, the limit is {limits.max_open_positions}"
        self.demand(count < limits.max_open_positions, 5, text)
