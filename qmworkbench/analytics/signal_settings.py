"""When the four signals of a running session speak: thresholds and smallest samples, typed, refusing nonsense (§9)."""

import msgspec

# What each field must be at least, and at most.
_BOUNDS: dict[str, tuple[float, float]] = {
    "slippage_bps": (0.1, 10_000),
    "slippage_spread": (0.5, 100),
    "slippage_fills": (2, 1000),
    "slippage_history": (4, 10_000),
    "failed_entries": (1, 100),
    "failed_entries_of": (1, 1000),
    "at_once_bars": (0, 1000),
    "late_exit_pct": (1, 100),
    "late_exits_least": (2, 1000),
    "late_exits_of": (2, 1000),
    "late_exit_bars": (1, 1000),
    "late_exit_bps": (0.1, 10_000),
    "gave_back_pct": (1, 1000),
    "gave_back_from_r": (0.1, 100),
    "symbol_share_pct": (1, 100),
    "strategy_share_pct": (1, 100),
    "share_positions": (2, 1000),
    "share_trades": (2, 10_000),
    "share_strategies": (2, 1000),
    "clear_at_pct": (1, 100),
    "observe_every": (1, 1000),
}


class SignalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds of the four signals, and how many observations each needs before it says anything.

    Unusual slippage, by symbol and by instance: the median of the last `slippage_fills` fills that had a decision price
    reaches `slippage_bps`, and lies `slippage_spread` typical deviations (1.4826 × median absolute deviation) above
    what is usual: the subject's own earlier fills, from `slippage_history` of them on, until then those of everybody
    else, and without either the absolute bound counts alone.

    Repeated failed entries, by symbol and by instance: `failed_entries` of the last `failed_entries_of` were denied,
    rejected, unfilled, or stopped out within `at_once_bars` boundaries.

    Systematic late exits, by instance: `late_exit_pct` of the last `late_exits_of` trades, of at least
    `late_exits_least`, left late. Late is: more than `late_exit_bars` boundaries after the exit was decided, or more
    than `late_exit_bps` worse than decided (a stop: than its level), or having given back `gave_back_pct` of a best
    open P&L of at least `gave_back_from_r` times the initial risk.

    Unusual concentration: a symbol holds `symbol_share_pct`, an instance `strategy_share_pct` of gross exposure (from
    `share_positions` open positions on), of the closed trades or of the P&L they moved (from `share_trades` on).
    Instances are compared where a session has at least `share_strategies`.

    A signal stands until its value has fallen below `clear_at_pct` of its threshold, so that it does not flicker. They
    are looked at every `observe_every` boundaries and at the session's end. Raises ValueError naming field and remedy.
    """

    slippage_bps: float = 25.0
    slippage_spread: float = 3.0
    slippage_fills: int = 4
    slippage_history: int = 12
    failed_entries: int = 3
    failed_entries_of: int = 5
    at_once_bars: int = 2
    late_exit_pct: float = 50.0
    late_exits_least: int = 5
    late_exits_of: int = 10
    late_exit_bars: int = 2
    late_exit_bps: float = 25.0
    gave_back_pct: float = 75.0
    gave_back_from_r: float = 1.0
    symbol_share_pct: float = 50.0
    strategy_share_pct: float = 80.0
    share_positions: int = 4
    share_trades: int = 10
    share_strategies: int = 3
    clear_at_pct: float = 80.0
    observe_every: int = 5

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"analytics.{name} = {value} makes no sense: give a number from {least:g} to {most:g}")
        for few, many in (("failed_entries", "failed_entries_of"), ("late_exits_least", "late_exits_of")):
            if getattr(self, few) > getattr(self, many):
                raise ValueError(
                    f"analytics.{few} = {getattr(self, few)} is more than {many} = {getattr(self, many)}, so that it "
                    f"could never be reached: give {few} at most {getattr(self, many)}"
                )


DEFAULTS = SignalSettings()
