"""Duplicate Order Suspicion: the operator's four steps as one pure judgement (§13).

1. The idempotency key: the id is made of book, session, instance, symbol, signal, leg and attempt, so that the same
   wish always has the same id. It must come out again from what is on record.
2. The broker's order history: every id the order ever had is asked for; what works there now, what has filled.
3. The internal state: the order as our books have it, and its executions.
4. Their comparison: one order, on one side, of one size, filled by the same executions, alive or ended on both sides.

The verdict is *agree*, *differ*, *ambiguous* (an answer is still due, or silence has to be settled first) or
*unreadable* (the broker could not be read: a failed query is no empty answer). A duplicate is two live orders at the
broker for one wish; then, and where the state is ambiguous, the affected strategy is to be halted.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from qmworkbench.domain.execution import BrokerOrder, ExecType, ExecutionReport
from qmworkbench.domain.ids import cl_ord_id
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import IN_DOUBT, TERMINAL, Leg, Order, OrdStatus


class Finding(StrEnum):
    """What the comparison comes to."""

    AGREE = "agree"
    DIFFER = "differ"
    AMBIGUOUS = "ambiguous"
    UNREADABLE = "unreadable"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What an id is made of, in the order in which it is hashed; `found` is the id on record."""

    found: str
    book: str
    session: str
    strategy_id: str
    symbol: str
    signal_id: str
    leg: str
    attempt: int

    @property
    def derived(self) -> str:
        """The id that these parts give."""
        return cl_ord_id(
            book=self.book,
            session=self.session,
            strategy_id=self.strategy_id,
            symbol=self.symbol,
            signal_id=self.signal_id,
            leg=self.leg,
            attempt=self.attempt,
        )

    @property
    def holds(self) -> bool:
        return self.derived == self.found


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's answer about one id: what it has, or `error` where it could not be asked."""

    cl_ord_id: str
    found: BrokerOrder | None = None
    error: str = ""


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is held against each other.

    `order` is ours, None where nobody here sent it; `key` None where no intent is on record. `siblings` are our other
    orders for the same signal and leg. `answers` are the broker's, by id, `history` its reports about any of the ids,
    `history_error` why they could not be read. `booked` are our executions of the order, by the broker's id, as
    (quantity, price).
    """

    asked: str
    order: Order | None
    key: Key | None
    siblings: tuple[Order, ...] = ()
    answers: tuple[Answer, ...] = ()
    history: tuple[ExecutionReport, ...] = ()
    history_error: str = ""
    booked: dict[str, tuple[Decimal, Decimal]] = {}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One of the four steps: what was looked at, in lines, and whether it is as it should be."""

    title: str
    lines: tuple[str, ...]
    sound: bool


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement: four steps, the finding with its reason, and what to do next."""

    asked: str
    steps: tuple[Step, ...]
    finding: Finding
    reason: str
    next_step: str
    strategy_id: str = ""
    live_at_broker: tuple[str, ...] = ()


_WAITS: Final = IN_DOUBT | {OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE}


def inspect(given: Suspicion) -> Inspection:
    """Judge one order."""
    live = _live(given)
    differences = _differences(given, live)
    finding, reason = _finding(given, live, differences)
    key, broker, ours = _key_step(given), _broker_step(given, live), _internal_step(given)
    sound = finding is Finding.AGREE
    lines = tuple(differences) or ("nothing differs" if sound else reason,)
    compared = Step(title="4 comparison", lines=lines, sound=sound)
    return Inspection(
        asked=given.asked,
        steps=(key, broker, ours, compared),
        finding=finding,
        reason=reason,
        next_step=_next_step(given, finding, live),
        strategy_id=given.order.strategy_id if given.order is not None else "",
        live_at_broker=tuple(o.cl_ord_id for o in live),
    )


def _live(given: Suspicion) -> list[BrokerOrder]:
    """The different orders that work at the broker for this wish, whichever id told of them."""
    found = {a.found.order_id: a.found for a in given.answers if a.found is not None}
    return [o for o in found.values() if o.ord_status not in TERMINAL and o.leaves_qty > ZERO]


def _main(given: Suspicion) -> BrokerOrder | None:
    """What the broker has of the order itself: under the id it works under, else under any id it had."""
    own = {given.asked} if given.order is None else {given.order.broker_id, given.order.cl_ord_id}
    siblings = {name for other in given.siblings for name in (other.cl_ord_id, other.broker_id)}
    found = [a.found for a in given.answers if a.found is not None and a.cl_ord_id not in siblings]
    return next((o for o in found if o.cl_ord_id in own), found[0] if found else None)


def _unreadable(given: Suspicion) -> str:
    failed = [f"{a.cl_ord_id}: {a.error}" for a in given.answers if a.error]
    if given.history_error:
        failed.append(f"its history: {given.history_error}")
    return "; ".join(failed)


def _differences(given: Suspicion, live: Sequence[BrokerOrder]) -> list[str]:
    found: list[str] = []
    if len(live) > 1 or any(o.is_open and given.order is not None and given.order.is_open for o in given.siblings):
        names = [o.cl_ord_id for o in live] if len(live) > 1 else [o.cl_ord_id for o in given.siblings if o.is_open]
        found.append(f"more than one live order for one wish: {', '.join(names)}")
    if given.key is not None and not given.key.holds:
        found.append(f"the id does not come out again: {given.key.derived} from what is on record")
    order, theirs = given.order, _main(given)
    if order is not None and theirs is not None:
        found += _of_one_order(order, theirs)
    elif order is None and theirs is not None:
        found.append(f"the broker has it ({theirs.ord_status}), and nobody here sent it")
    elif order is not None and not _unreadable(given) and (order.cum_qty > ZERO or _confirmed_open(order)):
        found.append(f"we have it as {order.status}, filled {order.cum_qty}; the broker does not know it")
    return found + _of_executions(given)


def _confirmed_open(order: Order) -> bool:
    return order.is_open and order.order_id is not None


def _of_one_order(order: Order, theirs: BrokerOrder) -> list[str]:
    ended = order.status in TERMINAL, theirs.ord_status in TERMINAL
    pairs: list[tuple[str, object, object]] = [
        ("symbol", order.symbol, theirs.symbol),
        ("side", order.side.value, theirs.side.value),
        ("filled", order.cum_qty, theirs.cum_qty),
    ]
    if ended != (True, True):
        pairs.append(("quantity", order.order_qty, theirs.order_qty))
    if ended[0] != ended[1] and order.status not in _WAITS:
        pairs.append(("status", order.status.value, theirs.ord_status.value))
    if ended == (False, False) and order.replacing is None:
        pairs += [("limit", order.limit_px, theirs.limit_px)]
        if order.trail_bps is None:
            pairs += [("stop", order.stop_px, theirs.stop_px)]
    return [f"{what}: ours {ours}, the broker's {broker}" for what, ours, broker in pairs if ours != broker]


def _of_executions(given: Suspicion) -> list[str]:
    """The executions on both sides, by id, those that the broker took back left out."""
    if given.history_error or given.order is None:
        return []
    back = {r.ref_exec_id for r in given.history if r.exec_type is ExecType.TRADE_CANCEL}
    theirs = {
        r.exec_id: (r.last_qty, r.last_px)
        for r in given.history
        if r.exec_type is ExecType.TRADE and r.exec_id not in back
    }
    ours = {name: told for name, told in given.booked.items() if name not in back}
    found = [f"execution {name} of {theirs[name][0]} is not in our books" for name in theirs if name not in ours]
    found += [f"execution {name} of {ours[name][0]} is not in the broker's" for name in ours if name not in theirs]
    both = [name for name in theirs if name in ours and theirs[name] != ours[name]]
    return found + [f"execution {name}: ours {ours[name]}, the broker's {theirs[name]}" for name in both]


def _answer_due(order: Order) -> bool:
    """Whether our side waits for the broker's word. A leg comes alive with its entry: until then none is due."""
    return order.status in _WAITS and not (order.parent_id is not None and order.is_in_doubt)


def _finding(given: Suspicion, live: Sequence[BrokerOrder], differences: Sequence[str]) -> tuple[Finding, str]:
    if len(live) > 1:
        return Finding.DIFFER, f"{len(live)} live orders at the broker for one wish: a duplicate is proven"
    unreadable = _unreadable(given)
    if unreadable:
        return Finding.UNREADABLE, f"the broker could not be read ({unreadable}); nothing is concluded"
    order = given.order
    if order is not None and _answer_due(order):
        return Finding.AMBIGUOUS, f"our side is {order.status}: an answer of the broker is still due"
    if differences:
        return Finding.DIFFER, differences[0]
    if order is None and _main(given) is None:
        return Finding.AMBIGUOUS, "neither our books nor the broker's know it"
    return Finding.AGREE, "one order, the same on both sides"


def _next_step(given: Suspicion, finding: Finding, live: Sequence[BrokerOrder]) -> str:
    order = given.order
    stop = f"`qm strategy stop {order.strategy_id} --reason …`" if order is not None and order.strategy_id else ""
    if finding is Finding.AGREE:
        return "nothing to do: there is no duplicate"
    if finding is Finding.UNREADABLE:
        also = f"; halt the strategy meanwhile: {stop}" if stop else ""
        return f"ask again when the broker answers (`qm broker history`), send nothing by hand{also}"
    if len(live) > 1:
        known = order.broker_id if order is not None else ""
        surplus = next((o.cl_ord_id for o in live if o.cl_ord_id != known), live[-1].cl_ord_id)
        surplus = f"cancel the surplus: `qm order cancel {surplus} --reason …`"
        return f"{surplus}, then {stop or '`qm pause`'} and `qm reconcile`"
    if finding is Finding.AMBIGUOUS:
        if order is None:
            return "check the id: `qm order list --all` has ours, `qm broker history` the broker's"
        return f"halt the affected strategy until it is settled: {stop}; then `qm reconcile`, and look again"
    return f"{stop or '`qm pause --reason …`'}, then `qm reconcile`: the broker is right about exposure"


def _key_step(given: Suspicion) -> Step:
    key = given.key
    if key is None:
        told = "no intent of ours is on record for it" if given.order is None else "its intent is not on record"
        return Step(title="1 idempotency key", lines=(f"{given.asked}: {told}",), sound=given.order is not None)
    parts = {
        "book": key.book,
        "session": key.session,
        "instance": key.strategy_id,
        "symbol": key.symbol,
        "signal": key.signal_id,
        "leg": key.leg,
        "attempt": key.attempt,
    }
    again = "comes out again from them" if key.holds else f"does NOT come out again: {key.derived}"
    made = ", ".join(f"{name} {value}" for name, value in parts.items())
    return Step(title="1 idempotency key", lines=(f"{key.found} {again}", f"made of: {made}"), sound=key.holds)


def _broker_step(given: Suspicion, live: Sequence[BrokerOrder]) -> Step:
    lines = []
    for answer in given.answers:
        if answer.error:
            lines.append(f"{answer.cl_ord_id}: could not be asked: {answer.error}")
        elif answer.found is None:
            lines.append(f"{answer.cl_ord_id}: not in the broker's books")
        else:
            o = answer.found
            lines.append(
                f"{answer.cl_ord_id}: {o.ord_status}, {o.side} {o.order_qty} {o.symbol}, filled {o.cum_qty}"
                f" at {o.avg_px}, open {o.leaves_qty} (the broker's {o.order_id}, as {o.cl_ord_id})"
            )
    for report in given.history:
        fill = f" {report.last_qty} at {report.last_px}" if report.last_qty else ""
        why = f": {report.reason}" if report.reason else ""
        lines.append(f"{report.transact_time:%Y-%m-%d %H:%M:%S} {report.exec_id} {report.exec_type}{fill}{why}")
    if given.history_error:
        lines.append(f"its history could not be read: {given.history_error}")
    return Step(title="2 broker order history", lines=tuple(lines), sound=not _unreadable(given) and len(live) <= 1)


def _internal_step(given: Suspicion) -> Step:
    order = given.order
    if order is None:
        return Step(title="3 internal state", lines=("no order of ours has that id",), sound=False)
    also = f", the broker has it as {order.working_id}" if order.working_id else ""
    lines = [
        f"{order.cl_ord_id}: {order.status}, {order.leg} {order.side} {order.order_qty} {order.symbol}"
        f" of {order.strategy_id}, filled {order.cum_qty} at {order.avg_px:f}{also}"
    ]
    if order.reason:
        lines.append(f"last word: {order.reason}")
    if order.replacing is not None:
        lines.append(f"asked to go on as {order.replacing.cl_ord_id}, {order.replacing.order_qty}: not answered")
    lines += [f"execution {name}: {qty} at {px}" for name, (qty, px) in given.booked.items()]
    lines += [f"for the same signal: {o.cl_ord_id}, attempt {o.attempt}, {o.status}" for o in given.siblings]
    twice = order.is_open and order.leg is not Leg.LIQUIDATE and any(o.is_open for o in given.siblings)
    return Step(title="3 internal state", lines=tuple(lines), sound=not twice and not _answer_due(order))
