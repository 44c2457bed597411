"""The trade review: what the day made, trade by trade, what is kept for the next one, what was missed (§18)."""

from collections.abc import Mapping
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Any, Final

import polars as pl

from qmworkbench.analytics import stores
from qmworkbench.analytics.explanations import explain_trades
from qmworkbench.analytics.missed import LEAST_RUN_PCT
from qmworkbench.analytics.symbol_day import symbol_days
from qmworkbench.analytics.trades import vwap
from qmworkbench.operations.lines import several
from qmworkbench.reporting import figures
from qmworkbench.reporting.parity_review import share_of
from qmworkbench.reporting.session_source import ZONE, SessionSource, load_session
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
    text,
    tiles,
)
from qmworkbench.service.parity_book import kept

_AT: Final = clock(ZONE)
_CARDS: Final = 40
_SHORT: Final = {"exit signal": "signal", "flat at the close": "close", "opposite entry signal": "opposite signal"}
_AROUND: Final = timedelta(minutes=30)


def load(book_dir: Path | str, session_id: str = "") -> SessionSource:
    """The session to review; "" takes the newest."""
    return load_session(book_dir, session_id)


# --- the day ---------------------------------------------------------------------------------------------------------


def summary(source: SessionSource) -> Html:
    """The day in figures, and its equity."""
    day = source.figures
    unit = day.currency
    entries = [
        ("Net P&L", signed_money(day.net_pnl), f"{unit}, after fees"),
        ("Before fees", signed_money(day.gross_pnl), f"fees {money(day.fees)}"),
        ("Slippage", money(day.slippage_cost), f"{unit} against decision prices"),
        ("Trades", f"{day.trades}", f"{share(day.win_rate)} won"),
        ("Expectancy", r_multiple(day.expectancy_r), "per trade, in risk"),
        ("Profit factor", number(2)(day.profit_factor), "gains over losses"),
        ("Deepest drawdown", money(day.max_drawdown), f"{unit}, from its peak"),
        (
            "Held on average",
            number(0, "min")(day.average_hold_min),
            f"{share(day.time_in_market)} of the day in the market",
        ),
    ]
    start = float(day.start_equity) if day.start_equity is not None else 0.0
    pieces = [tiles([*entries, *_parity(source)])]
    if source.curve.height:
        told = source.statements
        pieces.append(figures.equity(source.curve, start=start, zone=ZONE, currency=unit, statements=told))
    return section("The day", *pieces, note="Times are New York time. Equity at the marks of each boundary.")


def _parity(source: SessionSource) -> list[tuple[str, str, str]]:
    """How near the session was to its backtest, where that was compared (`qm parity`, `qm nightly`)."""
    found = kept(source.book.paths, source.session_id)
    if found is None or found.unexplained_share is None:
        return []
    told = f"backtest {money(found.expected_pnl)}, session {money(found.recorded_pnl)} {found.account_currency}"
    return [("Unexplained", share_of(found.unexplained_share), told)]


def trades(source: SessionSource) -> Html:
    """Every trade as a row and, as far as there are bars, as a chart."""
    columns = [
        Column("opened_at", "In", _AT, "num"),
        Column("closed_at", "Out", _AT, "num"),
        Column("symbol", "Symbol", kind="keep"),
        Column("side", "Side", lambda side: "long" if side == "buy" else "short", "keep"),
        Column("net_pnl", "Net", signed_money, "num"),
        Column("r_multiple", "R", r_multiple, "num"),
        Column("strategy_id", "Strategy", kind="keep"),
        Column("qty", "Qty", number(0), "num"),
        Column("entry_px", "Entry", price, "num"),
        Column("exit_px", "Exit", price, "num"),
        Column("mae", "Worst", signed_money, "num"),
        Column("mfe", "Best", signed_money, "num"),
        Column("entry_slippage_bps", "Slip in", number(1, "bps"), "num"),
        Column("exit_slippage_bps", "Slip out", number(1, "bps"), "num"),
        Column("hold_min", "Held", number(0, "min"), "num"),
        Column("exit_reason", "Left by", _exit_reason, "keep"),
    ]
    listed = table(source.trades, columns, empty="No trade was closed in this session.")
    note = "In order of closing; worst and best are open P&L before fees, while the trade was held."
    return section("Trades", listed, _cards(source), note=note)


def _exit_reason(reason: str | None) -> str:
    """The cause in a word or two; the numbers behind it are in the trade's story."""
    cause = (reason or "").split(":")[0].split(",")[0]
    return text("time limit" if cause.startswith("held ") else _SHORT.get(cause, cause))


def _cards(source: SessionSource) -> Html:
    if source.bars.is_empty() or source.trades.is_empty():
        return Html(f'<div class="none">{escape(source.bars_missing or "No bars, hence no charts.")}</div>')
    shown = source.trades.sort("opened_at", "trade_id").head(_CARDS)
    by_symbol = {
        str(key[0]): vwap(part)
        for key, part in source.bars.filter(pl.col("symbol").is_in(shown["symbol"].unique().to_list()))
        .partition_by("symbol", as_dict=True)
        .items()
    }
    days = symbol_days(source.record.events, shown["symbol"].unique().sort().to_list())
    told = explain_trades(shown, days, _AT, source.figures.currency)
    stories = dict(told.rows())
    made = [_card(row, by_symbol.get(row["symbol"]), stories, source) for row in shown.iter_rows(named=True)]
    beyond = source.trades.height - shown.height
    more = f'<p class="muted">{beyond} more trades are in the table above.</p>' if beyond > 0 else ""
    legend = (
        "<p class='muted'>Line: close, in its range. Dashed: VWAP. ▲ bought, ▼ sold. Red line: stop; green line: "
        "target. Shaded: held.</p>"
    )
    return Html(f'<h3>Each trade</h3>{legend}<div class="grid wider">{"".join(made)}</div>{more}')


def _card(row: Mapping[str, Any], bars: pl.DataFrame | None, stories: Mapping[str, str], source: SessionSource) -> str:
    around = max(_AROUND, (row["closed_at"] - row["opened_at"]) * 0.35)
    drawn = ""
    if bars is not None:
        seen = bars.filter(pl.col("ts").is_between(row["opened_at"] - around, row["closed_at"] + around))
        if seen.height >= 2:
            interval = timedelta(seconds=source.record.opened.window.interval_s)
            drawn = figures.trade(seen.with_columns(pl.col("ts") + interval), dict(row), zone=ZONE)
    side = "long" if row["side"] == "buy" else "short"
    return (
        f'<div class="card"><div class="head"><span>{escape(row["symbol"])} {side} {_AT(row["opened_at"])} '
        f"<small>{escape(row['strategy_id'])}</small></span>"
        f"<span>{signed_money(row['net_pnl'])} · {r_multiple(row['r_multiple'])}</span></div>{drawn}"
        f"<p>{escape(_told(stories[row['trade_id']]))}</p></div>"
    )


def _told(story: str) -> str:
    """The story without the names that head the card."""
    return story.partition(": ")[2] or story


# --- stores, misses, recommendations ---------------------------------------------------------------------------------


def four_stores(source: SessionSource) -> Html:
    """What is kept for the next session: incidents, operator notes, overrides, improvements."""
    columns = [
        Column("at", "At", _AT, "num"),
        Column("what", "What"),
        Column("by", "By", kind="keep"),
        Column("source", "From", kind="keep"),
    ]
    kept = [
        (
            "Incident notes",
            stores.incidents(source.record),
            "No incident was noted, and nothing happened that asks for one.",
        ),
        (
            "Operator notes",
            stores.operator_notes(source.record),
            "No operator note. Add one: qm note add --kind operator.",
        ),
        ("Manual overrides", stores.manual_overrides(source.record), "Nobody overrode anything."),
        (
            "Candidate improvements",
            stores.improvements(source.record, ()),
            _no_improvement(source),
        ),
    ]
    return section(
        "Stored for the next session",
        *(subsection(title, table(rows, columns, empty=empty, stack=True)) for title, rows, empty in kept),
    )


def _no_improvement(source: SessionSource) -> str:
    """Recommendations are candidates as well; a page shows them once."""
    found = len(source.recommendations)
    if not found:
        return "No improvement was noted, and no rule found one."
    return f"None was noted by hand; the {several(found, 'recommendation')} above count as well."


def what_was_missed(source: SessionSource) -> Html:
    """Symbols that were seen and not traded, and rose afterwards; with why."""
    columns = [
        Column("symbol", "Symbol", kind="keep"),
        Column("stage", "Got as far as", kind="keep"),
        Column("seen_at", "Seen", _AT, "num"),
        Column("seen_px", "At", price, "num"),
        Column("run_pct", "Rose to", number(1, "%", sign=True), "num"),
        Column("best_at", "By", _AT, "num"),
        Column("fall_pct", "Fell before", number(1, "%", sign=True), "num"),
        Column("close_pct", "Closed", number(1, "%", sign=True), "num"),
        Column("why", "Why not", kind="prose"),
    ]
    found = source.missed
    note = (
        f"Never traded, and at least {LEAST_RUN_PCT:.0f} % higher later on. Hindsight: that a symbol ran does not "
        "prove it wrong to have passed it over."
    )
    listed = table(found.head(15), columns, empty="Nothing that was passed over ran.")
    rest = found.slice(15)
    if rest.height:
        more = table(rest, columns, empty="")
        listed = Html(f"{listed}<details><summary>{rest.height} more</summary>{more}</details>")
    return section("What was missed, and why", listed, note=note)


def recommendations(source: SessionSource) -> Html:
    """What the rules recommend, each with its evidence; and that they ran, where there is nothing."""
    rows = [
        {
            "title": _sentence(r.title),
            "evidence": "; ".join(r.evidence),
            "sample": r.sample,
            "action": _sentence(r.action),
        }
        for r in source.recommendations
    ]
    columns = [
        Column("title", "Found"),
        Column("evidence", "Evidence"),
        Column("sample", "Sample", number(0), "num"),
        Column("action", "Next"),
    ]
    told = source.recommendations_summary
    listed = table(rows, columns, empty=f"{_sentence(told)}.", stack=True)
    return section("Recommendations", listed, note="One day proves little: each names the sample it rests on.")


def _sentence(words: str) -> str:
    """With a capital, as a sentence begins; names that begin in lower case stay as they are written."""
    first = words.split(" ", 1)[0]
    return words if "-" in first or "_" in first else words[:1].upper() + words[1:]
