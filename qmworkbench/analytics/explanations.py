"""Each trade as one paragraph that a strategy owner reads (§17, §18); analytics/untraded.py tells what did not trade.

Made from the record alone, so the same record always tells the same: `qm why`, the reports and the review share it.
Times are the exchange's.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from qmworkbench.analytics.symbol_day import SymbolDay
from qmworkbench.domain.orders import Leg

Clock = Callable[[datetime], str]
Row = Mapping[str, Any]


def exchange_clock(zone: str) -> Clock:
    """Times of day as the exchange's clock shows them: "10:04"."""
    there = ZoneInfo(zone)
    return lambda at: f"{at.astimezone(there):%H:%M}"


# --- a trade ------------------------------------------------------------------------------------------------------


def explain_trades(trades: pl.DataFrame, days: Mapping[str, SymbolDay], clock: Clock, currency: str) -> pl.DataFrame:
    """trade_id and `story`, the paragraph of each trade of analytics/trades.py."""
    rows = trades.to_dicts()
    stories = [explain_trade(row, days.get(row["symbol"]) or SymbolDay(row["symbol"]), clock, currency) for row in rows]
    schema = {"trade_id": pl.String, "story": pl.String}
    return pl.DataFrame({"trade_id": [row["trade_id"] for row in rows], "story": stories}, schema=schema)


def explain_trade(trade: Row, day: SymbolDay, clock: Clock, currency: str) -> str:
    """One closed trade, from its finding to its result."""
    parts = [
        _how_it_came(trade, day, clock),
        _entry(trade, clock),
        _plan(trade, currency),
        _exit(trade, clock),
        _reached(trade),
        _result(trade, currency),
        *_oddities(trade),
    ]
    side = "long" if trade["side"] == "buy" else "short"
    return f"{trade['symbol']} {side}, {trade['strategy_id']}: {' '.join(part for part in parts if part)}"


def _how_it_came(trade: Row, day: SymbolDay, clock: Clock) -> str:
    """What the scan and the allocator did before, and the signal."""
    decided = trade["decided_at"]
    if decided is None:
        return "It was held already when this session began." if trade["carried"] else ""
    told = []
    found = [event for event in day.found if event.at <= decided and event.rank is not None]
    if found:
        told.append(f"{clock(found[-1].at)} found at rank {found[-1].rank} of the scan")
    owned = [owned for owned in day.owned if owned.strategy_id == trade["strategy_id"] and owned.since <= decided]
    if owned:
        told.append(f"{clock(owned[-1].since)} given to {trade['strategy_id']}")
    side = "long" if trade["side"] == "buy" else "short"
    setup = f" ({trade['setup']})" if trade["setup"] else ""
    told.append(f"{clock(decided)} its {side} signal at {price(trade['decision_px'])}{setup}")
    return "; ".join(told) + "."


def _entry(trade: Row, clock: Clock) -> str:
    did = "bought" if trade["side"] == "buy" else "sold short"
    fills = f" in {trade['entry_fills']} fills" if (trade["entry_fills"] or 0) > 1 else ""
    slipped = _slipped(trade["entry_slippage_bps"], "than decided")
    return f"{clock(trade['opened_at'])} {did} {_qty(trade['qty'])} at {price(trade['entry_px'])}{fills}{slipped}."


def _plan(trade: Row, currency: str) -> str:
    stop, target, risk = trade["initial_stop_px"], trade["target_px"], trade.get("risk")
    told = []
    if stop is not None:
        one_r = f" (1 R = {risk:,.2f} {currency})" if risk else ""
        trailing = f", trailing {trade['trail_bps']} bps" if trade["trail_bps"] else ""
        told.append(f"stop {price(stop)}{trailing}{one_r}")
    told.append(f"target {price(target)}" if target is not None else "no target")
    return f"{_first_up(', '.join(told))}."


def _exit(trade: Row, clock: Clock) -> str:
    held = _span(trade["hold_min"])
    px, leg, when = price(trade["exit_px"]), trade["exit_leg"], clock(trade["closed_at"])
    if leg == Leg.STOP:
        overrun = trade.get("stop_overrun_bps")
        beyond = f", {overrun:.1f} bps beyond its level" if overrun is not None and overrun >= 0.05 else ""
        trailed = "by its trailing stop " if trade["trail_bps"] else ""
        return f"{when} stopped out {trailed}at {px} after {held}{beyond}."
    slipped = _slipped(trade["exit_slippage_bps"], "than decided")
    if leg == Leg.TARGET:
        return f"{when} target reached at {px} after {held}."
    if leg == Leg.CLOSE:
        return f"{when} closed with the session at {px} after {held}."
    why = f" ({trade['exit_reason']})" if trade["exit_reason"] else ""
    delay = trade.get("exit_delay_s")
    late = f", {_span(delay / 60)} after deciding" if delay else ""
    return f"{when} left at {px} after {held}{why}{late}{slipped}."


def _reached(trade: Row) -> str:
    best, worst = trade.get("mfe_r"), trade.get("mae_r")
    if best is None or worst is None:
        return ""
    return f"Best it was {best:+.1f} R ({price(trade['mfe_px'])}), worst {worst:+.1f} R ({price(trade['mae_px'])})."


def _result(trade: Row, currency: str) -> str:
    multiple = f", {trade['r_multiple']:+.2f} R" if trade["r_multiple"] is not None else ""
    return f"Net {trade['net_pnl']:+,.2f} {currency} after {trade['fees']:,.2f} fees{multiple}."


def _oddities(trade: Row) -> list[str]:
    told = {
        "recovered": "Another process took the session over while it was held.",
        "adopted": "A fill of it was booked without an order of ours.",
        "flipped": "The fill that closed it opened the opposite.",
    }
    return [sentence for name, sentence in told.items() if trade[name]]


# --- words --------------------------------------------------------------------------------------------------------


def _slipped(bps: float | None, than: str) -> str:
    if bps is None:
        return ""
    if abs(bps) < 0.05:
        return ", as decided"
    return f", {abs(bps):.1f} bps {'worse' if bps > 0 else 'better'} {than}"


def price(px: float) -> str:
    """A price with as many decimals as it has, two at least."""
    text = f"{px:,.5f}".rstrip("0")
    whole, _, places = text.partition(".")
    return f"{whole}.{places:0<2}"


def _qty(qty: float) -> str:
    return f"{qty:,.0f}" if float(qty).is_integer() else f"{qty:,}"


def _span(minutes: float) -> str:
    if minutes < 2:
        return f"{minutes * 60:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]
