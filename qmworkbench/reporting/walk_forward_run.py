"""A walk-forward report's run: the grid's trials, the windows over them, what must hold, and its conclusion (§2)."""

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from qmworkbench.domain.checks import Check, CheckStatus, verdict_of
from qmworkbench.operations.lines import Line
from qmworkbench.reporting.notebook import Conclusion
from qmworkbench.reporting.parameters import WalkForwardParameters, home
from qmworkbench.reporting.tables import minus, share
from qmworkbench.research.backtests.observations import told
from qmworkbench.research.fills.tape import Terms
from qmworkbench.research.statistics import cross_validation, overfitting, verdict
from qmworkbench.research.statistics.walk_forward import WalkForward, from_matrix, windows
from qmworkbench.research.sweeps.session_trials import SessionTrials, session_trials
from qmworkbench.strategies.parameters import Value

_DRAWS: Final = 500


@dataclass(frozen=True, eq=False)
class Walked:
    """The trials of a grid, and what walking forward over them came to."""

    asked: WalkForwardParameters
    trials: SessionTrials
    walk: WalkForward

    @cached_property
    def worth(self) -> verdict.Verdict:
        """The whole grid's best against cash."""
        return verdict.sweep_verdict(self.trials.returns, trials=self.trials.trials, draws=_DRAWS)

    @cached_property
    def against_market(self) -> verdict.Verdict:
        """The same against holding the symbols."""
        made = self.trials
        return verdict.sweep_verdict(made.returns, trials=made.trials, benchmark=made.benchmark, draws=_DRAWS)

    @cached_property
    def histories(self) -> cross_validation.Validation | str:
        """Combinatorial cross-validation, or why there is none."""
        try:
            splits = cross_validation.combinatorial_folds(
                len(self.trials.sessions), folds=8, tests=2, longest_hold=self.asked.gap
            )
            return cross_validation.validate(self.trials.returns, splits)
        except ValueError as reason:
            return str(reason)

    @cached_property
    def splits(self) -> overfitting.Overfitting | str:
        """The probability of overfitting, or why it cannot be told."""
        try:
            return overfitting.fitted(self.trials.returns) or overfitting.TOO_FEW
        except ValueError as reason:
            return str(reason)


def load(parameters: WalkForwardParameters, *, data: Path | None = None) -> Walked:
    """Run the grid and walk forward. Raises what session_trials and windows raise, each with its remedy."""
    from qmworkbench.service.bar_sources import open_bars

    p = parameters
    symbols = tuple(name.strip() for name in p.symbols.split(",") if name.strip())
    period = (p.first, p.last)
    source = open_bars(p.data, data=data or home() / "data", period=period, symbols=symbols)
    trials = session_trials(
        p.strategy,
        source,
        p.grid,
        fixed=values_of(p.fixed),
        symbols=symbols,
        period=period,
        terms=Terms(fee_rate=p.cost_bps / 10_000),
        cash=p.cash,
    )
    return Walked(p, trials, walked(trials, p))


def walked(trials: SessionTrials, p: WalkForwardParameters) -> WalkForward:
    """Walk forward over trials that are there already, cut as the parameters say."""
    cut = windows(
        len(trials.sessions),
        train=p.train,
        test=p.test,
        embargo=p.gap,
        mode=p.mode,
        anchor=bisect_left(trials.sessions, p.anchor) if p.anchor is not None else 0,
    )
    return from_matrix(trials.returns, cut, params=trials.params)


def values_of(given: str) -> dict[str, Value]:
    """`flat=carry,short=false` as values."""
    found: dict[str, Value] = {}
    for piece in filter(None, (one.strip() for one in given.split(","))):
        name, sign, value = (part.strip() for part in piece.partition("="))
        if not sign or not name or not value:
            raise ValueError(f"fixed has {piece!r}: give NAME=VALUE, with commas between")
        found[name] = _value(value)
    return found


def _value(written: str) -> Value:
    if written.lower() in ("true", "false"):
        return written.lower() == "true"
    for kind in (int, float):
        try:
            return kind(written)
        except ValueError:
            continue
    return written


_APART: Final = Line(
    check_id="walk_forward.apart",
    section="§2 Backtesting",
    title="No window knew what came after it",
    looked_at="every choice again, with all later sessions replaced",
    expectation="the same choice, and no test session in a train window (signals themselves: qm lookahead)",
    remedy="do not trust the result: the choice looked ahead",
)
_EARNED: Final = Line(
    check_id="walk_forward.earned",
    section="§2 Backtesting",
    title="What was chosen earned out of sample",
    looked_at="Sharpe ratio of the test sessions, costs taken off",
    expectation="above 0",
    remedy="do not trade it: what was chosen on the past lost on what came next",
)
_MANY: Final = Line(
    check_id="walk_forward.windows",
    section="§2 Backtesting",
    title="There are windows enough to say anything",
    looked_at="windows",
    expectation="5 or more",
    remedy="a longer period or shorter windows",
)
_CARRIES: Final = Line(
    check_id="walk_forward.carries_over",
    section="§2 Backtesting",
    title="What is chosen carries over",
    looked_at="efficiency, and windows that beat the median candidate",
    expectation="half of what is earned in sample, and more than half of the windows",
    remedy="fewer parameters, a coarser grid, or another idea",
)
_LUCK: Final = Line(
    check_id="walk_forward.luck",
    section="§2 Backtesting",
    title="The best of the grid is more than luck",
    looked_at="deflated Sharpe ratio, SPA and PBO over all combinations, against cash and against holding",
    expectation="distinguishable from luck, against both",
    remedy="trade it on paper only; what luck found, luck takes away",
)


def checks(found: Walked) -> list[Check]:
    """What must hold before a result is worth a second look."""
    walk, made, market = found.walk, found.worth, found.against_market
    count = len(walk.windows)
    carried = (walk.efficiency or 0) >= 0.5 and (walk.beats_median or 0) > 0.5
    carry = f"efficiency {share(walk.efficiency)}, better than the median in {share(walk.beats_median)} of the windows"
    proven = made.verdict == market.verdict == verdict.PROVEN
    lucky = _LUCK.judged(made.verdict != verdict.LUCK, f"against cash {made.verdict}, against holding {market.verdict}")
    if made.verdict != verdict.LUCK and not proven:
        lucky = _LUCK.warned(lucky.value, "; ".join(market.reasons or made.reasons))
    earned = walk.sharpe is not None and walk.sharpe > 0
    return [
        _APART.judged(_blind(found), f"{count} windows"),
        _EARNED.judged(earned, f"Sharpe {told(walk.sharpe)}", detail=walk.missing.get("sharpe", "")),
        _MANY.judged(True, f"{count} windows") if count >= 5 else _MANY.warned(f"{count} windows", "too few"),
        _CARRIES.judged(True, carry) if carried else _CARRIES.warned(carry, "choosing does not help enough"),
        lucky,
    ]


def _blind(found: Walked) -> bool:
    """Whether every window chooses the same when all that came after its train sessions is turned round."""
    for window in found.walk.windows:
        changed = found.trials.returns.copy()
        changed[window.train.stop :] *= -1
        again = from_matrix(changed, (window,)).choices["choice"][0]
        if again != found.walk.choices["choice"][window.number] or window.test.start < window.train.stop:
            return False
    return True


def conclusion(found: Walked) -> Conclusion:
    """GO when no window looked ahead, what was chosen earned, and the best of the grid is more than luck."""
    made, walk, p = checks(found), found.walk, found.asked
    sound = "no window looked ahead" if made[0].status is CheckStatus.PASS else "the choice looked ahead"
    ratio = minus(told(walk.sharpe))
    headline = (
        f"{sound}; {p.strategy} earned a Sharpe ratio of {ratio} out of sample over {len(walk.windows)} windows, "
        f"{minus(share(walk.efficiency))} of what it earned in sample; the best of the grid is "
        f"{found.worth.verdict} against cash, {found.against_market.verdict} against holding"
    )
    reasons = [
        f"{check.title}: {check.value}. {check.detail or check.remedy}"
        for check in made
        if check.status is not CheckStatus.PASS
    ]
    first, last = found.trials.sessions[0], found.trials.sessions[-1]
    bars = found.trials.bars
    facts = {
        "bars": f"{p.data}, {', '.join(bars.symbols)}, {first} to {last}, {len(found.trials.sessions):,} sessions",
        "grid": f"{p.grid}; {found.trials.trials} combinations; {p.fixed}",
        "costs": f"{p.cost_bps:g} bps of each fill's value",
    }
    where = f"{p.strategy} · {first} to {last}"
    return Conclusion(verdict_of(made), headline, reasons=reasons, where=where, facts=facts)
