"""A run's tear sheet: what a backtest earned, when, at which risk and cost, and whether to believe it (§2)."""

from html import escape
from typing import Any, Final

import polars as pl

from qmworkbench.reporting import tear_figures as figures
from qmworkbench.reporting.page import sheet
from qmworkbench.reporting.run_sheet import Sheet, facts, title, where
from qmworkbench.reporting.sharpe_worth import worth_of
from qmworkbench.reporting.tables import (
    DASH,
    Column,
    Html,
    minus,
    money,
    number,
    section,
    signed_money,
    subsection,
    table,
    text,
    tiles,
)
from qmworkbench.reporting.tear_tables import (
    drawdowns,
    month_heat,
    percent,
    px,
    reasons,
    regimes,
    symbols,
)
from qmworkbench.research.backtests.runs import Run, RunRefused
from qmworkbench.strategies import catalog

_KIND: Final = "backtest"
_TRADES_SHOWN: Final = 8
_FEW_TRADES: Final = 30
_WINDOWS: Final = (
    (1000, 252),
    (400, 126),
    (126, 63),
    (40, 20),
)  # from so many sessions on, a rolling window of so many
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def tear_sheet(run: Run, *, tried: int = 1) -> str:
    """The page of a run, whole and by itself. Raises RunRefused for a run that is no backtest, or is damaged."""
    if run.manifest.kind != _KIND:
        raise RunRefused(
            f"run {run.run_id} is a {run.manifest.kind}: a tear sheet is made of one backtest",
            "run its best parameters with `qm backtest`, and show that run",
        )
    found = Sheet(run, tried)
    return sheet(title=title(found), where=where(found), body=body(found), facts=facts(found))


def body(found: Sheet) -> Html:
    """Everything between the title and the facts; notebooks show it too."""
    parts = [
        lead(found),
        summary(found),
        curve(found),
        worth(found),
        calendar(found),
        trades(found),
        sources(found),
        costs(found),
    ]
    return Html(f'<div class="sheet">{"".join(parts)}{notes(found)}</div>')


# --- the pieces ------------------------------------------------------------------------------------------------------


def lead(found: Sheet) -> Html:
    """The whole of it in a sentence or two."""
    told = found.metrics
    versus = told["benchmark_return"]
    said = f"It returned {percent(told['total_return'], sign=True)}"
    said += f" where buying and holding returned {percent(versus, sign=True)}" if versus is not None else ""
    said += f", and fell {percent(-(told['max_drawdown'] or 0.0))} below a peak at its deepest."
    told_of = worth_of(found.sessions["return"].to_numpy(), tried=found.tried)
    if told_of is not None:
        said += f" {told_of.short}"
    return Html(f'<p class="lead">{escape(said)}</p>')


def summary(found: Sheet) -> Html:
    """The result in eight figures."""
    told = found.metrics
    ratio = number(2)
    entries = [
        ("Total return", percent(told["total_return"], sign=True), f"buy and hold {percent(told['benchmark_return'])}"),
        ("A year", percent(told["yearly_return"], sign=True), f"{found.sessions.height:,} sessions"),
        ("Sharpe", ratio(told["sharpe_sessions"]), _error(found)),
        ("Deepest drawdown", percent(told["max_drawdown"]), f"longest {told['drawdown_sessions'] or 0:,.0f} sessions"),
        ("Trades", number(0)(told["trades"]), f"{percent(told['win_rate'], 0)} won"),
        ("Profit factor", ratio(told["profit_factor"]), f"{_signed(told['expectancy'])} a trade"),
        ("In the market", percent(told["exposure"], 0), f"{percent(told['gross_exposure'], 0)} of equity at stake"),
        ("Costs", money(told["fees"]), f"{found.currency} fees; traded {told['turnover'] or 0:,.1f}× the cash"),
    ]
    return Html(f'<div class="headline">{tiles(entries)}</div>')


def _error(found: Sheet) -> str:
    told = worth_of(found.sessions["return"].to_numpy())
    return f"± {told.error:.2f}, per session" if told is not None else "per session"


def _signed(value: float | None) -> str:
    return DASH if value is None else minus(f"{value:+,.2f}")


def curve(found: Sheet) -> Html:
    """Equity beside the benchmark, the drawdown, and what was at stake."""
    at = figures.placed(found.equity["ts"], found.sessions["session"])
    drawn = figures.equity(found.equity, found.sessions, found.cash, at)
    returns = found.sessions["return"].to_numpy() * 100
    spread = ""
    if len(returns) > 4 and returns.std() > 0:
        still = f", in {percent(float((returns == 0).mean()), 0)} nothing moved" if (returns == 0).any() else ""
        note = f"{percent(float((returns > 0).mean()), 0)} of the sessions gained{still}."
        shown = figures.distribution(returns[returns != 0], label="Sessions", unit="% a session")
        spread = subsection("Result of each session", shown, note=note)
    return section("Equity", drawn, f'<div class="two">{drawdowns(found.sessions, found.cash)}{spread}</div>')


def worth(found: Sheet) -> Html:
    """What the Sharpe ratio is worth, in words and figures."""
    told = worth_of(found.sessions["return"].to_numpy(), tried=found.tried)
    window = next((size for least, size in _WINDOWS if found.sessions.height >= least), None)
    pieces: list[str] = []
    if told is None:
        said = "Too few sessions, or none in which it moved: a Sharpe ratio cannot be told from luck here."
        pieces.append(f'<div class="none">{escape(said)}</div>')
    else:
        pieces += [f"<p>{text(told.sentence)}</p>", tiles(told.entries())]
    if window is not None:
        named = f"Sharpe of the last {window} sessions"
        pieces.append(subsection(named, figures.rolling_sharpe(found.sessions, window)))
    return section("What the Sharpe ratio is worth", *pieces)


def calendar(found: Sheet) -> Html:
    """Returns by month and year."""
    return section(
        "By month",
        month_heat(found.run.table("by_month")),
        note="Returns in per cent; Held is what buying and holding brought in the year.",
    )


def trades(found: Sheet) -> Html:
    """How the trades spread, and the ones that made the result."""
    closed = found.closed
    if not closed.height:
        return section("Trades", '<div class="none">No trade was closed.</div>')
    results = closed["return_pct"].to_numpy()
    pair = (
        '<div class="two">'
        + subsection("Result of each trade", figures.distribution(results, label="Trades", unit="% of the entry"))
        + subsection("Result over the worst while held", figures.against(closed))
        + "</div>"
    )
    few = (
        f"Only {closed.height} closed trades: too few to tell skill from luck. " if closed.height < _FEW_TRADES else ""
    )
    top = closed.sort("pnl", "entry_ts", descending=True)
    gained = top.filter(pl.col("pnl") > 0)["pnl"]
    share = float(gained.head(5).sum()) / float(gained.sum()) if gained.sum() else 0.0
    said = f"{few}The five best trades are {percent(share, 0)} of all that was gained." if len(gained) > 5 else few
    ends = pl.concat([top.head(_TRADES_SHOWN // 2), top.tail(min(_TRADES_SHOWN // 2, max(0, top.height - 4)))])
    columns = [
        Column("symbol", "Symbol", kind="keep"),
        Column("side", "Side", kind="keep"),
        Column("entry_ts", "In", _moment(found), "keep"),
        Column("entry_px", "At", px, "num"),
        Column("exit_ts", "Out", _moment(found), "keep"),
        Column("exit_px", "At", px, "num"),
        Column("qty", "Units", number(0), "num"),
        Column("pnl", "P&L", signed_money, "num"),
        Column("return_pct", "Return", number(2, "%", sign=True), "num"),
        Column("bars", "Bars", number(0), "num"),
        Column("reason", "Ended by", lambda reason: text((reason or "still held").replace("_", " ")), "keep"),
    ]
    return section("Trades", pair, subsection("The best and the worst", table(ends, columns, empty="")), note=said)


def _moment(found: Sheet) -> Any:
    daily = found.told.data.interval_s >= 86_400
    zone = str(found.told.terms.get("zone", "UTC"))

    def write(value: Any) -> str:
        return DASH if value is None else f"{value.astimezone(_zone(zone)):{'%Y-%m-%d' if daily else '%Y-%m-%d %H:%M'}}"

    return write


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def sources(found: Sheet) -> Html:
    """By hour, weekday, exit, market and symbol: where the result comes from."""
    hours, days = found.run.table("by_hour"), found.run.table("by_weekday")
    zone = str(found.told.terms.get("zone", "UTC"))
    charts = []
    if hours.height:
        names = [f"{hour:02d}" for hour in hours["hour"].to_list()]
        drawn = figures.signed_columns(
            names, hours["pnl"].to_list(), hours["trades"].to_list(), label="P&L by hour of entry"
        )
        charts.append(subsection(f"Hour of entry, {zone}", drawn))
    if days.height:
        names = [_WEEKDAYS[day - 1] for day in days["weekday"].to_list()]
        drawn = figures.signed_columns(
            names, days["pnl"].to_list(), days["trades"].to_list(), label="P&L by weekday of entry"
        )
        charts.append(subsection("Weekday of entry", drawn))
    charts.append(subsection("What ended them", reasons(found.run.table("by_reason"))))
    charts.append(subsection("The market each session began in", regimes(found.run.table("by_regime"))))
    by_symbol = found.run.table("by_symbol")
    pieces: list[str] = []
    if by_symbol.height > 1:
        shown = subsection("Symbols", symbols(by_symbol))
        charts, pieces = ([*charts, shown], []) if len(charts) % 2 else (charts, [shown])
    pieces.insert(0, f'<div class="two">{"".join(charts)}</div>')
    return section("Where it comes from", *pieces, note=f"P&L in {found.currency} with the trades behind it.")


def costs(found: Sheet) -> Html:
    """What trading cost, and how much more it could have cost."""
    told, terms, closed = found.metrics, found.told.terms, found.closed
    gross = float(closed["gross_pnl"].sum())
    fees = told["fees"] or 0.0
    traded = (told["turnover"] or 0.0) * found.cash
    slipped = traded * float(terms["slippage_rate"])
    before = gross + slipped
    edge = before / traded * 1e4 if traded else None
    paid = (fees + slipped) / traded * 1e4 if traded else None
    entries = [
        ("Before all costs", signed_money(before), f"{found.currency}, closed trades"),
        ("Fees", money(fees), _share_of(fees, before)),
        ("Slippage, assumed", money(slipped), _share_of(slipped, before)),
        ("Edge", number(2, "bps")(edge), "gained per value traded, before costs"),
        ("Paid", number(2, "bps")(paid), "per value traded; above the edge nothing is left"),
    ]
    return section("Costs", tiles(entries), note=_assumed(found))


def _share_of(part: float, whole: float) -> str:
    return f"{percent(part / whole, 0)} of it" if whole > 0 else ""


def _assumed(found: Sheet) -> str:
    terms = found.told.terms
    said = [
        f"fees {float(terms['fee_rate']) * 1e4:g} bps of value, {terms['fee_per_unit']:g} a unit, "
        f"{terms['fee_per_order']:g} an order",
        f"slippage {float(terms['slippage_rate']) * 1e4:g} bps on every fill",
        "no cap on volume"
        if not terms["participation"]
        else f"an entry at most {percent(float(terms['participation']), 0)} of its bar's volume",
    ]
    fill = (
        "the next bar's open" if terms["fill"] == "next_open" else "the deciding bar's close, which nobody could have"
    )
    return f"Assumed: {'; '.join(said)}; filled at {fill}."


def notes(found: Sheet) -> Html:
    """Parameters, sizing, and everything a reader should know before believing it."""
    told = found.told
    entry = catalog.catalog().get(told.strategy) if told.strategy in catalog.catalog() else None
    approved = entry.parameters({}) if entry is not None else {}
    chips = "".join(
        f'<span class="{"other" if approved.get(name, value) != value else ""}">{escape(name)} '
        f"<b>{escape(str(value))}</b></span>"
        for name, value in told.params.items()
    )
    listed = "".join(f"<li>{text(note)}</li>" for note in told.notes)
    pieces = [f'<div class="settings">{chips}</div>']
    if listed:
        pieces.append(subsection("To know before believing it", f'<ul class="reasons">{listed}</ul>'))
    note = f"Sizing: {told.terms['sizing']}. Parameters other than approved are marked."
    return section("How it was run", *pieces, note=note)
