"""The Risk Manager's limits, typed and validated, with the hash that every decision carries (§5 Safety Check, §11)."""

import hashlib
from decimal import Decimal

import msgspec


class LimitsInvalid(ValueError):
    """A limit that makes no sense. The message names the limit, its value and the remedy."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the Risk Manager enforces. Money is in account currency, ages in seconds, shares of equity in percent.

    `max_daily_loss` is a positive amount: realized + unrealized + fees against session-start equity.
    `max_position_qty` is None where notional alone should limit (forex units).
    `max_trades_per_day` counts entries intended, in-doubt ones included. `price_collar_bps` bounds a limit or stop
    price against the decision price. `entry_delay_min` and `entry_cutoff_min` keep entries away from open and close.
    """

    max_daily_loss: Decimal = Decimal(1000)
    max_position_qty: Decimal | None = Decimal(5000)
    max_position_notional: Decimal = Decimal(10000)
    max_position_equity_pct: Decimal = Decimal(15)
    max_trades_per_day: int = 30
    max_open_positions: int = 10
    max_strategy_equity_pct: Decimal = Decimal(60)
    price_collar_bps: int = 2000
    stale_quote_s: int = 180
    max_clock_skew_ms: int = 500
    max_submits_per_minute: int = 60
    max_rejections_per_strategy: int = 3
    entry_delay_min: int = 0
    entry_cutoff_min: int = 15
    blocked_symbols: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (
            "max_daily_loss",
            "max_position_notional",
            "max_position_equity_pct",
            "max_strategy_equity_pct",
        ):
            _demand(getattr(self, name) > 0, name, getattr(self, name), "give an amount above zero")
        if self.max_position_qty is not None:
            _demand(
                self.max_position_qty > 0,
                "max_position_qty",
                self.max_position_qty,
                "give a quantity above zero",
            )
        for name in ("max_trades_per_day", "max_open_positions", "max_submits_per_minute"):
            _demand(getattr(self, name) >= 0, name, getattr(self, name), "give 0 (no entries) or more")
        for name in ("price_collar_bps", "stale_quote_s", "max_clock_skew_ms", "max_rejections_per_strategy"):
            _demand(getattr(self, name) > 0, name, getattr(self, name), "give a whole number above zero")
        for name in ("entry_delay_min", "entry_cutoff_min"):
            _demand(getattr(self, name) >= 0, name, getattr(self, name), "give 0 or more minutes")
        for name in ("max_position_equity_pct", "max_strategy_equity_pct"):
            _demand(getattr(self, name) <= 100, name, getattr(self, name), "give at most 100 percent")
        _demand(
            self.max_position_equity_pct <= self.max_strategy_equity_pct,
            "max_position_equity_pct",
            self.max_position_equity_pct,
            f"a single position cannot exceed what a strategy may hold ({self.max_strategy_equity_pct} %)",
        )

    @property
    def content_hash(self) -> str:
        """16 hex digits over every limit."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]


def _demand(holds: bool, name: str, value: object, remedy: str) -> None:
    if not holds:
        raise LimitsInvalid(f"limits.{name} = {value} makes no sense: {remedy}")
