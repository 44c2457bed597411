"""A day's result by strategy, symbol, hour, setup and exit; and what analytics signalled meanwhile (§9, §18)."""

from html import escape
from typing import Any, Final

import polars as pl

from qmworkbench.analytics import breakdown, review
from qmworkbench.reporting import figures
from qmworkbench.reporting.session_source import ZONE, SessionSource
from qmworkbench.reporting.tables import (
    Column,
    Html,
    clock,
    money,
    number,
    r_multiple,
    section,
    share,
    signed_money,
    table,
)

_AT: Final = clock(ZONE)
_BARS: Final = 10


def where_it_came_from(source: SessionSource) -> Html:
    """The day's result taken apart: trade after trade, by strategy, by symbol, by half hour of entry."""
    done = source.trades
    if done.is_empty():
        return section("Where it came from", '<div class="none">No trade was closed in this session.</div>')
    unit = source.figures.currency
    hours = review.time_of_day(done)
    parts = [
        ("By strategy", _summed(done, "definition_id" if done["strategy_id"].n_unique() > _BARS else "strategy_id")),
        ("By symbol", _summed(done, "symbol")),
        ("By half hour of entry", list(zip(hours["bucket"].to_list(), hours["net_pnl"].to_list(), strict=True))),
    ]
    charts = [
        f"<div><h3>{title}</h3>{figures.ranked(rows, label=f'Net P&L {title.lower()}, {unit}')}</div>"
        for title, rows in parts
    ]
    return section(
        "Where it came from",
        figures.results(done.sort("closed_at", "trade_id"), zone=ZONE, currency=unit),
        f'<div class="three">{"".join(charts)}</div>',
        _measures(done),
        note=f"Net of fees, in {unit}.",
    )


def _summed(done: pl.DataFrame, by: str) -> list[tuple[str, float]]:
    """Net P&L by a column, best first; beyond what a chart can hold the small ones are one."""
    summed = done.group_by(by).agg(pl.col("net_pnl").sum(), pl.len()).sort("net_pnl", by, descending=[True, False])
    rows = [(f"{name} ({count})", net) for name, net, count in summed.rows()]
    if len(rows) <= _BARS:
        return rows
    largest = sorted(sorted(rows, key=lambda row: -abs(row[1]))[: _BARS - 1], key=lambda row: -row[1])
    rest = [row for row in rows if row not in largest]
    return [*largest, (f"{len(rest)} others", sum(net for _, net in rest))]


def _measures(done: pl.DataFrame) -> Html:
    """What each setup and each way out was worth, measure by measure."""
    rows: list[dict[str, Any]] = []
    for by, title in (("setup_kind", "Setup"), ("exit_leg", "Way out"), ("side", "Side")):
        grouped = breakdown.by(done.with_columns(pl.col(by).fill_null("")), by)
        rows += [{"what": f"{title}: {row[by] or 'not on record'}", **row} for row in grouped.iter_rows(named=True)]
    columns = [
        Column("what", "Of", kind="keep"),
        Column("trades", "Trades", number(0), "num"),
        Column("net_pnl", "Net", signed_money, "num"),
        Column("share", "Share of all moved", share, "num"),
        Column("win_rate", "Won", share, "num"),
        Column("profit_factor", "Profit factor", number(2), "num"),
        Column("expectancy_r", "Expectancy", r_multiple, "num"),
        Column("average_mae_r", "Worst, mean", r_multiple, "num"),
        Column("average_mfe_r", "Best, mean", r_multiple, "num"),
        Column("capture", "Kept of best", share, "num"),
        Column("slippage_bps", "Slippage", number(1, "bps"), "num"),
        Column("slippage_cost", "cost", money, "num"),
    ]
    listed = table(rows, columns, empty="")
    return Html(f"<details><summary>By setup, way out and side, in every measure</summary>{listed}</details>")


def signals(source: SessionSource) -> Html:
    """§9's four signals: where each stood at the end, and when one spoke."""
    told = source.record["analytics_signals"]
    final = told.filter(pl.col("final")).sort("active", "code", "subject", descending=[True, False, False])
    spoke = told.filter(~pl.col("final"))
    columns = [
        Column("code", "Signal", lambda code: escape(code.replace("_", " ")), "keep"),
        Column("subject", "About", kind="keep"),
        Column("active", "", lambda active: "beyond" if active else "within", "keep"),
        Column("value", "Value", number(1), "num"),
        Column("threshold", "Threshold", number(1), "num"),
        Column("unit", "", kind="keep"),
        Column("sample", "Sample", number(0), "num"),
        Column("text", "In words", kind="prose"),
    ]
    history = [
        Column("at", "At", _AT, "num"),
        Column("code", "Signal", lambda code: escape(code.replace("_", " ")), "keep"),
        Column("subject", "About", kind="keep"),
        Column("active", "", lambda active: "began" if active else "ended", "keep"),
        Column("text", "In words", kind="prose"),
    ]
    empty = "No signal had a sample large enough to say anything."
    listed = table(final, columns, empty=empty, flag=lambda row: bool(row["active"]))
    meanwhile = table(spoke, history, empty="None spoke during the session.")
    return section(
        "What analytics signalled",
        listed,
        f"<details><summary>When they spoke during the session</summary>{meanwhile}</details>",
        note="Unusual slippage, repeated failed entries, systematic late exits, unusual concentration: at the close.",
    )
