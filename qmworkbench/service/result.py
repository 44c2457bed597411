"""What a day came to, in one object: what `qm day --json` prints (§16 session summaries)."""

from decimal import Decimal

import msgspec

from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.numbers import cents
from qmworkbench.service.stage import Stage


class DayResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished session. `net_pnl` is realized less fees in account currency.

    `decision_head` is the hash of the last decision: the same inputs, code and limits give the same. `bars` counts
    those the session took in, `breaks` the differences reconciliation found. `session_s` is the time from the first
    boundary to the close, `wall_s` that of the whole run, both of this process. `verdicts` by report or checklist.
    `equity_start` and `equity_end` are the broker's statements; `equity_high`, `equity_low` and `drawdown` are over the
    boundaries by the marks, as far as this process saw them.
    """

    session: str
    decision_head: str
    bars: int
    orders: int
    fills: int
    trades: int
    breaks: int
    net_pnl: Decimal
    equity_start: Decimal | None
    equity_end: Decimal | None
    equity_high: Decimal | None
    equity_low: Decimal | None
    drawdown: Decimal
    verdicts: dict[str, Verdict]
    recovered: bool
    session_s: float
    wall_s: float


def result_of(stage: Stage, decision_head: str, bars: int) -> DayResult:
    """The result of a closed session; `bars` are those it took in."""
    day, account, equity = stage.day, stage.state.account, stage.equity
    return DayResult(
        session=day.session_id,
        decision_head=decision_head,
        bars=bars,
        orders=day.orders,
        fills=day.fills,
        trades=day.trades,
        breaks=day.breaks,
        net_pnl=cents(day.realized_pnl - day.fees),
        equity_start=_in_cents(day.start_equity),
        equity_end=_in_cents(account.equity if account is not None else None),
        equity_high=_in_cents(equity.high),
        equity_low=_in_cents(equity.low),
        drawdown=cents(equity.drawdown),
        verdicts=dict(stage.verdicts),
        recovered=day.recovered,
        session_s=round(stage.session_s, 3),
        wall_s=round(stage.wall_s, 3),
    )


def _in_cents(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else cents(amount)
