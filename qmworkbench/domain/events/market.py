"""From bars to signals: boundaries, computed frames, candidates, watchlist, assignments (§9, §12)."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from qmworkbench.domain.candidates import Candidate, FilterVerdict, NearMiss
from qmworkbench.domain.events.base import Event, Input


class FeedState(StrEnum):
    """Quality of market data; anything but GOOD blocks entries by itself and silences the scanner (§12).

    STALE: nothing new for too long. GAPPED: something in between never came. MUTE: the connection lives and its
    heartbeats come, prices do not. CROSSED: what comes cannot be believed (bid above ask, absurd prices), not even for
    exits. DISCONNECTED: there is no connection.
    """

    GOOD = "good"
    STALE = "stale"
    GAPPED = "gapped"
    DISCONNECTED = "disconnected"
    MUTE = "mute"
    CROSSED = "crossed"


class FeedChanged(Input, frozen=True, kw_only=True, tag="feed.changed"):
    """The quality of market data changed."""

    state: FeedState
    detail: str


class BarsQuarantined(Input, frozen=True, kw_only=True, tag="feed.bars_quarantined"):
    """Rows that were refused entry to the session, kept aside; `reason` is the finding's code."""

    reason: str
    rows: int
    symbols: tuple[str, ...]
    detail: str = ""


class BoundaryClosed(Input, frozen=True, kw_only=True, tag="feed.boundary_closed"):
    """The bars up to `at` are complete and on disk: `frame_hash` names them, `rows` counts the symbols that traded.

    `boundary` counts regular boundaries from 1; 0 for frames before the open (`extended`).
    """

    frame_hash: str
    rows: int
    boundary: int
    extended: bool = False


class Mark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last traded price of one symbol we hold or work, and when (bar close time)."""

    symbol: str
    px: Decimal
    at: datetime


class SignalRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one strategy instance says of one symbol at this boundary.

    Prices are on tick; None is "none". `close` is the decision price. `why` is the strategy's features at the bar, as
    text.
    """

    strategy_id: str
    symbol: str
    close: Decimal
    entry_long: bool = False
    entry_short: bool = False
    exit_long: bool = False
    exit_short: bool = False
    stop_px: Decimal | None = None
    target_px: Decimal | None = None
    trail_bps: int | None = None
    max_hold_bars: int | None = None
    why: str = ""


class StrategyFaulted(Input, frozen=True, kw_only=True, tag="run.faulted"):
    """A strategy broke its contract at this boundary; its run ends, the others go on."""

    strategy_id: str
    detail: str


class FrameComputed(Input, frozen=True, kw_only=True, tag="frame.computed"):
    """What radar, scanner and strategies made of the bars at boundary `as_of`; dropped when late (`as_of` is not the
    last boundary).

    `signals` are those of owned symbols with something to say; `marks` the prices of symbols held, worked or watched.
    `radar_hash` names the whole radar snapshot. `silenced` is why the scan emitted nothing, "" otherwise.
    """

    as_of: datetime
    frame_hash: str
    radar_hash: str
    candidates: tuple[Candidate, ...]
    near_misses: tuple[NearMiss, ...]
    signals: tuple[SignalRow, ...]
    marks: tuple[Mark, ...]
    silenced: str = ""


class PreOpenRow(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol of the scan before the open. `gap_pct` is the last price against the previous close.

    `last_px` comes from extended-hours bars inside the window, None where there were none: then the gap is not known
    before the open and `gap_pct` is None. `rank` counts from 1, 0 for a symbol that was kept out; `reason` says why it
    is in or out.
    """

    symbol: str
    rank: int
    prev_close: Decimal | None
    last_px: Decimal | None
    gap_pct: Decimal | None
    volume: Decimal
    reason: str


class PreOpenScanned(Input, frozen=True, kw_only=True, tag="scanner.pre_open"):
    """The scheduled scan before the open (§8): the window configured, the window it really used, and what it found.

    `used_from` and `used_until` bound the bars it looked at, None where there were none. `looked_at` counts symbols.
    """

    window_from: datetime
    window_until: datetime
    used_from: datetime | None
    used_until: datetime | None
    looked_at: int
    rows: tuple[PreOpenRow, ...]
    detail: str = ""


class FrameDropped(Event, frozen=True, kw_only=True, tag="frame.dropped"):
    """A computed frame came after its boundary had passed; nothing was decided from it."""

    as_of: datetime
    expected: datetime


class WatchState(StrEnum):
    """The lifecycle of a watchlist entry (§10)."""

    FOUND = "found"
    ASSIGNED = "assigned"
    ENTERED = "entered"
    EXITED = "exited"
    CLOSED = "closed"
    EXPIRED = "expired"
    BLOCKED = "blocked"


class WatchlistChanged(Event, frozen=True, kw_only=True, tag="watchlist.changed"):
    """One step of a symbol's life on the watchlist; the timestamp is `at`."""

    symbol: str
    state: WatchState
    reason: str
    rank: int | None = None
    verdicts: tuple[FilterVerdict, ...] = ()


class NearMissSeen(Event, frozen=True, kw_only=True, tag="scanner.near_miss"):
    """A symbol near the top that did not pass; written when its reasons change, not every minute."""

    symbol: str
    rank: int
    failed: tuple[FilterVerdict, ...]


class AssignmentMade(Event, frozen=True, kw_only=True, tag="allocator.assigned"):
    """A symbol now belongs to a strategy instance; `budget` is in account currency per position."""

    symbol: str
    strategy_id: str
    budget: Decimal
    reason: str


class AssignmentDeclined(Event, frozen=True, kw_only=True, tag="allocator.declined"):
    """Nobody took the candidate; written once per symbol and reason."""

    symbol: str
    reason: str


class AssignmentEnded(Event, frozen=True, kw_only=True, tag="allocator.ended"):
    """The symbol belongs to nobody again."""

    symbol: str
    strategy_id: str
    reason: str


class SignalRaised(Event, frozen=True, kw_only=True, tag="signal.raised"):
    """A strategy asked for something. `kind` is entry_long, entry_short, exit or time_exit."""

    signal_id: str
    strategy_id: str
    symbol: str
    kind: str
    decision_px: Decimal
    stop_px: Decimal | None = None
    target_px: Decimal | None = None
    trail_bps: int | None = None
    max_hold_bars: int | None = None
    why: str = ""


class SignalIgnored(Event, frozen=True, kw_only=True, tag="signal.ignored"):
    """A signal that led to no intent, and why: same side already held, entries held, an order already working,
    nothing to size.
    """

    signal_id: str
    reason: str
