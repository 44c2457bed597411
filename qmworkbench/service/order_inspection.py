"""What `qm order inspect` holds against each other, gathered from the journal and the broker (§13).

The journal is read beside whoever writes it; the broker through the caller's connection. Nothing is changed.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, Protocol

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.orders import FillRecorded, OrderIntended, ReplaceRequested
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.domain.orders import Leg, Order
from qmworkbench.operations.duplicate_suspicion import Answer, Inspection, Key, Suspicion, inspect
from qmworkbench.ports import Broker
from qmworkbench.trading.fold import apply
from qmworkbench.trading.state import State

_TOLD: Final = ("session.opened", "order.intended", "order.replace_requested", "fill.recorded")


class Record(Protocol):
    """A journal that can be read by kinds of events."""

    def events(self, types: list[str] | None = None) -> Iterator[tuple[int, Event]]: ...


class NoSuchOrder(Exception):
    """Neither our books nor the broker's know the id. The message names it and where ids are listed."""


class _Told:
    """What the record has about one order, whichever of its ids was asked for."""

    def __init__(self, journal: Record, asked: str) -> None:
        self.first = asked
        self.ids: list[str] = []
        self.intent: OrderIntended | None = None
        self.leg: Leg | None = None
        self.session = self.book = ""
        self.booked: dict[str, tuple[Decimal, Decimal]] = {}
        events = [event for _, event in journal.events(list(_TOLD))]
        for event in events:
            if isinstance(event, ReplaceRequested) and event.request.cl_ord_id == asked:
                self.first = event.order
        for event in events:
            self._take(event)
        self.ids = list(dict.fromkeys([self.first, *self.ids, asked]))

    def _take(self, event: Event) -> None:
        if isinstance(event, SessionOpened):
            if self.intent is None:
                self.session, self.book = event.session_id, event.book
        elif isinstance(event, ReplaceRequested) and event.order == self.first:
            self.ids.append(event.request.cl_ord_id)
        elif isinstance(event, OrderIntended) and self.intent is None:
            legs = {leg.cl_ord_id: leg.leg for leg in event.request.legs}
            if event.request.cl_ord_id == self.first:
                self.intent, self.leg = event, event.leg
            elif self.first in legs:
                self.intent, self.leg = event, legs[self.first]
        elif isinstance(event, FillRecorded) and event.cl_ord_id in (self.first, *self.ids):
            self.booked[event.exec_id] = (event.last_qty, event.last_px)

    @property
    def key(self) -> Key | None:
        intent = self.intent
        if intent is None or self.leg is None:
            return None
        return Key(
            found=self.first,
            book=self.book,
            session=self.session,
            strategy_id=intent.strategy_id,
            symbol=intent.request.symbol,
            signal_id=intent.signal_id,
            leg=self.leg.value,
            attempt=intent.attempt if self.leg is intent.leg else 1,
        )


def gather(journal: Record, state: State, broker: Broker | None, asked: str, *, unreadable: str = "") -> Inspection:
    """Look at one order by any id it has or had. `broker` None: it cannot be read, `unreadable` says why.

    Raises NoSuchOrder.
    """
    told = _Told(journal, asked)
    order = state.order_named(told.first)
    if order is None and told.intent is not None:
        order = _of_an_earlier_session(journal, told.first)
    if order is not None and order.working_id:
        told.ids = list(dict.fromkeys([*told.ids, order.working_id]))
    siblings = _siblings(state, order)
    names = [*told.ids, *(o.broker_id for o in siblings)]
    if broker is None:
        answers = tuple(Answer(cl_ord_id=name, error=unreadable or "no connection") for name in told.ids)
        given = Suspicion(
            asked=asked, order=order, key=told.key, siblings=siblings, answers=answers, booked=told.booked
        )
        return inspect(given)
    answers = tuple(_ask(broker, name) for name in names)
    if order is None and all(a.found is None and not a.error for a in answers):
        raise NoSuchOrder(f"{asked}: neither our books nor the broker's know it; `qm order list --all` has all of ours")
    known = {asked, *told.ids, *(a.found.cl_ord_id for a in answers if a.found is not None)}
    try:
        history = tuple(r for r in broker.reports(0) if r.cl_ord_id in known or r.orig_cl_ord_id in known)
        trouble = ""
    except Exception as error:  # whatever an adapter raises: a failed query is told, never taken for an empty answer
        history, trouble = (), f"{type(error).__name__}: {error}"
    return inspect(
        Suspicion(
            asked=asked,
            order=order,
            key=told.key,
            siblings=siblings,
            answers=answers,
            history=history,
            history_error=trouble,
            booked=told.booked,
        )
    )


def _ask(broker: Broker, name: str) -> Answer:
    try:
        found, _ = broker.order(name)
    except Exception as error:  # as above
        return Answer(cl_ord_id=name, error=f"{type(error).__name__}: {error}")
    return Answer(cl_ord_id=name, found=found)


def _siblings(state: State, order: Order | None) -> tuple[Order, ...]:
    """Our other orders for the same signal and leg: earlier and later attempts."""
    if order is None or not order.signal_id:
        return ()
    wish = (order.strategy_id, order.symbol, order.signal_id, order.leg)
    return tuple(
        other
        for other in state.orders.values()
        if other is not order and (other.strategy_id, other.symbol, other.signal_id, other.leg) == wish
    )


def _of_an_earlier_session(journal: Record, name: str) -> Order | None:
    """The order as its session left it: the state forgets ended orders when the next one opens."""
    state = State()
    for _, event in journal.events():
        if isinstance(event, SessionOpened) and name in state.orders:
            return state.orders[name]
        apply(state, event)
    return state.orders.get(name)
