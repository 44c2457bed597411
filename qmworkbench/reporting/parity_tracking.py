"""Whether paper tracks backtest: each strategy's drift over the sessions of a parity review (M: layer 2)."""

from html import escape

from qmworkbench.operations.lines import several
from qmworkbench.reporting import parity_charts as charts
from qmworkbench.reporting.parity_review import ParitySource, share_of
from qmworkbench.reporting.tables import Column, Html, number, r_multiple, section, subsection, table, text
from qmworkbench.research.parity.drift import OUTSIDE, WITHIN, StrategyDrift, Tolerance


def tracking(source: ParitySource) -> Html:
    """Over the sessions until this one: does each strategy make what its backtest makes?"""
    by, judged = source.tolerance, source.drift.strategies
    columns = [
        Column("strategy", "Strategy", kind="keep"),
        Column("verdict", "Verdict", _verdict, "keep"),
        Column("trades", "Trades", number(0), "num"),
        Column("sessions", "Sessions", number(0), "num"),
        Column("mean_bps", "Drift", number(1, "bps", sign=True), "num"),
        Column("error_bps", "±", number(1), "num"),
        Column("mean_r", "Drift", r_multiple, "num"),
        Column("fees_bps", "Fees", number(1, "bps"), "num"),
        Column("slippage_bps", "Slippage", number(1, "bps"), "num"),
        Column("unexplained_share", "Unexplained", share_of, "num"),
        Column("apart", "Apart", number(0), "num"),
        Column("why", "Because"),
    ]
    rows = [{name: getattr(one, name) for name in one.__struct_fields__} for one in judged]
    listed = table(rows, columns, empty="No session was compared.", flag=lambda row: row["verdict"] == OUTSIDE)
    cards = "".join(_card(one, by) for one in judged if one.points)
    drawn = [charts.shares(source.sessions, by.unexplained)] if len(source.sessions) > 1 else []
    head = '<div class="head"><span>Strategy health</span><span>unexplained</span></div>'
    health = f'<div class="card">{head}{drawn[0]}</div>' if drawn else ""
    grid = Html(f'<div class="grid wider">{health}{cards}</div>') if health or cards else Html("")
    note = (
        f"{several(len(source.sessions), 'session')}. Each trade's P&L less the backtest's after {by.cost_bps:g} bps a "
        f"side, in basis points of what was entered; ±{by.bps:g} bps and ±{by.r:g} R may be (the band). Dots: a "
        "session's own mean; line: the mean over the window. A verdict needs "
        f"{by.least_trades} trades in {by.least_sessions} sessions. Apart: trades that a person, a halt or the "
        "allocator changed."
    )
    untold = [{"name": name, "why": why} for name, why in source.untold.items()]
    of = [Column("name", "Session", kind="keep"), Column("why", "Why")]
    missing = (
        [subsection("Sessions that could not be compared", table(untold, of, empty="", stack=True))] if untold else []
    )
    return section("Is it tracking?", grid, listed, *missing, note=note)


def _card(one: StrategyDrift, by: Tolerance) -> str:
    head = f"<span>{escape(one.strategy)}</span><span>{_verdict(one.verdict)}</span>"
    return f'<div class="card"><div class="head">{head}</div>{charts.drifting(one, by)}</div>'


def _verdict(verdict: str) -> str:
    kind = {WITHIN: "pass", OUTSIDE: "fail"}.get(verdict, "na")
    sign = {WITHIN: "✓", OUTSIDE: "✕"}.get(verdict, "–")
    return f'<span class="chip {kind}">{sign} {text(verdict)}</span>'
