"""The backtest explorer's run: what it was asked, the runs around it, what must hold, and its conclusion (§2)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from qmworkbench.domain.checks import Check, CheckStatus, verdict_of
from qmworkbench.operations.lines import Line
from qmworkbench.reporting.notebook import Conclusion
from qmworkbench.reporting.parameters import BacktestParameters, home
from qmworkbench.reporting.sharpe_worth import worth_of
from qmworkbench.reporting.tear_tables import percent
from qmworkbench.research.backtests.backtest import Backtest, Sizing, Terms, backtest
from qmworkbench.research.backtests.period_bars import PeriodBars
from qmworkbench.strategies import catalog
from qmworkbench.strategies.parameters import ParameterError, Value

_FACTORS: Final = (0.5, 0.75, 1.0, 1.35, 2.0)
_FEW: Final = 30


@dataclass(frozen=True, eq=False)
class Explored:
    """A run and what it was asked; the runs around it are made when they are asked for."""

    asked: BacktestParameters
    run: Backtest

    @cached_property
    def around(self) -> pl.DataFrame:
        """The same with the two parameters of `vary` around their values: their names, total_return, sharpe, trades."""
        return neighbours(self.run, self.varied)

    @property
    def varied(self) -> tuple[str, ...]:
        """The parameters that are varied, those of them that this strategy has as numbers."""
        named = [name.strip() for name in self.asked.vary.split(",") if name.strip()]
        numeric = {
            spec.name
            for spec in self.run.definition.parameter_specs
            if isinstance(spec.approved, int | float) and not isinstance(spec.approved, bool)
        }
        return tuple(name for name in named if name in numeric)[:2]

    @property
    def symbol(self) -> str:
        """The symbol whose chart is drawn: the one with the largest result either way."""
        traded = self.run.by_symbol.sort(pl.col("pnl").abs(), "symbol", descending=[True, False])
        return str(traded["symbol"][0])


def load(parameters: BacktestParameters) -> Explored:
    """Run the backtest that the parameters ask for. Raises what research.backtest.backtest raises."""
    p = parameters
    return Explored(p, run_of(p, bars_of(p)))


def bars_of(p: BacktestParameters) -> PeriodBars:
    """The bars that are asked for, with the history the strategy looks back to."""
    from qmworkbench.research.backtests.period_bars import boundaries_of, read_period
    from qmworkbench.service.bar_sources import open_bars
    from qmworkbench.service.config import load as configuration

    names = named(p.symbols)
    period = (p.first, p.last)
    source = open_bars(p.data, data=configuration(cwd=home()).resolved("paths.data"), period=period, symbols=names)
    definition = catalog.get(p.strategy)
    params = definition.parameters(params_of(p))
    before = definition.history_sessions(params, boundaries_of(source, period))
    return read_period(source, symbols=names, period=period, history_sessions=before)


def run_of(p: BacktestParameters, bars: PeriodBars) -> Backtest:
    """The backtest itself, over bars that were read."""
    terms = Terms(fee_rate=p.cost_bps / 1e4, slippage_rate=p.slippage_bps / 1e4)
    sizing = Sizing(positions=p.positions)
    return backtest(p.strategy, bars, params_of(p), terms=terms, sizing=sizing, cash=p.cash)


def params_of(p: BacktestParameters) -> dict[str, Value]:
    """The parameters that are asked for, each in its own type. Raises ApprovalRefused for what sets nothing."""
    from qmworkbench.service.approvals import parsed

    return parsed(catalog.get(p.strategy), [one for one in p.params.split(",") if one.strip()])


def named(symbols: str) -> tuple[str, ...]:
    """`AAPL, BAC` as symbols; none for "all"."""
    names = tuple(dict.fromkeys(name.strip().upper() for name in symbols.split(",") if name.strip()))
    return () if names == ("ALL",) else names


def neighbours(run: Backtest, varied: tuple[str, ...]) -> pl.DataFrame:
    """Runs with one or two parameters at multiples of their values. Sets the strategy refuses are left out."""
    grids: list[list[Value]] = [_steps(run, name) for name in varied]
    rows: list[dict[str, Any]] = []
    for pair in [[one, other] for one in grids[0] for other in grids[1]] if len(grids) == 2 else []:
        changed = dict(zip(varied, pair, strict=True))
        try:
            near = backtest(
                run.definition,
                run.bars,
                run.params | changed,
                terms=run.terms,
                sizing=run.sizing_rule,
                cash=run.cash,
                options=run.options,
            )
        except ParameterError:
            continue
        told = {name: near.metrics[name] for name in ("total_return", "sharpe_sessions", "trades")}
        rows.append({**changed, **told})
    return pl.DataFrame(rows)


def _steps(run: Backtest, name: str) -> list[Value]:
    spec = next(spec for spec in run.definition.parameter_specs if spec.name == name)
    value = run.params[name]
    assert isinstance(value, int | float)
    steps = [value * factor for factor in _FACTORS]
    kept = {round(step) if isinstance(spec.approved, int) else round(step, 6) for step in steps}
    return sorted(step for step in kept if spec.refusal(step) is None)


# --- the verdict -----------------------------------------------------------------------------------------------------

_FILLS: Final = Line(
    check_id="backtest.fills",
    section="FILLS",
    title="Entries are filled at the open after the decision",
    looked_at="each entry against the bar before and its own bar",
    expectation="a decision at the close before, and that bar's open with the assumed slippage",
    remedy="do not trust the result: the simulation looked ahead",
)
_SAMPLE: Final = Line(
    check_id="backtest.sample",
    section="§2 Backtesting",
    title="There are trades enough to say anything",
    looked_at="closed trades",
    expectation="30 or more",
    remedy="more bars or more symbols; a handful of trades says nothing",
)
_SHARED: Final = Line(
    check_id="backtest.neighbours",
    section="§2 Backtesting",
    title="The neighbours share the result",
    looked_at="total return with other values of two parameters",
    expectation="most of them on the same side of zero",
    remedy="a result that its neighbours do not share is luck until shown otherwise",
)


def checks(found: Explored) -> list[Check]:
    """What must hold before a result is worth a second look."""
    run = found.run
    sound = all(_at_the_open(run, number) for number in range(len(run.tapes)))
    closed = int(run.metrics["trades"] or 0)
    made = [
        _FILLS.judged(sound, f"{run.trades.height} entries of {len(run.symbols)} symbols"),
        _SAMPLE.warned(f"{closed} closed trades", "too few to tell skill from luck")
        if closed < _FEW
        else _SAMPLE.judged(True, f"{closed} closed trades"),
    ]
    if len(found.varied) == 2 and found.around.height:
        positive = float((found.around["total_return"] > 0).mean())  # type: ignore[arg-type]
        alike = positive >= 0.7 if (run.metrics["total_return"] or 0.0) > 0 else True
        told = f"{positive:.0%} of {found.around.height} neighbours made money"
        made.append(
            _SHARED.judged(True, told) if alike else _SHARED.warned(told, "the result stands on its values alone")
        )
    return made


def _at_the_open(run: Backtest, number: int) -> bool:
    """Whether a symbol's entries are where they were decided, at the next open's price."""
    tape, decided = run.tapes[number], run.decisions[number]
    own = run.trades.filter(pl.col("symbol") == tape.symbol)
    at = own["entry_bar"].to_numpy()
    side = np.where(own["side"].to_numpy() == "long", 1.0, -1.0)
    asked = np.where(side > 0, decided.entry_long[at - 1], decided.entry_short[at - 1])
    paid = tape.open[at] * (1 + side * run.terms.slippage_rate)
    return bool(asked.all() and np.allclose(own["entry_px"].to_numpy(), paid, rtol=1e-12, atol=0))


def conclusion(found: Explored) -> Conclusion:
    """GO when the simulation is sound; what the result is worth is said beneath."""
    made, run = checks(found), found.run
    told = run.metrics
    sound = "the simulation is sound" if made[0].status is CheckStatus.PASS else "the simulation looked ahead"
    among = run.symbols[0] if len(run.symbols) == 1 else f"{len(run.symbols)} symbols"
    headline = (
        f"{sound}; {run.definition.strategy_id} on {among}: {percent(told['total_return'], sign=True)} against "
        f"{percent(told['benchmark_return'], sign=True)} for buy and hold, deepest drawdown "
        f"{percent(told['max_drawdown'])}"
    )
    reasons = [f"{one.title}: {one.value}. {one.detail}" for one in made if one.status is not CheckStatus.PASS]
    worth = worth_of(run.sessions["return"].to_numpy())
    reasons += [worth.sentence] if worth is not None else []
    facts = {
        "bars": f"{run.bars.source}, {sum(len(tape) for tape in run.tapes):,} bars, hash {run.bars.hash}",
        "parameters": ", ".join(f"{name}={value}" for name, value in run.params.items()),
        "engine": ", ".join(f"{name} {value}" for name, value in run.engine.items()),
    }
    where = f"{run.definition.strategy_id} · {among} · {run.bars.first} to {run.bars.last}"
    return Conclusion(verdict_of(made), headline, reasons=reasons, where=where, facts=facts)
