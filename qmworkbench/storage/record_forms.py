"""The commonest records as their rows ask for them: amounts, times and words as the text they are recorded as (§17).

A row keeps that very text: making numbers and times of it, only to put them in words again, was the better part of the
work of making tables anew. What no row asks for is left out. Each form has its event's name and some of its fields,
which a test holds; handing a journal's record to one raises msgspec.ValidationError where it does not fit.
"""

import msgspec

from qmworkbench.domain.events.orders import RuleVerdict


class Form(msgspec.Struct, kw_only=True, tag_field="type", gc=False):
    """A record; `at` as events have it."""

    at: str


class SignalRaised(Form, kw_only=True, tag="signal.raised", gc=False):
    """market.SignalRaised."""

    signal_id: str
    strategy_id: str
    symbol: str
    kind: str
    decision_px: str
    stop_px: str | None = None
    target_px: str | None = None
    trail_bps: int | None = None
    max_hold_bars: int | None = None
    why: str = ""


class RiskDecided(Form, kw_only=True, tag="risk.decided", gc=False):
    """orders.RiskDecided; its rules as the document they are kept as."""

    cl_ord_id: str
    strategy_id: str
    symbol: str
    leg: str
    allowed: bool
    rules: msgspec.Raw
    limits_hash: str


class LegRequest(msgspec.Struct, kw_only=True, gc=False):
    """execution.LegRequest."""

    cl_ord_id: str
    leg: str
    ord_type: str
    time_in_force: str
    stop_px: str | None = None
    limit_px: str | None = None
    trail_bps: int | None = None


class OrderRequest(msgspec.Struct, kw_only=True, gc=False):
    """execution.OrderRequest."""

    cl_ord_id: str
    symbol: str
    side: str
    position_effect: str
    ord_type: str
    order_qty: str
    time_in_force: str
    limit_px: str | None = None
    stop_px: str | None = None
    trail_bps: int | None = None
    legs: tuple[LegRequest, ...] = ()


class OrderIntended(Form, kw_only=True, tag="order.intended", gc=False):
    """orders.OrderIntended."""

    request: OrderRequest
    strategy_id: str
    leg: str
    signal_id: str
    attempt: int
    decision_px: str
    reserve_notional: str
    reason: str = ""


class OrderDenied(Form, kw_only=True, tag="order.denied", gc=False):
    """orders.OrderDenied."""

    request: OrderRequest
    strategy_id: str
    leg: str
    signal_id: str
    decision_px: str
    reason: str


class OrderChanged(Form, kw_only=True, tag="order.changed", gc=False):
    """orders.OrderChanged."""

    cl_ord_id: str
    arc: str
    status: str
    cum_qty: str
    order_qty: str
    order_id: str | None = None
    reason: str = ""
    limit_px: str | None = None
    stop_px: str | None = None


class FillRecorded(Form, kw_only=True, tag="fill.recorded", gc=False):
    """orders.FillRecorded."""

    exec_id: str
    cl_ord_id: str
    strategy_id: str
    symbol: str
    side: str
    last_qty: str
    last_px: str
    fee: str
    transact_time: str
    realized_pnl: str
    position_qty: str
    position_cost: str
    conversion_rate: str
    slippage_bps: str | None = None
    adopted: bool = False


class TradeClosed(Form, kw_only=True, tag="trade.closed", gc=False):
    """orders.TradeClosed."""

    trade_id: str
    strategy_id: str
    symbol: str
    side: str
    qty: str
    entry_px: str
    exit_px: str
    opened_at: str
    closed_at: str
    gross_pnl: str
    fees: str
    net_pnl: str
    exit_leg: str
    exit_reason: str
    signal_id: str
    decision_px: str
    bars_held: int
    initial_stop_px: str | None = None
    target_px: str | None = None
    r_multiple: str | None = None


_verdicts = msgspec.json.Decoder(tuple[RuleVerdict, ...])


def failed_rules(rules: str) -> str:
    """The codes of the rules that did not let an order pass, in their order, from a RiskDecided's document."""
    if "false" not in rules:
        return ""  # as almost always, and told without taking it apart
    return ", ".join(rule.code for rule in _verdicts.decode(rules) if not rule.passed)
