"""Why an order was refused, in words that every broker's text is reduced to, and what follows (§13 Order Rejected).

1. *risk*: the account may not carry it (buying power, margin, a broker's own exposure limit).
2. *broker_rule*: the broker does not do this (no shorting, no such order type, pattern day trading, too many requests).
3. *invalid_size*: quantity or price do not fit the instrument's grid or minimum.
4. *market_state*: closed, halted, no price, not marketable: later the same order might pass.
5. *duplicate_id*: the broker has an order of that id already. That is no rejection of ours: it may be live, and is
   asked for. Everything else is *unknown*.

A strategy never resubmits blindly: one signal leads to one entry order, and after a rejection the same instance leaves
the symbol alone until a whole boundary has gone by. A row of rejected entries stops the instance. Exits are never
stopped by any of this.
"""

import re
from enum import StrEnum
from typing import Final

from qmworkbench.domain.orders import Leg, Order
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.session_state import position_key
from qmworkbench.trading.state import State


class RejectCode(StrEnum):
    """What OrderChanged.reject_code says of a refusal."""

    RISK = "risk"
    BROKER_RULE = "broker_rule"
    INVALID_SIZE = "invalid_size"
    MARKET_STATE = "market_state"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN = "unknown"


# Codes that stand in front of a text, as this house's own venue gives them.
_BY_WORD: Final[dict[RejectCode, str]] = {
    RejectCode.DUPLICATE_ID: "duplicate_cl_ord_id",
    RejectCode.RISK: "insufficient_buying_power",
    RejectCode.BROKER_RULE: "bad_cl_ord_id unknown_symbol bad_trail bad_time_in_force bad_decided_at bad_legs "
    "not_shortable shorting_disabled no_locate pattern_day_trader leg_waits leg_follows_entry unknown_order "
    "refused_by_broker",
    RejectCode.INVALID_SIZE: "bad_qty qty_not_on_lot qty_below_minimum bad_price price_not_on_tick "
    "notional_below_minimum qty_below_filled",
    RejectCode.MARKET_STATE: "market_closed halted no_market_price no_conversion_rate nothing_to_reduce "
    "already_triggered no_liquidity not_marketable stop_on_wrong_side target_on_wrong_side delisted",
}
_WORDS: Final = {word: code for code, words in _BY_WORD.items() for word in words.split()}
_WORD: Final = re.compile(r"\s*([a-z]+(?:_[a-z]+)*)(?::|\s*$)")
# Alpaca gives one number to several things, so its words are read first; the number tells where they say nothing.
_BY_NUMBER: Final[dict[str, RejectCode]] = {
    "40010001": RejectCode.INVALID_SIZE,
    "40310000": RejectCode.RISK,
    "40310100": RejectCode.BROKER_RULE,
    "42210000": RejectCode.INVALID_SIZE,
    "42910000": RejectCode.BROKER_RULE,
}
_NUMBER: Final = re.compile(r"\b(4\d{7})\b")
# The first that fits counts: a duplicate before everything, because it says that the order exists.
_BY_TEXT: Final[tuple[tuple[RejectCode, re.Pattern[str]], ...]] = tuple(
    (code, re.compile(pattern, re.IGNORECASE))
    for code, pattern in (
        (RejectCode.DUPLICATE_ID, r"duplicate|order_?id must be unique|already exists|already (in )?use"),
        (RejectCode.BROKER_RULE, r"pattern.?day|\bpdt\b|day.?trad|wash|too many requests|rate.?limit|throttl"),
        (RejectCode.BROKER_RULE, r"short|borrow|locate|not allowed|not permitted|forbidden|unauthori[sz]ed|restrict"),
        (
            RejectCode.RISK,
            r"buying.?power|margin|insufficient|exposure|not enough|exceeds .{0,30}(limit|balance|equity)",
        ),
        (RejectCode.MARKET_STATE, r"market .{0,20}(closed|not open)|halt|suspend|trading hours|auction|no liquidity"),
        (RejectCode.INVALID_SIZE, r"qty|quantity|notional|\blots?\b|\btick|increment|penny|minimum|fraction|decimal"),
        (RejectCode.INVALID_SIZE, r"(limit|stop|take.?profit).{0,8}price|price must|base_price|invalid price"),
        (RejectCode.BROKER_RULE, r"not.?(tradable|active|found|supported)|unsupported|invalid (symbol|asset|order)"),
        (RejectCode.BROKER_RULE, r"time.?in.?force|extended.?hours|order.?(type|class)|bracket"),
    )
)


def classify(text: str) -> RejectCode:
    """The class of a refusal, from the broker's code or words; UNKNOWN where neither is known."""
    word = _WORD.match(text)
    if word is not None and word[1] in _WORDS:
        return _WORDS[word[1]]
    for code, pattern in _BY_TEXT:
        if pattern.search(text):
            return code
    number = _NUMBER.search(text)
    return _BY_NUMBER.get(number[1], RejectCode.UNKNOWN) if number is not None else RejectCode.UNKNOWN


def resting(state: State, strategy_id: str, symbol: str) -> str:
    """Why the instance leaves a symbol alone after a rejection there; "" once a whole boundary has gone by."""
    rejected = state.day.rejected_at.get(position_key(strategy_id, symbol))
    if rejected is None or state.day.boundary > rejected + 1:
        return ""
    return f"the broker rejected an entry here after boundary {rejected}: no other before {rejected + 2}"


def after_rejection(decision: Decision, order: Order, code: RejectCode, reason: str) -> None:
    """Tell people; stop an instance whose entries are rejected in a row. Exits go on whatever happens here."""
    state = decision.state
    decision.alarm(
        "order_rejected",
        order.cl_ord_id,
        Priority.P2 if order.leg is Leg.ENTRY else Priority.P1,
        f"{order.symbol}: {order.leg} order rejected ({code}): {reason}",
        f"see what caused it: {_CAUSE[code]}; `qm order inspect {order.cl_ord_id}`",
    )
    run = state.day.runs.get(order.strategy_id)
    if run is None or order.leg is not Leg.ENTRY or run.rejections < state.day.limits.max_rejections_per_strategy:
        return
    text = f"{run.rejections} entries in a row were rejected, last: {reason}"
    if decision.restrict(order.strategy_id, TradingState.REDUCING, "repeated_rejection", text, "oms"):
        decision.alarm(
            "repeated_rejection",
            order.strategy_id,
            Priority.P1,
            f"{order.strategy_id} is stopped: {text}",
            "find the cause, then restart the strategy",
        )


_CAUSE: Final[dict[RejectCode, str]] = {
    RejectCode.RISK: "the account does not carry it; compare buying power with the limits",
    RejectCode.BROKER_RULE: "the broker does not do this; see the instrument's rules and the account's permissions",
    RejectCode.INVALID_SIZE: "quantity or price do not fit the instrument; see its lot, tick and least value",
    RejectCode.MARKET_STATE: "the market did not take it then; see whether the symbol trades",
    RejectCode.DUPLICATE_ID: "the broker has that id already; see its order history",
    RejectCode.UNKNOWN: "the broker's words are not known here; read them, and the broker's own log",
}
