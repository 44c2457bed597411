"""A sweep to look at, kept or made here: its combinations, their equity, what must hold, and its conclusion (§2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from qmworkbench.domain.checks import Check, CheckStatus, verdict_of
from qmworkbench.operations.lines import Line
from qmworkbench.reporting.notebook import Conclusion
from qmworkbench.reporting.parameters import SweepParameters, home
from qmworkbench.reporting.tables import share
from qmworkbench.reporting.walk_forward_run import values_of
from qmworkbench.research.backtests.observations import told
from qmworkbench.research.fills.tape import Floats, Terms
from qmworkbench.research.statistics import overfitting, stability, verdict
from qmworkbench.research.sweeps.sweep import SweepResult, sweep, whole_of
from qmworkbench.research.sweeps.sweep_store import EQUITY, MANIFEST, RESULTS
from qmworkbench.research.sweeps.sweep_tables import OK, returns_of

_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, eq=False)
class Explored:
    """A sweep. `whole`: one row a combination; `equity`: beside it at marks evenly spread over the period, None where
    the sweep was too large to keep it; `names`: the parameters that vary; `manifest`: the sweep's own record.
    """

    asked: SweepParameters
    whole: pl.DataFrame
    equity: Floats | None
    manifest: Mapping[str, Any]

    @property
    def identity(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.manifest["identity"]
        return found

    @property
    def worth(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.manifest["worth"]
        return found

    @property
    def names(self) -> tuple[str, ...]:
        columns = self.whole.columns
        return tuple(columns[columns.index("symbol") + 1 : columns.index("status")])

    @property
    def axes(self) -> tuple[str, str] | None:
        """The two parameters of the map: those asked for, else the first two with more than one value."""
        varied = [name for name in self.names if self.whole[name].n_unique() > 1]
        x = self.asked.x or next((name for name in varied if name != self.asked.y), "")
        y = self.asked.y or next((name for name in varied if name != x), "")
        return (x, y) if x and y else None

    @property
    def cash(self) -> float:
        """What all accounts began with together."""
        failed = self.manifest.get("failed_symbols", {})
        symbols = [name for name in self.identity["data"]["symbols"] if name not in failed]
        return float(self.identity["setting"]["cash"]) * len(symbols)

    @cached_property
    def map(self) -> stability.StabilityMap | str:
        """The grid by two parameters, or why there is no map of it."""
        if self.axes is None:
            return "fewer than two parameters vary"
        try:
            return stability.stability_map(self.whole, *self.axes, self.asked.metric)
        except ValueError as reason:
            return str(reason)

    @cached_property
    def splits(self) -> overfitting.Overfitting | str:
        """The probability of overfitting, or why it cannot be told."""
        if self.equity is None:
            return "the sweep was too large for the equity of all combinations to be kept"
        sound = (self.whole["status"] == OK).to_numpy()
        try:
            return overfitting.fitted(returns_of(self.equity[sound], self.cash).T) or overfitting.TOO_FEW
        except ValueError as reason:
            return str(reason)

    def row_of(self, params: Mapping[str, Any]) -> int | None:
        """The first combination with these values, by its place in `whole`; None where there is none."""
        held = self.whole.with_row_index("place")
        for name, value in params.items():
            held = held.filter(pl.col(name) == value)
        return int(held["place"][0]) if held.height else None


def load(parameters: SweepParameters, *, data: Path | None = None) -> Explored:
    """The sweep kept in `sweep_dir`, or one made now. Raises ValueError for a directory that holds no whole sweep."""
    if parameters.sweep_dir is not None:
        return _kept(parameters, parameters.sweep_dir)
    made = _made(parameters, data or home() / "data")
    return Explored(parameters, made.whole, made.equity, made.manifest)


def _kept(parameters: SweepParameters, home: Path) -> Explored:
    try:
        manifest = msgspec.json.decode((home / MANIFEST).read_bytes())
        rows = pl.read_parquet(home / RESULTS) if manifest.get("status") == "complete" else None
        equity = pl.read_parquet(home / EQUITY)["equity"].to_numpy() if (home / EQUITY).exists() else None
    except (OSError, msgspec.DecodeError, pl.exceptions.PolarsError, AttributeError) as error:
        raise ValueError(
            f"sweep_dir {home} holds no sweep that can be read ({error}): give what qm sweep named"
        ) from None
    if rows is None:
        raise ValueError(f"sweep_dir {home} holds a sweep that was not finished: the same qm sweep goes on with it")
    return Explored(parameters, whole_of(rows), equity, manifest)


def _made(p: SweepParameters, data: Path) -> SweepResult:
    from qmworkbench.research.backtests.period_bars import boundaries_of, read_period
    from qmworkbench.research.sweeps.plain_rules import definition_of
    from qmworkbench.research.sweeps.sweep_engine import Setting
    from qmworkbench.service.bar_sources import open_bars

    definition = definition_of(p.strategy)
    named = "" if p.symbols.strip().lower() == "all" else p.symbols
    symbols = tuple(name.strip() for name in named.split(",") if name.strip())
    period = (p.first, p.last)
    source = open_bars(p.data, data=data, period=period, symbols=symbols)
    before = definition.history_sessions(definition.parameters({}), boundaries_of(source, period)) if p.first else 0
    bars = read_period(source, symbols=symbols, period=period, history_sessions=before)
    setting = Setting(Terms(fee_rate=p.cost_bps / 10_000), p.cash, p.cash / 4)
    return sweep(definition, bars, p.grid, setting=setting, fixed=values_of(p.fixed))


_CHECKED: Final = Line(
    check_id="sweep.checked",
    section="FILLS",
    title="vectorbt comes to the same",
    looked_at="a sample of the combinations, simulated again on the same signals",
    expectation="figures no further apart than 1e-9",
    remedy="do not trust the sweep: run it again, and report what differs",
)
_FAILED: Final = Line(
    check_id="sweep.failed",
    section="§2 Backtesting",
    title="Every combination could be run",
    looked_at="combinations and symbols",
    expectation="none failed",
    remedy="read the reasons; each failed one counts as a trial all the same",
)
_PLATEAU: Final = Line(
    check_id="sweep.plateau",
    section="§2 Backtesting",
    title="The best stands on a plateau",
    looked_at="the neighbours of the best combination on the map",
    expectation="their median at least half of the best",
    remedy="take the centre of the plateau, or widen the grid; a needle is luck until shown otherwise",
)
_LUCK: Final = Line(
    check_id="sweep.luck",
    section="§2 Backtesting",
    title="The best is more than luck",
    looked_at="deflated Sharpe ratio, SPA and PBO over all combinations, against cash",
    expectation="distinguishable from luck",
    remedy="trade it on paper only; walk it forward on other sessions",
)


def checks(found: Explored) -> list[Check]:
    """What must hold before the best of a sweep is worth a second look."""
    checked, worth = found.manifest["checked"], found.worth
    cases, apart = int(checked["cases"]), float(checked["max_abs_diff"])
    failed, symbols = int(worth["failed"]), found.manifest.get("failed_symbols", {})
    lost = f"{failed:,} of {found.whole.height:,} combinations, {len(symbols)} symbols failed"
    word = str(worth["verdict"])
    why = "; ".join((worth.get("details") or {}).get("reasons", ())) or str(worth["sentence"])
    if word == verdict.PROMISING:
        luck = _LUCK.warned(word, why)
    else:
        luck = _LUCK.judged(word == verdict.PROVEN, word, detail="" if word == verdict.PROVEN else why)
    return [
        _CHECKED.judged(cases > 0 and apart <= _TOLERANCE, f"{cases} combinations, at most {apart:.1e} apart"),
        _FAILED.warned(lost, "; ".join(f"{name}: {why}" for name, why in symbols.items()) or _reason(found))
        if failed or symbols
        else _FAILED.judged(True, lost),
        _plateau(found),
        luck,
    ]


def _plateau(found: Explored) -> Check:
    made = found.map
    if isinstance(made, str):
        return _PLATEAU.warned("no map", made)
    if made.plateau is None:
        return _PLATEAU.warned("not told", made.missing["plateau"])
    seen = f"{share(made.plateau)} of the best, {share(made.width)} of the grid with half of it or more"
    if made.plateau >= 0.5:
        return _PLATEAU.judged(True, seen)
    return _PLATEAU.warned(seen, f"the best together with its neighbours is {_params(made.centre)}")


def _reason(found: Explored) -> str:
    reasons = found.whole["reason"].drop_nulls()
    return str(reasons[0]) if reasons.len() else "no reason was kept"


def _params(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in given.items())


def conclusion(found: Explored) -> Conclusion:
    """GO when vectorbt agrees and the best is more than luck."""
    made = checks(found)
    identity = found.identity
    headline = str(found.worth["sentence"]).removesuffix(".")
    reasons = [
        f"{check.title}: {check.value}. {check.detail or check.remedy}"
        for check in made
        if check.status is not CheckStatus.PASS
    ]
    bars = identity["data"]
    facts = {
        "bars": f"{bars['source']}, {', '.join(bars['symbols'])}, {bars['first'][:10]} to {bars['last'][:10]}",
        "grid": f"{identity['grid']}; {told(found.whole.height, ',.0f')} combinations",
        "engine": f"{found.manifest['engine']}; checked by {found.manifest['checked']['engine']}",
    }
    where = f"{identity['strategy']} · {bars['first'][:10]} to {bars['last'][:10]}"
    return Conclusion(verdict_of(made), headline, reasons=reasons, where=where, facts=facts)


def curve(found: Explored, place: int) -> Floats:
    """The equity of a combination by its place in `whole`, as worth of 1. Raises ValueError where none was kept."""
    if found.equity is None:
        raise ValueError("the sweep was too large for its equities to be kept: backtest the combination by itself")
    return np.concatenate(([1.0], found.equity[place] / found.cash))
