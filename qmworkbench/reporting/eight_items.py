"""The eight things a review looks at, in the runbook's order, as pieces of a page (§18)."""

from html import escape
from typing import Final

import polars as pl

from qmworkbench.analytics import review
from qmworkbench.reporting import figures
from qmworkbench.reporting.session_source import ZONE, SessionSource
from qmworkbench.reporting.tables import (
    Column,
    Html,
    clock,
    money,
    number,
    price,
    r_multiple,
    section,
    share,
    signed_money,
    subsection,
    table,
)

_AT: Final = clock(ZONE)


def eight_items(source: SessionSource) -> Html:
    """The eight things a review looks at, in the runbook's order."""
    record, done = source.record, source.trades
    bound = review.slippage_bound(record["fills"])
    slipped = review.slippage_outliers(record["fills"])
    hours = review.time_of_day(done)
    pieces = [
        subsection("1 Winners and losers", _winners(source), _excursions(source)),
        subsection("2 Rejected orders", _rejected(source)),
        subsection("3 Partial fills", _partial(source)),
        subsection(
            "4 Slippage outliers",
            figures.slippage(record["fills"], bound) if record["fills"].height else "",
            _slipped(slipped),
            note=f"Beyond {bound:.0f} bps here: the median plus three typical deviations, at least 10 bps.",
        ),
        subsection("5 Strategies with poor behaviour", _strategies(source)),
        subsection("6 Risk blocks", _risk_blocks(source)),
        subsection("7 Symbols frequently stopped out", _stopped(source)),
        subsection("8 Weak times of day", f'<div class="two">{_hours_chart(hours, source)}{_hours(hours)}</div>'),
    ]
    return section("Review", *pieces)


def _winners(source: SessionSource) -> Html:
    columns = [
        Column("outcome", "Outcome"),
        Column("trades", "Trades", number(0), "num"),
        Column("net_pnl", "Net", signed_money, "num"),
        Column("average", "Average", signed_money, "num"),
        Column("best", "Best", signed_money, "num"),
        Column("worst", "Worst", signed_money, "num"),
        Column("average_r", "Average R", r_multiple, "num"),
        Column("average_hold_min", "Held", number(0, "min"), "num"),
        Column("fees", "Fees", money, "num"),
    ]
    return table(
        review.winners_and_losers(source.trades), columns, empty="No closed trades, so no winners and no losers."
    )


def _excursions(source: SessionSource) -> str:
    known = source.trades.filter(pl.col("mae_r").is_not_null())
    return figures.excursions(source.trades) if known.height else ""


def _rejected(source: SessionSource) -> Html:
    columns = [
        Column("intended_at", "At", _AT, "num"),
        Column("symbol", "Symbol", kind="keep"),
        Column("leg", "Leg"),
        Column("side", "Side"),
        Column("order_qty", "Qty", number(0), "num"),
        Column("reason", "The broker's reason"),
        Column("cl_ord_id", "Order", kind="id"),
    ]
    return table(review.rejected_orders(source.record), columns, empty="The broker rejected no order.")


def _partial(source: SessionSource) -> Html:
    columns = [
        Column("intended_at", "At", _AT, "num"),
        Column("symbol", "Symbol", kind="keep"),
        Column("leg", "Leg"),
        Column("side", "Side"),
        Column("order_qty", "Ordered", number(0), "num"),
        Column("cum_qty", "Filled", number(0), "num"),
        Column("filled_share", "Share", share, "num"),
        Column("fills", "Fills", number(0), "num"),
        Column("open_min", "Open for", number(0, "min"), "num"),
        Column("status", "Ended"),
    ]
    return table(
        review.partial_fills(source.record), columns, empty="Every order that was filled was filled whole, at once."
    )


def _slipped(found: pl.DataFrame) -> Html:
    columns = [
        Column("at", "At", _AT, "num"),
        Column("symbol", "Symbol", kind="keep"),
        Column("leg", "Leg"),
        Column("side", "Side"),
        Column("qty", "Qty", number(0), "num"),
        Column("px", "Price", price, "num"),
        Column("slippage_bps", "Slippage", number(1, "bps"), "num"),
        Column("slippage_cost", "Cost", money, "num"),
    ]
    return table(found, columns, empty="No fill stands out.")


def _strategies(source: SessionSource) -> Html:
    columns = [
        Column("strategy_id", "Strategy", kind="keep"),
        Column("trades", "Trades", number(0), "num"),
        Column("net_pnl", "Net", signed_money, "num"),
        Column("win_rate", "Won", share, "num"),
        Column("profit_factor", "Profit factor", number(2), "num"),
        Column("expectancy_r", "Expectancy", r_multiple, "num"),
        Column("slippage_cost", "Slippage", money, "num"),
        Column(
            "poor",
            "Verdict",
            lambda why: f"poor: {escape(why)}" if why else "not poor, or too few trades to say",
            kind="prose",
        ),
    ]
    return table(
        review.strategies(source.trades),
        columns,
        empty="No strategy closed a trade.",
        flag=lambda row: bool(row["poor"]),
    )


def _risk_blocks(source: SessionSource) -> Html:
    columns = [
        Column("rule", "Rule", kind="keep"),
        Column("blocks", "Refused", number(0), "num"),
        Column("symbols", "Symbols"),
        Column("first_at", "First", _AT, "num"),
        Column("last_at", "Last", _AT, "num"),
        Column("last_value", "Last value"),
        Column("limit", "Limit"),
    ]
    return table(review.risk_blocks(source.record), columns, empty="The Risk Manager refused no order.")


def _stopped(source: SessionSource) -> Html:
    columns = [
        Column("symbol", "Symbol", kind="keep"),
        Column("stops", "Stops", number(0), "num"),
        Column("net_pnl", "Together", signed_money, "num"),
        Column("average_r", "Average R", r_multiple, "num"),
        Column("average_hold_min", "Held", number(0, "min"), "num"),
    ]
    return table(review.stopped_out(source.trades), columns, empty="No symbol was stopped out more than once.")


def _hours_chart(hours: pl.DataFrame, source: SessionSource) -> str:
    if hours.is_empty():
        return ""
    unit = source.figures.currency
    return figures.signed_bars(
        hours["bucket"].to_list(),
        hours["net_pnl"].to_list(),
        label=f"Net P&L by half hour of entry, {unit}",
        unit=unit,
        height=230,
        width=540,
    )


def _hours(hours: pl.DataFrame) -> Html:
    columns = [
        Column("bucket", "Entered from", kind="keep"),
        Column("trades", "Trades", number(0), "num"),
        Column("net_pnl", "Net", signed_money, "num"),
        Column("win_rate", "Won", share, "num"),
        Column("average_r", "Average R", r_multiple, "num"),
        Column("weak", "", lambda weak: "weak" if weak else ""),
    ]
    return table(hours, columns, empty="No trades, so no time of day to compare.", flag=lambda row: bool(row["weak"]))
