"""Whether a trade review is complete: each trade explained, the figures agreeing, incidents written down (§18)."""

import polars as pl

from qmworkbench.analytics import stores
from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.domain.numbers import ZERO, cents
from qmworkbench.operations.lines import Line, several
from qmworkbench.reporting.notebook import Conclusion
from qmworkbench.reporting.session_source import SessionSource
from qmworkbench.reporting.tables import minus

_EXPLAINED = Line(
    check_id="trade_review.explained",
    section="§18",
    title="Every trade has its reasons",
    looked_at="setup and exit reason of each closed trade",
    expectation="why in and why out, for each",
    remedy="look the trade up with `qm why`; a trade nobody can explain is a defect",
)
_AGREES = Line(
    check_id="trade_review.agrees",
    section="§17, §18",
    title="The figures agree with the fills",
    looked_at="net P&L of closed trades against realized P&L less fees",
    expectation="equal to the cent once flat",
    remedy="see the post-session report: its trades check names what does not add up",
)
_CHARTED = Line(
    check_id="trade_review.charted",
    section="§18",
    title="The bars are there to look at",
    looked_at="the session's bar store",
    expectation="bars of every traded symbol",
    remedy="bring the bars back (`qm archive restore`), or keep them longer (retention.bars)",
)
_TOLD = Line(
    check_id="trade_review.incidents",
    section="§11, §18",
    title="What went wrong has its note",
    looked_at="halts, emergencies and breaks against incident notes",
    expectation="an incident note for each",
    remedy="write it down: qm note add --kind incident",
)


def checks(source: SessionSource) -> list[Check]:
    """What a review must have before it counts as done."""
    untold = [t.trade_id for t in source.record.closed if not t.exit_reason]
    in_session = source.trades.filter(pl.col("opened_at") >= source.record.opened.at)
    without = in_session.filter(pl.col("setup") == "")["symbol"].to_list()
    net = sum((trade.net_pnl for trade in source.record.closed), ZERO)
    apart = cents(net - source.record.money.net)
    # Carried positions pay fees on one day and close on another: then trades and the day's fills differ by right.
    overnight = bool(source.state.positions) or in_session.height < source.trades.height
    open_notes = stores.unexplained(source.record)
    agrees = f"{minus(f'{cents(source.record.money.net):+,}')} from the fills, {apart:+,} apart"
    return [
        _EXPLAINED.judged(
            not untold and not without,
            several(source.trades.height, "trade"),
            detail=f"without setup: {', '.join(without)}" if without else "",
        ),
        _AGREES.not_applicable("positions were carried over a night", value=agrees)
        if overnight
        else _AGREES.judged(apart == 0, agrees),
        _CHARTED.warned("no bars", source.bars_missing)
        if source.bars_missing
        else _CHARTED.judged(True, f"{source.bars.height:,} bars"),
        _TOLD.warned(f"{open_notes} without a note", "nobody has written down what happened")
        if open_notes
        else _TOLD.judged(True, "nothing is untold"),
    ]


def conclusion(source: SessionSource) -> Conclusion:
    """GO when the review is complete and its figures agree; a session still open cannot be reviewed."""
    made = checks(source)
    day = source.figures
    net = minus(f"{cents(day.net_pnl):+,}")
    advice = len(source.recommendations)
    headline = f"{_counted(day.trades, 'trade')}, net {net} {day.currency}; " + (
        f"{_counted(advice, 'recommendation')}" if advice else "nothing to recommend"
    )
    reasons = [
        f"{check.title}: {check.value}. {check.detail} {check.remedy}".replace("  ", " ")
        for check in made
        if check.status in (CheckStatus.FAIL, CheckStatus.WARN)
    ]
    verdict = verdict_of(made)
    if not source.record.is_closed:
        verdict, headline = Verdict.INCOMPLETE, f"the session is still open; so far {headline}"
    return Conclusion(verdict, headline, reasons=reasons, where=source.where, facts=source.facts())


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
