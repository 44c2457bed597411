"""Orders, updates and activities of the broker as our execution reports and orders (§13).

A report has the same content wherever it is read from, the stream or the books: exec_id is the broker's execution id
for a fill, and order and event for anything else; its cursor is when the broker says it happened, in nanoseconds.
Raises Malformed for what cannot be understood; whoever asked hands that on as `quarantined`.
"""

import hashlib
from collections.abc import Container, Mapping
from decimal import Decimal
from typing import Any, Final

from qmworkbench.brokers.alpaca import reading, words
from qmworkbench.brokers.alpaca.adoption import Adoption, Known
from qmworkbench.brokers.alpaca.reading import Malformed
from qmworkbench.domain.execution import BrokerOrder, ExecType, ExecutionReport
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import TERMINAL, Leg, OrdStatus, PositionEffect, Side

QUARANTINED: Final = "quarantined: "
_ENDS: Final = (
    ("canceled_at", ExecType.CANCELED, "canceled"),
    ("expired_at", ExecType.EXPIRED, "expired"),
    ("failed_at", ExecType.REJECTED, "rejected"),
)


class Facts:
    """Reads what the broker says of orders, with what is known of them. One thread at a time."""

    def __init__(self, adoption: Adoption) -> None:
        self._adoption = adoption
        self._filled: dict[str, tuple[Decimal, Decimal]] = {}  # by order: quantity and value up to the last fill

    # --- the stream ---------------------------------------------------------------------------------------------

    def of_update(self, data: Mapping[str, Any]) -> ExecutionReport | None:
        """One trade update; None for the end of a replaced order, which its successor tells. Raises Malformed."""
        event = reading.text(data, "event")
        order = reading.mapping(data.get("order"), "order")
        known = self._adoption.learn(order)
        if event in ("fill", "partial_fill", "trade_bust"):
            return self._traded(data, order, known, event)
        if event == "new":
            return self._begun(order, known)
        if event == "replaced":
            return None
        more = _more(data)
        if event in words.EVENTS:
            exec_type, field = words.EVENTS[event]
            at = reading.nanoseconds(order if order.get(field) is not None else data, _timed(order, field))
            return self._report(order, known, exec_type, at, self._name(known, event, at), more)
        if event in words.QUIET:
            at = reading.nanoseconds(data, "timestamp")
            return self._report(order, known, ExecType.ORDER_STATUS, at, f"{known.order_id}.{event}.{at}", more)
        raise Malformed(f"event is {event!r}, which is not known")

    @staticmethod
    def _name(known: Known, event: str, at: int) -> str:
        once = event in ("canceled", "expired", "rejected")
        return f"{known.order_id}.{event}" if once else f"{known.order_id}.{event}.{at}"

    def _traded(self, data: Mapping[str, Any], order: Mapping[str, Any], known: Known, event: str) -> ExecutionReport:
        at = reading.nanoseconds(data, "timestamp")
        busted = event == "trade_bust"
        qty, px = reading.quantity(data, "qty", least=ZERO), reading.price(data, "price")
        more = _more(data)
        ref = more.get("ref") or data.get("previous_execution_id")
        if busted and not isinstance(ref, str):
            raise Malformed("a trade_bust does not say which execution it takes back")
        return self._report(
            order,
            known,
            ExecType.TRADE_CANCEL if busted else ExecType.TRADE,
            at,
            reading.text(data, "execution_id"),
            more,
            last_qty=qty,
            last_px=px,
            ref_exec_id=ref if busted else None,
        )

    # --- the books ------------------------------------------------------------------------------------------------

    def of_order(self, order: Mapping[str, Any]) -> list[ExecutionReport]:
        """What an order's own times tell: that it was taken or replaced another, and how it ended. Raises Malformed."""
        known = self._adoption.learn(order)
        told: list[ExecutionReport] = []
        if order.get("submitted_at") is not None and order.get("status") != "held":
            told.append(self._begun(order, known))
        if order.get("replaced_by") is None:
            for field, exec_type, event in _ENDS:
                if order.get(field) is not None:
                    at = reading.nanoseconds(order, field)
                    told.append(self._report(order, known, exec_type, at, f"{known.order_id}.{event}", _more(order)))
        return told

    def of_last_change(self, order: Mapping[str, Any], explained: Container[int]) -> ExecutionReport | None:
        """An open order that was changed last at a time nothing else explains goes on with another quantity: its exits
        follow a position, its broker restated it. None where there is nothing to tell. Raises Malformed.
        """
        known = self._adoption.learn(order)
        status = reading.word(order, "status", words.STATUSES)
        at = reading.nanoseconds(order, "updated_at")
        if status in TERMINAL or order.get("status") == "held" or at in explained:
            return None
        return self._report(order, known, ExecType.RESTATED, at, self._name(known, "restated", at), _more(order))

    def of_activity(self, entry: Mapping[str, Any]) -> ExecutionReport:
        """One execution as the account's activities list it, oldest first. Raises Malformed."""
        name = reading.text(entry, "id")
        order_id = reading.text(entry, "order_id")
        known = self._adoption.of_id(order_id) or Known(order_id, order_id, order_id)
        at = reading.nanoseconds(entry, "transaction_time")
        cum, leaves = reading.quantity(entry, "cum_qty"), reading.quantity(entry, "leaves_qty")
        qty, px = reading.quantity(entry, "qty", least=ZERO), reading.price(entry, "price")
        more, busted = _more(entry), entry.get("type") == "trade_bust"
        before, value = self._filled.get(order_id, (ZERO, ZERO))
        if cum > before:
            before, value = before + qty, value + qty * px
            self._filled[order_id] = (before, value)
        avg = value / before if before == cum and cum else px
        ref = more.get("ref")
        if busted and not isinstance(ref, str):
            raise Malformed("a trade_bust does not say which execution it takes back")
        return ExecutionReport(
            cursor=at,
            exec_id=name.rpartition("::")[2],
            exec_type=ExecType.TRADE_CANCEL if busted else ExecType.TRADE,
            cl_ord_id=known.name,
            order_id=order_id,
            symbol=reading.text(entry, "symbol"),
            side=reading.word(entry, "side", words.SIDES),
            ord_status=_status(entry.get("order_status") or ("partially_filled" if leaves else "filled"), cum),
            order_qty=cum + leaves,
            cum_qty=cum,
            transact_time=_when(at, more),
            avg_px=avg,
            last_qty=qty,
            last_px=px,
            fee=_money(more, "fee", ZERO),
            parent_id=known.parent,
            leg=known.leg if known.nameless else None,
            ref_exec_id=ref if busted else None,
            conversion_rate=_money(more, "rate", ONE),
        )

    def forget_fills(self) -> None:
        """The activities are about to be read from the beginning again."""
        self._filled.clear()

    def broker_order(self, order: Mapping[str, Any]) -> BrokerOrder:
        """An order as the broker's books hold it. Raises Malformed."""
        known = self._adoption.learn(order)
        status = reading.word(order, "status", words.STATUSES)
        qty = _order_qty(order)
        cum = reading.quantity(order, "filled_qty")
        if status is OrdStatus.ACCEPTED and cum > 0:
            status = OrdStatus.PARTIALLY_FILLED
        intent = order.get("position_intent")
        closes = known.leg is not None or words.EFFECTS.get(str(intent)) is PositionEffect.CLOSE
        ended = status in TERMINAL or order.get("status") == "held"
        before = self._adoption.of_id(str(order.get("replaces") or ""))
        at = reading.nanoseconds(order, "updated_at")
        return BrokerOrder(
            cl_ord_id=known.name,
            order_id=known.order_id,
            symbol=reading.text(order, "symbol"),
            side=reading.word(order, "side", words.SIDES),
            position_effect=PositionEffect.CLOSE if closes else PositionEffect.OPEN,
            ord_type=reading.word(order, "type", words.TYPES),
            time_in_force=reading.word(order, "time_in_force", words.TIMES_IN_FORCE),
            ord_status=status,
            order_qty=qty,
            cum_qty=cum,
            leaves_qty=ZERO if ended else qty - cum,
            avg_px=reading.optional(order, "filled_avg_price") or ZERO,
            transact_time=_when(at, {}),
            stop_px=reading.optional(order, "stop_price"),
            limit_px=reading.optional(order, "limit_price"),
            parent_id=known.parent,
            leg=known.leg or (Leg.EXIT if closes else Leg.ENTRY),
            orig_cl_ord_id=None if before is None else before.name,
        )

    # --- both -----------------------------------------------------------------------------------------------------

    def _begun(self, order: Mapping[str, Any], known: Known) -> ExecutionReport:
        """An order was taken into the books; one that replaces another is the other's next life."""
        at = reading.nanoseconds(order, "submitted_at" if order.get("submitted_at") is not None else "created_at")
        replaces = order.get("replaces")
        if replaces is None:
            return self._report(order, known, ExecType.NEW, at, f"{known.order_id}.new", {}, begins=True)
        before = self._adoption.of_id(str(replaces))
        if before is None:
            raise Malformed(f"order {known.order_id} replaces {replaces}, which is not known")
        more = _more(order)
        return self._report(
            order, known, ExecType.REPLACED, at, f"{known.order_id}.replaced", more, orig_cl_ord_id=before.name
        )

    def _report(
        self,
        order: Mapping[str, Any],
        known: Known,
        exec_type: ExecType,
        at: int,
        exec_id: str,
        more: Mapping[str, Any],
        *,
        begins: bool = False,
        **also: Any,
    ) -> ExecutionReport:
        cum = ZERO if begins else reading.quantity(order, "filled_qty")
        status = order.get("status") if not begins else "new"
        name, orig = known.name, also.pop("orig_cl_ord_id", None)
        if exec_type is ExecType.REPLACE_REJECTED:
            name, orig = str(more.get("asked") or ""), known.name
        return ExecutionReport(
            cursor=at,
            exec_id=exec_id,
            exec_type=exec_type,
            cl_ord_id=name,
            order_id=known.order_id,
            symbol=reading.text(order, "symbol"),
            side=reading.word(order, "side", words.SIDES),
            ord_status=_status(status, cum),
            order_qty=_order_qty(order),
            cum_qty=cum,
            transact_time=_when(at, more),
            avg_px=(reading.optional(order, "filled_avg_price") or ZERO) if cum else ZERO,
            fee=_money(more, "fee", ZERO),
            parent_id=known.parent,
            leg=known.leg if known.nameless else None,
            reason=str(more.get("reason") or ""),
            conversion_rate=_money(more, "rate", ONE),
            orig_cl_ord_id=orig,
            **also,
        )


def quarantined(raw: bytes | str, why: str, known: Known | None, at: int, symbol: str = "") -> ExecutionReport:
    """Something the broker said that cannot be understood, handed on all the same: on record, moving nothing."""
    content = raw if isinstance(raw, bytes) else raw.encode()
    return ExecutionReport(
        cursor=at,
        exec_id=f"quarantined-{hashlib.sha256(content).hexdigest()[:24]}",
        exec_type=ExecType.ORDER_STATUS,
        cl_ord_id=known.name if known is not None else "",
        order_id=known.order_id if known is not None else "",
        symbol=symbol,
        side=Side.BUY,
        ord_status=OrdStatus.UNKNOWN,
        order_qty=ZERO,
        cum_qty=ZERO,
        transact_time=reading.moment(at),
        reason=f"{QUARANTINED}{why}"[:300],
    )


def _order_qty(order: Mapping[str, Any]) -> Decimal:
    """The whole quantity; an order for an amount of money has none until it has filled."""
    return reading.quantity(order, "qty" if order.get("qty") is not None else "filled_qty")


def _status(status: object, cum: Decimal) -> OrdStatus:
    found = words.STATUSES.get(status) if isinstance(status, str) else None
    if found is None:
        raise Malformed(f"status is {reading.excerpt(status)!r}, which is not known")
    return OrdStatus.PARTIALLY_FILLED if found is OrdStatus.ACCEPTED and cum > 0 else found


def _more(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a venue of ours says beside the broker's words; empty elsewhere."""
    found = holder.get("qm")
    return found if isinstance(found, dict) else {}


def _money(more: Mapping[str, Any], name: str, absent: Decimal) -> Decimal:
    return absent if more.get(name) is None else reading.number(more, name)


def _when(at: int, more: Mapping[str, Any]) -> Any:
    return reading.moment(reading.nanoseconds(more, "at") if more.get("at") is not None else at)


def _timed(order: Mapping[str, Any], field: str) -> str:
    return field if order.get(field) is not None else "timestamp"
