"""Orders, updates, fills, positions, account and clock in Alpaca's JSON; numbers are strings, as there (§12, §13).

The object `qm` beside them says what the broker's shapes have no field for: fees and rates of an execution, why an
order ended, the session's realized P&L. A client of Alpaca passes over it.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from qmworkbench.domain.execution import Account, AccountActivity, BrokerOrder, BrokerPosition, ExecType
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import OrdStatus, PositionEffect
from qmworkbench.venue.wire.names import EVENTS, STATUSES, TIMES_IN_FORCE, TYPES, ns_of, rfc3339, wire_id
from qmworkbench.venue.wire.tape import Fill, Tape, Update, WireOrder

_NTA: Final = {
    "dividend": "DIV",
    "split": "SPLIT",
    "symbol_change": "NC",
    "delisting": "MA",
    "cash_in_lieu": "CIL",
    "financing": "INT",
    "borrow_fee": "FEE",
}
CLOSED: Final = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})


def text(value: Decimal) -> str:
    """A number as the wire spells it: plain digits."""
    return f"{value:f}"


def order(tape: Tape, wire: WireOrder, *, update: Update | None = None, nested: bool = True) -> dict[str, Any]:
    """An order as it stands, or as it stood when `update` was said. `nested` shows its legs inside it."""
    held = tape.held(wire)
    if held is None:
        raise LookupError(f"{wire.name} is not in the exchange's books")
    status, qty, cum, avg = _standing(wire, held, update)
    kind = TYPES[held.ord_type]
    legs = [order(tape, tape.orders[leg], nested=False) for leg in wire.legs] if nested and wire.legs else None
    closes = held.position_effect is PositionEffect.CLOSE
    asset = wire_id(tape.venue, "asset", held.symbol)
    return {
        "id": wire.wire_id,
        "client_order_id": wire.name,
        "created_at": rfc3339(wire.created_ns),
        "updated_at": rfc3339(update.ns if update is not None else max(wire.updated_ns, wire.created_ns)),
        "submitted_at": _time(wire.submitted_ns),
        "filled_at": _time(wire.filled_ns),
        "expired_at": _time(wire.expired_ns),
        "canceled_at": _time(wire.canceled_ns),
        "failed_at": _time(wire.failed_ns),
        "replaced_at": _time(wire.replaced_ns),
        "replaced_by": wire.replaced_by,
        "replaces": wire.replaces,
        "asset_id": asset,
        "symbol": held.symbol,
        "asset_class": "us_equity",
        "notional": None,
        "qty": text(qty),
        "filled_qty": text(cum),
        "filled_avg_price": text(avg) if cum else None,
        "order_class": "bracket" if wire.legs or wire.parent else "simple",
        "order_type": kind,
        "type": kind,
        "side": held.side.value,
        "position_intent": f"{held.side.value}_to_{'close' if closes else 'open'}",
        "time_in_force": TIMES_IN_FORCE[held.time_in_force],
        "limit_price": None if held.limit_px is None else text(held.limit_px),
        "stop_price": None if held.stop_px is None else text(held.stop_px),
        "status": status,
        "extended_hours": False,
        "legs": legs,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "qm": {"reason": wire.reason},
    }


def _standing(wire: WireOrder, held: BrokerOrder, update: Update | None) -> tuple[str, Decimal, Decimal, Decimal]:
    if update is not None:
        said = update.report
        return STATUSES[said.ord_status], said.order_qty, said.cum_qty, said.avg_px
    if wire.replaced_by is not None:
        return "replaced", wire.ended_qty or held.order_qty, ZERO, ZERO
    asleep = held.ord_status is OrdStatus.ACCEPTED and wire.parent is not None and wire.submitted_ns is None
    status = "held" if asleep else STATUSES[held.ord_status]
    return status, held.order_qty, held.cum_qty, held.avg_px


def trade_updates(tape: Tape, update: Update) -> list[dict[str, Any]]:
    """The messages of the stream for one report: one, but for a replace, which is the end of one order and the
    beginning of another.
    """
    if update.report.exec_type is not ExecType.REPLACED or update.order.replaces is None:
        return [_message(tape, update)]
    before = tape.orders[update.order.replaces]
    ended = {
        "event": "replaced",
        "execution_id": wire_id(tape.venue, "execution", f"{update.report.exec_id} ended"),
        "timestamp": rfc3339(update.ns),
        "order": order(tape, before, nested=False),
    }
    return [{"stream": "trade_updates", "data": ended}, _message(tape, update)]


def _message(tape: Tape, update: Update) -> dict[str, Any]:
    said = update.report
    traded = said.exec_type in (ExecType.TRADE, ExecType.TRADE_CANCEL)
    done = said.cum_qty >= said.order_qty
    event = EVENTS[said.exec_type] if said.exec_type is not ExecType.TRADE else "fill" if done else "partial_fill"
    data: dict[str, Any] = {
        "event": event,
        "execution_id": wire_id(tape.venue, "execution", said.exec_id),
        "timestamp": rfc3339(update.ns),
        "order": order(tape, update.order, update=update, nested=False),
    }
    more: dict[str, Any] = {"reason": said.reason, "at": rfc3339(ns_of(said.transact_time))}
    if traded:
        data |= {"price": text(said.last_px), "qty": text(said.last_qty)}
        more |= {"fee": text(said.fee), "rate": text(said.conversion_rate)}
    if said.ref_exec_id is not None:
        more["ref"] = wire_id(tape.venue, "execution", said.ref_exec_id)
    if said.exec_type is ExecType.REPLACE_REJECTED:
        more["asked"] = said.cl_ord_id
    return {"stream": "trade_updates", "data": data | {"qm": more}}


def activity_id(tape: Tape, ns: int, name: str) -> str:
    """The id of an activity: its time to the millisecond, and what it is of."""
    spelled = rfc3339(ns)
    digits = "".join(c for c in spelled[:23] if c.isdigit())
    return f"{digits}::{name}"


def fill_activity(tape: Tape, fill: Fill) -> dict[str, Any]:
    """One execution, as the account's activities list it."""
    said = fill.report
    done = said.cum_qty >= said.order_qty
    more = {"fee": text(said.fee), "rate": text(said.conversion_rate), "at": rfc3339(ns_of(said.transact_time))}
    kind = "fill" if done else "partial_fill"
    if said.exec_type is ExecType.TRADE_CANCEL:
        kind, more["ref"] = "trade_bust", wire_id(tape.venue, "execution", said.ref_exec_id or "")
    return {
        "activity_type": "FILL",
        "id": activity_id(tape, fill.ns, wire_id(tape.venue, "execution", said.exec_id)),
        "transaction_time": rfc3339(fill.ns),
        "type": kind,
        "order_id": fill.order.wire_id,
        "order_status": STATUSES[said.ord_status],
        "symbol": said.symbol,
        "side": said.side.value,
        "price": text(said.last_px),
        "qty": text(said.last_qty),
        "cum_qty": text(said.cum_qty),
        "leaves_qty": text(max(said.order_qty - said.cum_qty, ZERO)),
        "qm": more,
    }


def other_activity(tape: Tape, ns: int, told: AccountActivity) -> dict[str, Any]:
    """What the account was booked without an order; `qm` holds all of it."""
    return {
        "activity_type": _NTA[told.kind.value],
        "id": activity_id(tape, ns, wire_id(tape.venue, "activity", told.activity_id)),
        "date": told.effective,
        "net_amount": text(told.amount),
        "symbol": told.symbol,
        "qty": text(told.qty_after - told.qty_before),
        "per_share_amount": text(told.px),
        "description": told.detail,
        "status": "executed",
        "qm": {"ns": rfc3339(ns), "entry": msgspec.to_builtins(told)},
    }


def position(tape: Tape, held: BrokerPosition) -> dict[str, Any]:
    """A net position."""
    cost = held.market_value - held.unrealized_pnl
    share = text(held.unrealized_pnl / abs(cost)) if cost else "0"
    return {
        "asset_id": wire_id(tape.venue, "asset", held.symbol),
        "symbol": held.symbol,
        "exchange": "NASDAQ",
        "asset_class": "us_equity",
        "asset_marginable": True,
        "qty": text(held.qty),
        "qty_available": text(held.qty),
        "avg_entry_price": text(held.avg_px),
        "side": "long" if held.qty > 0 else "short",
        "market_value": text(held.market_value),
        "cost_basis": text(cost),
        "unrealized_pl": text(held.unrealized_pnl),
        "unrealized_plpc": share,
        "unrealized_intraday_pl": text(held.unrealized_pnl),
        "unrealized_intraday_plpc": share,
        "current_price": text(held.market_px),
        "lastday_price": text(held.market_px),
        "change_today": "0",
    }


def account(tape: Tape, stated: Account) -> dict[str, Any]:
    """The account; `qm` says what its day has realized and cost."""
    longs = text(stated.positions_value)
    return {
        "id": wire_id(tape.venue, "account", tape.venue),
        "account_number": f"QM-{tape.venue}",
        "status": "ACTIVE",
        "currency": stated.currency,
        "cash": text(stated.cash),
        "equity": text(stated.equity),
        "portfolio_value": text(stated.equity),
        "last_equity": text(stated.equity - stated.realized_pnl - stated.unrealized_pnl + stated.fees),
        "buying_power": text(stated.buying_power),
        "long_market_value": longs,
        "short_market_value": "0",
        "daytrade_count": stated.day_trades,
        "pattern_day_trader": stated.pattern_day_trader,
        "shorting_enabled": stated.shorting_enabled,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
        "multiplier": "1",
        "created_at": rfc3339(0),
        "qm": {
            "realized_pnl": text(stated.realized_pnl),
            "fees": text(stated.fees),
            "positions_value": text(stated.positions_value),
            "unrealized_pnl": text(stated.unrealized_pnl),
            "as_of": rfc3339(ns_of(stated.as_of)),
        },
    }


def clock(now: datetime, is_open: bool, opens: datetime, closes: datetime) -> dict[str, Any]:
    """The market's clock as the venue has it: that of the bars it is shown."""
    return {
        "timestamp": rfc3339(ns_of(now)),
        "is_open": is_open,
        "next_open": rfc3339(ns_of(opens)),
        "next_close": rfc3339(ns_of(closes)),
    }


def _time(ns: int | None) -> str | None:
    return None if ns is None else rfc3339(ns)
