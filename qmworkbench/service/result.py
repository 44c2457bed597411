"""What a day came to, in one object: what `qm day --json` prints (§16 session summaries)."""

from decimal import Decimal

import msgspec

from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.numbers import cents
from qmworkbench.service.platform import Platform


class DayResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished session. `net_pnl` is realized less fees in account currency.

    `decision_head` is the hash of the last decision: the same inputs, code and limits give the same. `bars` counts
    those the session took in, `breaks` the differences reconciliation found. `session_s` is the time from the first
    boundary to the close, `wall_s` that of the whole run, both of this process. `verdicts` by report or checklist.
    """

    session: str
    decision_head: str
    bars: int
    orders: int
    fills: int
    trades: int
    breaks: int
    net_pnl: Decimal
    verdicts: dict[str, Verdict]
    recovered: bool
    session_s: float
    wall_s: float


def result_of(platform: Platform) -> DayResult:
    """The result of a closed session."""
    day = platform.day
    return DayResult(
        session=day.session_id,
        decision_head=platform.journal.head[1],
        bars=platform.chronicle.bars,
        orders=day.orders,
        fills=day.fills,
        trades=day.trades,
        breaks=day.breaks,
        net_pnl=cents(day.realized_pnl - day.fees),
        verdicts=dict(platform.verdicts),
        recovered=day.recovered,
        session_s=round(platform.session_s, 3),
        wall_s=round(platform.wall_s, 3),
    )
