"""Is paper tracking backtest within tolerance? Many sessions' comparisons, strategy by strategy (M: layer 2).

Every trade that both sides made, or that one side made without an explanation, is one observation: what the session
made of it less what the backtest makes of it after the costs that were assumed, in basis points of what was entered and
in units of its risk. What an operator, a limit or the allocator changed is no drift of the strategy and is counted
apart.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

import msgspec
import numpy as np

from qmworkbench.operations.lines import several
from qmworkbench.research.parity.parity import Parity
from qmworkbench.research.parity.parity_causes import Cause
from qmworkbench.research.parity.parity_difference import TradePair

WITHIN: Final = "within"
OUTSIDE: Final = "outside"
TOO_FEW: Final = "too few trades"
# Somebody's or something's doing, on record: the trade says nothing of how the strategy tracks.
_ACTS: Final = frozenset({Cause.OPERATOR_ACTION, Cause.HALTED, Cause.STRATEGY_ENDED, Cause.TIMEOUT, Cause.REJECTED})


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How far a strategy may be from its backtest, and how much has to be seen before that is judged.

    `bps` and `r` bound the mean drift of a trade either way, `unexplained` the unexplained share of trades. `cost_bps`
    is what a side is assumed to cost; it is taken off the backtest before anything is compared. A verdict needs
    `least_trades` trades in `least_sessions` sessions; the newest `window` trades count.
    """

    bps: float = 10.0
    r: float = 0.15
    unexplained: float = 0.05
    cost_bps: float = 3.0
    least_trades: int = 20
    least_sessions: int = 3
    window: int = 200

    def __post_init__(self) -> None:
        for name in ("bps", "r", "unexplained"):
            if not getattr(self, name) > 0:
                raise ValueError(f"tolerance {name} is {getattr(self, name)}: give a number above 0")
        if not self.cost_bps >= 0:
            raise ValueError(f"tolerance cost_bps is {self.cost_bps}: give 0 or more")
        if self.least_trades < 2 or self.least_sessions < 1 or self.window < self.least_trades:
            raise ValueError(
                f"tolerance judges {self.least_trades} trades of {self.least_sessions} sessions in a window of "
                f"{self.window}: give at least 2, at least 1, and a window that holds them"
            )


class DriftPoint(msgspec.Struct, frozen=True, kw_only=True):
    """How a strategy stood after a session: the mean over the window that ends there, and the session's own."""

    session: date
    trades: int
    mean_bps: float
    own_bps: float
    own_trades: int


class StrategyDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy over its sessions. Means are per trade, `error_…` their standard errors; None where not known.

    `fees_bps` and `slippage_bps` are what a trade cost in the session, for comparison with what was assumed. `apart`
    counts trades that somebody or something on record changed. `params_hashes` are the parameter sets it ran with.
    """

    strategy: str
    sessions: int
    trades: int
    apart: int
    unexplained: int
    mean_bps: float | None
    error_bps: float | None
    mean_r: float | None
    error_r: float | None
    fees_bps: float | None
    slippage_bps: float | None
    unexplained_share: float | None
    params_hashes: tuple[str, ...]
    points: tuple[DriftPoint, ...]
    verdict: str
    why: str


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Every strategy's drift over some sessions, and the tolerance it was judged by."""

    first: date | None
    last: date | None
    sessions: int
    tolerance: Tolerance
    strategies: tuple[StrategyDrift, ...]

    @property
    def within(self) -> bool:
        """Whether no strategy was found outside; those with too few trades are not."""
        return all(one.verdict != OUTSIDE for one in self.strategies)


class _Seen(msgspec.Struct, frozen=True):
    """One trade as an observation."""

    session: date
    bps: float
    r: float | None
    fees_bps: float
    slippage_bps: float
    unexplained: bool


def drift(sessions: Iterable[Parity], tolerance: Tolerance | None = None) -> Drift:
    """Judge every strategy of `sessions` (research/parity/parity.py), the oldest first whatever their order here."""
    by = tolerance or Tolerance()
    ordered = sorted(sessions, key=lambda one: (one.session, one.session_id))
    seen: dict[str, list[_Seen]] = defaultdict(list)
    apart: dict[str, int] = defaultdict(int)
    hashes: dict[str, dict[str, None]] = defaultdict(dict)
    for one in ordered:
        of = {strategy.strategy_id: strategy for strategy in one.strategies}
        for strategy in one.strategies:
            hashes[strategy.definition_id][strategy.params_hash] = None
        for pair in one.pairs:
            if pair.strategy_id not in of:
                continue
            name = of[pair.strategy_id].definition_id
            observed = _observed(pair, one.session, by)
            if observed is None:
                apart[name] += 1
            else:
                seen[name].append(observed)
    return Drift(
        first=ordered[0].session if ordered else None,
        last=ordered[-1].session if ordered else None,
        sessions=len(ordered),
        tolerance=by,
        strategies=tuple(_judged(name, seen[name], apart[name], tuple(hashes[name]), by) for name in sorted(hashes)),
    )


def _observed(pair: TradePair, session: date, by: Tolerance) -> _Seen | None:
    """The trade as an observation; None for one that says nothing of the strategy."""
    unexplained = Cause.UNEXPLAINED in pair.causes
    alone = pair.expected_pnl is None or pair.recorded_pnl is None
    if not pair.notional or (alone and not unexplained) or set(pair.causes) & _ACTS:
        return None
    recorded = pair.recorded_pnl or 0.0
    expected = pair.expected_pnl or 0.0
    if pair.recorded_qty and pair.expected_qty:
        expected *= pair.recorded_qty / pair.expected_qty  # a smaller trade, not a worse one
    assumed = 2 * by.cost_bps / 1e4 * pair.notional if pair.recorded_pnl is not None else 0.0
    gap = recorded - (expected - assumed)
    return _Seen(
        session=session,
        bps=gap / pair.notional * 1e4,
        r=gap / pair.risk if pair.risk else None,
        fees_bps=pair.fees / pair.notional * 1e4,
        slippage_bps=pair.slippage / pair.notional * 1e4,
        unexplained=unexplained,
    )


def _judged(name: str, seen: Sequence[_Seen], apart: int, hashes: tuple[str, ...], by: Tolerance) -> StrategyDrift:
    window = seen[-by.window :]
    mean_bps, error_bps = _mean([one.bps for one in window])
    mean_r, error_r = _mean([one.r for one in window if one.r is not None])
    lost = sum(1 for one in window if one.unexplained)
    share = lost / len(window) if window else None
    sessions = len({one.session for one in window})
    verdict, why = _verdict(len(window), sessions, mean_bps, mean_r, share, by)
    return StrategyDrift(
        strategy=name,
        sessions=sessions,
        trades=len(window),
        apart=apart,
        unexplained=lost,
        mean_bps=mean_bps,
        error_bps=error_bps,
        mean_r=mean_r,
        error_r=error_r,
        fees_bps=_mean([one.fees_bps for one in window])[0],
        slippage_bps=_mean([one.slippage_bps for one in window])[0],
        unexplained_share=share,
        params_hashes=hashes,
        points=tuple(_points(seen, by.window)),
        verdict=verdict,
        why=why,
    )


def _verdict(
    trades: int, sessions: int, mean_bps: float | None, mean_r: float | None, share: float | None, by: Tolerance
) -> tuple[str, str]:
    beyond = []
    if share is not None and share > by.unexplained and trades * share >= 2:
        beyond.append(f"{share:.1%} of its trades are unexplained, {by.unexplained:.1%} may be")
    if trades < by.least_trades or sessions < by.least_sessions:
        needed = f"{by.least_trades} trades in {by.least_sessions} sessions are needed"
        found = f"{several(trades, 'trade')} in {several(sessions, 'session')}"
        return (OUTSIDE, beyond[0]) if beyond else (TOO_FEW, f"{found}; {needed}")
    if mean_bps is not None and abs(mean_bps) > by.bps:
        beyond.append(f"a trade makes {mean_bps:+.1f} bps against its backtest, ±{by.bps:g} may be")
    if mean_r is not None and abs(mean_r) > by.r:
        beyond.append(f"a trade makes {mean_r:+.2f} R against its backtest, ±{by.r:g} may be")
    if beyond:
        return OUTSIDE, "; ".join(beyond)
    return WITHIN, f"{several(trades, 'trade')} in {several(sessions, 'session')}"


def _points(seen: Sequence[_Seen], window: int) -> Iterable[DriftPoint]:
    by_session: dict[date, list[float]] = defaultdict(list)
    for one in seen:
        by_session[one.session].append(one.bps)
    so_far: list[float] = []
    for session, own in sorted(by_session.items()):
        so_far += own
        recent = so_far[-window:]
        yield DriftPoint(
            session=session,
            trades=len(recent),
            mean_bps=float(np.mean(recent)),
            own_bps=float(np.mean(own)),
            own_trades=len(own),
        )


def _mean(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and its standard error; None for what too few values cannot tell."""
    if not values:
        return None, None
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return float(np.mean(values)), error
