"""What outlives a trading day: halts, blocks, an emergency, the last comparison with the broker (§10, §14, §15, §23).

Plain structs that only the fold changes, like the rest of the state they are part of.
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from qmworkbench.domain.events.reconciliation import BreakFound, ReconciliationResult, Trigger
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.sessions import BlockScope, TradingState


class HaltCause(msgspec.Struct, kw_only=True):
    """One thing that speaks against trading, by whom and since when."""

    reason: str
    by: str
    since: datetime


class Halt(msgspec.Struct, kw_only=True):
    """Why the book is not ACTIVE: the newest cause, and by their codes all that came since it last was.

    `compared` is what became of comparing with the broker after the newest cause: "", asked, or passed.
    """

    state: TradingState = TradingState.ACTIVE
    code: str = ""
    reason: str = ""
    by: str = ""
    since: datetime | None = None
    causes: dict[str, HaltCause] = {}
    compared: str = ""


class Block(msgspec.Struct, kw_only=True):
    """Why a symbol is kept out, by whom, since when."""

    scope: BlockScope
    by: str
    reason: str
    at: datetime


class EmergencyLine(msgspec.Struct, kw_only=True):
    """One symbol's way to flat: `step` as in EmergencyStepTaken, `attempt` counts closes sent."""

    step: str
    since: datetime
    attempt: int = 0
    detail: str = ""


class Emergency(msgspec.Struct, kw_only=True):
    """An Emergency Liquidate & Halt under way, a line for each symbol; `reads` counts broker reads since `reads_from`.

    `strangers` are orders at the broker that we do not hold open, by their id, and when their cancel was last asked
    for. `again_at` is when a late fill began it again after it had been flat, `behind_since` when the broker's books
    were first read older than its news.
    """

    emergency_id: str
    by: str
    reason: str
    started_at: datetime
    deadline_s: int
    lines: dict[str, EmergencyLine] = {}
    strangers: dict[str, datetime] = {}
    again_at: datetime | None = None
    behind_since: datetime | None = None
    overdue_at: datetime | None = None
    read_at: datetime | None = None
    reads: int = 0
    reads_from: datetime | None = None
    completed_at: datetime | None = None

    @property
    def running(self) -> bool:
        return self.completed_at is None


class Asked(msgspec.Struct, kw_only=True):
    """What the broker last said of an order that was asked for by its id: its status and filled quantity there, or how
    many complete answers in a row did not know it ("" and `absent`).
    """

    at: datetime
    absent: int = 0
    status: str = ""
    cum_qty: Decimal = ZERO


class Reconciliation(msgspec.Struct, kw_only=True):
    """The last comparison with the broker and what is still open from it.

    `reads` counts readings begun at one moment, `tries` comparisons in a row that settled nothing; `asked` are open
    orders that were asked for by id.
    """

    pending: Trigger | None = None
    requested_at: datetime | None = None
    trigger: Trigger | None = None
    result: ReconciliationResult | None = None
    completed_at: datetime | None = None
    breaks: int = 0
    reads: int = 0
    tries: int = 0
    asked: dict[str, Asked] = {}
    unresolved: dict[str, BreakFound] = {}
