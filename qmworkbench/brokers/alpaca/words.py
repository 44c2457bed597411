"""Alpaca's words for orders, and ours (§13)."""

from typing import Final

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.orders import Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce

SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL, "sell_short": Side.SELL, "buy_minus": Side.BUY}
TYPES: Final = {
    "market": OrdType.MARKET,
    "limit": OrdType.LIMIT,
    "stop": OrdType.STOP,
    "stop_limit": OrdType.STOP_LIMIT,
    "trailing_stop": OrdType.STOP,
}
# What we never send and others may have sent is told by what comes nearest to it.
TIMES_IN_FORCE: Final = {
    "day": TimeInForce.DAY,
    "gtc": TimeInForce.GTC,
    "gtd": TimeInForce.GTC,
    "ioc": TimeInForce.IOC,
    "fok": TimeInForce.IOC,
    "cls": TimeInForce.AT_CLOSE,
    "opg": TimeInForce.DAY,
}
_WORKING: Final = OrdStatus.ACCEPTED
STATUSES: Final = {
    "new": _WORKING,
    "accepted": _WORKING,
    "pending_new": _WORKING,
    "accepted_for_bidding": _WORKING,
    "held": _WORKING,
    "stopped": _WORKING,
    "suspended": _WORKING,
    "calculated": _WORKING,
    "done_for_day": _WORKING,
    "partially_filled": OrdStatus.PARTIALLY_FILLED,
    "pending_cancel": OrdStatus.PENDING_CANCEL,
    "pending_replace": OrdStatus.PENDING_REPLACE,
    "filled": OrdStatus.FILLED,
    "canceled": OrdStatus.CANCELED,
    "replaced": OrdStatus.CANCELED,
    "expired": OrdStatus.EXPIRED,
    "rejected": OrdStatus.REJECTED,
}
# Events that end an order or change it; the field of the order that says when.
EVENTS: Final = {
    "canceled": (ExecType.CANCELED, "canceled_at"),
    "expired": (ExecType.EXPIRED, "expired_at"),
    "rejected": (ExecType.REJECTED, "failed_at"),
    "restated": (ExecType.RESTATED, "updated_at"),
    "order_cancel_rejected": (ExecType.CANCEL_REJECTED, "updated_at"),
    "order_replace_rejected": (ExecType.REPLACE_REJECTED, "updated_at"),
}
# On record, and nothing follows from them: the order goes on, or a word that counts comes after them.
QUIET: Final = frozenset(
    {
        "accepted", "pending_new", "pending_cancel", "pending_replace", "calculated", "stopped", "suspended",
        "done_for_day", "held", "accepted_for_bidding",
    }
)  # fmt: skip
LEG_TYPES: Final = {
    OrdType.STOP: Leg.STOP,
    OrdType.STOP_LIMIT: Leg.STOP,
    OrdType.LIMIT: Leg.TARGET,
    OrdType.MARKET: Leg.CLOSE,
}
EFFECTS: Final = {
    "buy_to_open": PositionEffect.OPEN,
    "sell_to_open": PositionEffect.OPEN,
    "buy_to_close": PositionEffect.CLOSE,
    "sell_to_close": PositionEffect.CLOSE,
}
OUT_TYPES: Final = {
    OrdType.MARKET: "market",
    OrdType.LIMIT: "limit",
    OrdType.STOP: "stop",
    OrdType.STOP_LIMIT: "stop_limit",
}
OUT_TIMES: Final = {
    TimeInForce.DAY: "day",
    TimeInForce.GTC: "gtc",
    TimeInForce.IOC: "ioc",
    TimeInForce.AT_CLOSE: "cls",
}
# Sentences and numbers of the broker, and the coded reasons they stand for; the number decides, else the sentence.
CODES: Final = {40010001: "bad_request", 40310000: "forbidden", 40410000: "unknown_order", 42910000: "rate_limited"}
SENTENCES: Final = (
    ("client_order_id must be unique", "duplicate_cl_ord_id"),
    ("insufficient buying power", "insufficient_buying_power"),
    ("insufficient qty available", "nothing_to_reduce"),
    ("cannot be sold short", "not_shortable"),
    ("not shortable", "not_shortable"),
    ("order not found", "unknown_order"),
    ("market is closed", "market_closed"),
)
