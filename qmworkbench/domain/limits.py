"""The Risk Manager's limits, typed and validated, with the hash that every decision carries (§5 Safety Check, §11)."""

import hashlib
from decimal import Decimal
from functools import cached_property
from typing import Final

import msgspec

from qmworkbench.domain.numbers import cents

_HUNDRED: Final = Decimal(100)
# Who set and who signed the limits says nothing of what they are: a signature never changes what was signed.
_SIGNATURE: Final = frozenset({"owner", "approved_by", "approved_hash"})
_AMOUNTS: Final = ("max_daily_loss", "max_position_notional")
_QUANTITIES: Final = ("max_position_qty",)
_PERCENTS: Final = ("max_daily_loss_pct", "max_position_equity_pct", "max_symbol_equity_pct", "max_strategy_equity_pct")
_COUNTS: Final = ("max_trades_per_day", "max_open_positions", "max_submits_per_minute")
_ABOVE_ZERO: Final = (
    "version",
    "price_collar_bps",
    "stale_quote_s",
    "max_clock_skew_ms",
    "max_rejections_per_strategy",
)
_MINUTES: Final = ("entry_delay_min", "entry_cutoff_min")


class LimitsInvalid(ValueError):
    """A limit that makes no sense. The message names the limit, its value and the remedy."""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that is allowed and probably not meant: its name, its value, what is odd about it, the remedy."""

    name: str
    value: str
    detail: str
    remedy: str

    def __str__(self) -> str:
        return f"limits.{self.name} = {self.value}: {self.detail}; {self.remedy}"


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """What the Risk Manager enforces. Money is in account currency, ages in seconds, shares of equity in percent.

    `max_daily_loss` is a positive amount: realized + unrealized + fees against session-start equity. With
    `max_daily_loss_pct`, a share of that equity, the stricter of both counts; None: the amount alone.
    `max_position_qty` is None where notional alone should limit (forex units). `max_position_equity_pct` counts all
    owners of a symbol on one side, `max_symbol_equity_pct` both sides together (None: no limit of its own).
    `max_trades_per_day` counts entries intended, in-doubt ones included. `price_collar_bps` bounds a limit or stop
    price against the decision price. `entry_delay_min` and `entry_cutoff_min` keep entries away from open and close.
    `version` counts the changes of the file, `owner` answers for it; `approved_by` signed the limits whose hash is in
    `approved_hash` ("": nobody has; several where one file serves several markets).
    """

    max_daily_loss: Decimal = Decimal(1000)
    max_daily_loss_pct: Decimal | None = None
    max_position_qty: Decimal | None = Decimal(5000)
    max_position_notional: Decimal = Decimal(10000)
    max_position_equity_pct: Decimal = Decimal(15)
    max_symbol_equity_pct: Decimal | None = None
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
    version: int = 1
    owner: str = ""
    approved_by: str = ""
    approved_hash: str = ""

    def __post_init__(self) -> None:
        for names, remedy in (
            (_AMOUNTS, "give an amount above zero"),
            (_QUANTITIES, "give a quantity above zero"),
            (_PERCENTS, "give a share above zero"),
        ):
            for name in names:
                value = getattr(self, name)
                self._demand(value is None or (value.is_finite() and value > 0), name, remedy)
        for name in _PERCENTS:
            value = getattr(self, name)
            self._demand(value is None or value <= _HUNDRED, name, "give at most 100 percent")
        for name in _COUNTS:
            self._demand(getattr(self, name) >= 0, name, "give 0 (no entries) or more")
        for name in _ABOVE_ZERO:
            self._demand(getattr(self, name) > 0, name, "give a whole number above zero")
        for name in _MINUTES:
            self._demand(getattr(self, name) >= 0, name, "give 0 or more minutes")
        self._demand(
            self.max_position_equity_pct <= self.max_strategy_equity_pct,
            "max_position_equity_pct",
            f"a single position cannot exceed what a strategy may hold ({self.max_strategy_equity_pct} %)",
        )
        for symbol in self.blocked_symbols:
            sound = bool(symbol) and symbol == symbol.strip().upper()
            self._demand(sound, "blocked_symbols", f"{symbol!r} matches nothing, write symbols in capital letters")
        repeated = len(set(self.blocked_symbols)) < len(self.blocked_symbols)
        self._demand(not repeated, "blocked_symbols", "name each symbol once")
        self._demand(
            bool(self.approved_by) == bool(self.approved_hash),
            "approved_by",
            f"a signature is a name and the hash that was signed (approved_hash = {self.approved_hash!r})",
        )

    def _demand(self, holds: bool, name: str, remedy: str) -> None:
        if not holds:
            raise LimitsInvalid(f"limits.{name} = {getattr(self, name)} makes no sense: {remedy}")

    @cached_property
    def content_hash(self) -> str:
        """16 hex digits over every limit and the version; not over who owns or signed them."""
        plain = {name: _same(value) for name, value in msgspec.structs.asdict(self).items() if name not in _SIGNATURE}
        return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()[:16]

    @property
    def is_approved(self) -> bool | None:
        """Whether these are limits that were signed; None where nobody has signed any."""
        return self.content_hash in self.approved_hash.replace(",", " ").split() if self.approved_hash else None

    @cached_property
    def texts(self) -> dict[str, str]:
        """Each limit as a verdict shows it; "none" where there is none."""
        plain = msgspec.structs.asdict(self)
        return {name: "none" if value is None else str(value) for name, value in plain.items()}

    def max_loss(self, start_equity: Decimal) -> Decimal:
        """The day's loss at which entries stop, a positive amount: the stricter of amount and share of equity."""
        if self.max_daily_loss_pct is None:
            return self.max_daily_loss
        return min(self.max_daily_loss, start_equity * self.max_daily_loss_pct / _HUNDRED)

    def doubts(self, equity: Decimal | None) -> list[Doubt]:
        """What is allowed and probably not meant, in an account worth `equity` (None: not known yet)."""
        found = []
        if self.max_symbol_equity_pct is not None and self.max_symbol_equity_pct < self.max_position_equity_pct:
            detail = f"max_symbol_equity_pct = {self.max_symbol_equity_pct} always binds first"
            found.append(self._doubt("max_position_equity_pct", detail, "lower it, or raise the other"))
        if equity is None or equity <= 0:
            return found
        most = equity * self.max_position_equity_pct / _HUNDRED
        if self.max_position_notional > most:
            detail = (
                f"never binds: {self.max_position_equity_pct} % of an equity of {cents(equity):,} is {cents(most):,}"
            )
            found.append(self._doubt("max_position_notional", detail, "lower it, or raise max_position_equity_pct"))
        if self.max_daily_loss >= equity:
            detail = f"could never stop anything: equity is {cents(equity):,}"
            found.append(self._doubt("max_daily_loss", detail, "give an amount well below equity"))
        elif self.max_loss(equity) < self.max_daily_loss:
            detail = (
                f"never binds: {self.max_daily_loss_pct} % of {cents(equity):,} is {cents(self.max_loss(equity)):,}"
            )
            found.append(self._doubt("max_daily_loss", detail, "lower it, or raise max_daily_loss_pct"))
        return found

    def _doubt(self, name: str, detail: str, remedy: str) -> Doubt:
        return Doubt(name=name, value=self.texts[name], detail=detail, remedy=remedy)


def _same(value: object) -> object:
    """Equal values alike: 1000 and 1000.00 are one limit."""
    return value.normalize() if isinstance(value, Decimal) else value
