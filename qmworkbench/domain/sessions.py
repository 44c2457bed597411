"""The session's phases and the trading state: what may happen now (§4, §11, §15, §23)."""

from enum import StrEnum
from typing import Final

import msgspec


class Environment(StrEnum):
    """§2. The least capable first; live is never a default."""

    BACKTEST = "backtest"
    LOCAL = "local"
    PAPER = "paper"
    LIVE = "live"


class Phase(StrEnum):
    """§4, in order. Incident handling is not a step of the day but may lie over any of them."""

    PRE_START = "pre_start"
    STARTUP = "startup"
    HEALTH_VERIFICATION = "health_verification"
    PRE_MARKET = "pre_market"
    MARKET_SESSION = "market_session"
    SHUTDOWN = "shutdown"
    RECONCILIATION = "reconciliation"
    REVIEW = "review"
    CLOSED = "closed"


PHASE_ORDER: Final = tuple(Phase)

# Each phase is entered only from the one before it, and only when this holds. trading/phases.py evaluates it.
ENTRY_CONDITION: Final[dict[Phase, str]] = {
    Phase.PRE_START: "the book's lease is held and no other session of the book is open",
    Phase.STARTUP: "the pre-start preflight said GO",
    Phase.HEALTH_VERIFICATION: "every service of the startup order reported ready",
    Phase.PRE_MARKET: "every critical component is healthy and the startup reconciliation left no break unresolved",
    Phase.MARKET_SESSION: "the pre-market preflight said GO",
    Phase.SHUTDOWN: "the market closed, the feed ended, or a person ended the session early",
    Phase.RECONCILIATION: "no order is open or in doubt and positions are flat where the policy says flat",
    Phase.REVIEW: "the end-of-session reconciliation completed, whatever it found",
    Phase.CLOSED: "the session summary is on record",
}


class TradingState(StrEnum):
    """Worst last: the book's and the strategy's are compared and the worse one counts."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"

    @property
    def severity(self) -> int:
        return _SEVERITY[self]

    @property
    def shown(self) -> str:
        """The words on every screen. Never a bare HALTED: it once misled people into thinking exits had stopped."""
        return _SHOWN[self]


_SEVERITY: Final = {state: place for place, state in enumerate(TradingState)}
_SHOWN: Final = {
    TradingState.ACTIVE: "ACTIVE",
    TradingState.REDUCING: "HALTED – entries blocked, exits running",
    TradingState.HALTED: "HALTED – only liquidation may pass",
}


def worse(a: TradingState, b: TradingState) -> TradingState:
    """The stricter of two states."""
    return a if a.severity >= b.severity else b


class Priority(StrEnum):
    """One scale for alerts, breaks and incidents (§20 Critical/High/Medium, manifest P0-P3)."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class BlockScope(StrEnum):
    """§10: a block for this session only, or until a person lifts it."""

    SESSION = "session"
    PERMANENT = "permanent"


class SessionWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Kept small on purpose: the facts of the calendar that decisions need, recorded with the session.

    `regular_boundaries` counts the boundaries from the open (exclusive) to the close (inclusive).
    """

    date: str
    opens_at: str
    closes_at: str
    interval_s: int
    regular_boundaries: int
    half_day: bool
