"""What a comparison of a session with its backtest finds: differences, and trades side by side (M: layer 2)."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import msgspec

from qmworkbench.domain.instruments import Instrument
from qmworkbench.research.parity.parity_causes import Cause, Witness
from qmworkbench.research.parity.parity_expected import LaneBars
from qmworkbench.research.parity.parity_record import Lane


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which session and backtest differ.

    `level` is signal, order or trade; `at` the closing time of the bar it is about; `pnl` what it made of the day's
    P&L in account currency (recorded less expected), None where it made nothing by itself. `again` counts further
    entries for the same cause while the backtest's own trade would have lasted.
    """

    level: str
    strategy_id: str
    symbol: str
    at: datetime
    what: str
    expected: str
    recorded: str
    cause: Cause
    why: str
    pnl: float | None = None
    again: int = 0


class TradePair(msgspec.Struct, frozen=True, kw_only=True):
    """A trade of the backtest beside the session's; one side is absent where only the other traded.

    Times are closing times of bars, quantities unsigned, P&L in account currency, the expected one before any cost. An
    exit still to come is valued at the session's last close, and `open` says so; one that was carried in counts from
    the session's first price. `notional` is what was entered, `risk` what its first stop stood for, both in account
    currency of the side that traded; None where that is not known. `causes` are those of its differences, none where
    both agree but for its fees.
    """

    strategy_id: str
    symbol: str
    side: str
    expected_entry_at: datetime | None
    recorded_entry_at: datetime | None
    expected_exit_at: datetime | None
    recorded_exit_at: datetime | None
    expected_entry_px: float | None
    recorded_entry_px: float | None
    expected_exit_px: float | None
    recorded_exit_px: float | None
    expected_qty: float | None
    recorded_qty: float | None
    expected_exit: str
    recorded_exit: str
    expected_pnl: float | None
    recorded_pnl: float | None
    fees: float
    slippage: float
    notional: float | None
    risk: float | None
    carried: bool
    open: bool
    causes: tuple[Cause, ...]


@dataclass
class LaneParity:
    """What came of one lane. `signals` and `orders` count what was compared."""

    strategy_id: str
    symbol: str
    signals: int = 0
    orders: int = 0
    pairs: list[TradePair] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class LaneCase:
    """Everything about one lane that a comparison needs. `tick` and lots are the instrument's; `limit_qty` the book's
    limit of a position, None for none.
    """

    lane: Lane
    bars: LaneBars
    witness: Witness
    instrument: Instrument
    limit_qty: Decimal | None
    rate: float
