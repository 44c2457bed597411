"""Sweeps: many parameter sets of one strategy over the same bars, what they brought and what that is worth (§2).

`sweep` is for notebooks and for `qm sweep`. Every sweep has a sample of its combinations simulated again by vectorbt
and fails if they differ, and says how many trials it took and what its best is worth after that.
"""

import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.research.sweeps.grid import Combinations, Grid, GridRefused, all_of, chosen, drawn
from qmworkbench.research.sweeps.grid_text import grid_of, parse_grid
from qmworkbench.research.sweeps.plain_rules import definition_of
from qmworkbench.research.sweeps.sweep_bars import SweepBars, sweep_bars
from qmworkbench.research.sweeps.sweep_check import SAMPLE, Checked
from qmworkbench.research.sweeps.sweep_engine import Engine, Setting
from qmworkbench.research.sweeps.sweep_gathered import Gathered
from qmworkbench.research.sweeps.sweep_identity import identity_of
from qmworkbench.research.sweeps.sweep_runner import LocalRunner, Part, Runner
from qmworkbench.research.sweeps.sweep_sample import Sample, SecondOpinion
from qmworkbench.research.sweeps.sweep_search import Search
from qmworkbench.research.sweeps.sweep_store import SweepStore
from qmworkbench.research.sweeps.sweep_tables import METRICS, TOGETHER, ranked, times_of
from qmworkbench.research.sweeps.sweep_worth import Worth, worth_of
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.parameters import Value

if TYPE_CHECKING:
    from qmworkbench.research.backtests.period_bars import PeriodBars

Table = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]

CHUNK: Final = 1_024
"""Combinations that are computed, and kept on disk, at a time."""


@dataclass(frozen=True, eq=False)
class SweepResult:
    """What a sweep brought.

    `rows`: a row for each combination and symbol (sweep_tables.schema), and where there are several symbols one for
    all of them together, symbol "(all)". `equity`: their equity together at `times_us`, a row for each combination in
    the order of `whole`; None where it took too much room. `invalid` combinations contradicted themselves and were
    left out, `reasons` says why some were. `checked` is vectorbt's second opinion, `worth` what the best is worth.
    `manifest` tells all of it for the record; its `telemetry` holds facts of the machine and is no part of the result.
    `kept`: the sweep had been done before, and this is what was kept of it.
    """

    strategy_id: str
    by: str
    rows: pl.DataFrame
    times_us: npt.NDArray[np.int64]
    equity: Table | None
    checked: Checked
    worth: Worth
    manifest: Mapping[str, Any]
    directory: Path | None = None
    kept: bool = False

    @property
    def trials(self) -> int:
        """How many combinations were tried."""
        return self.worth.trials

    @property
    def whole(self) -> pl.DataFrame:
        """One row for each combination: of the only symbol, or of all together."""
        return whole_of(self.rows)

    def ranking(self, by: str | None = None, *, symbol: str | None = None, top: int | None = None) -> pl.DataFrame:
        """Combinations from best to worst, of one symbol or of all together; what is missing comes last."""
        rows = self.whole if symbol is None else self.rows.filter(pl.col("symbol") == symbol)
        found = ranked(rows, by or self.by)
        return found if top is None else found.head(top)

    @property
    def best(self) -> dict[str, Any] | None:
        """The row of the best combination; None where none has the figure that ranks."""
        first = self.ranking(top=1)
        return first.row(0, named=True) if first.height and first[self.by][0] is not None else None


def whole_of(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each combination."""
    together = rows.filter(pl.col("symbol") == TOGETHER)
    return together if together.height else rows


@dataclass(frozen=True, eq=False)
class Asked:
    """Which combinations are tried: all of `grid`, `random` drawn ones, or a `search` by `by`; both by `seed`."""

    grid: Grid
    fixed: Mapping[str, Value] = field(default_factory=dict)
    random: int | None = None
    search: int | None = None
    seed: int = 0
    by: str = "sharpe"

    def __post_init__(self) -> None:
        if self.random is not None and self.search is not None:
            raise GridRefused("random and search are both given", "draw combinations, or look for the best")
        if self.by not in METRICS:
            raise GridRefused(f"there is no figure {self.by!r} to rank by", f"give one of {', '.join(METRICS)}")

    def which(self) -> "Which":
        """All but the grid, as `sweep` takes it."""
        return {
            "fixed": self.fixed,
            "random": self.random,
            "search": self.search,
            "seed": self.seed,
            "by": self.by,
        }

    def combinations(self, definition: StrategyDefinition) -> Combinations:
        """Those of a grid or a sample. Raises GridRefused, ParameterError."""
        if self.random is not None:
            return drawn(self.grid, definition, self.random, self.seed, fixed=self.fixed)
        return all_of(self.grid, definition, fixed=self.fixed)


@dataclass(frozen=True, eq=False)
class How:
    """How a sweep is run; none of it changes a result.

    `threads`: None for one a core. `cluster`: the address of a dask scheduler. `progress(done, of)` is called after
    each chunk. `sample`: who simulates a sample again, by default vectorbt, SAMPLE combinations drawn by the seed.
    """

    threads: int | None = None
    cluster: str | None = None
    progress: Progress | None = None
    sample: SecondOpinion | None = None
    chunk: int = CHUNK


class Which(TypedDict, total=False):
    """Which combinations: the fields of Asked, less its grid."""

    fixed: Mapping[str, Value]
    random: int | None
    search: int | None
    seed: int
    by: str


def sweep(
    strategy: str | StrategyDefinition,
    bars: "PeriodBars | pl.DataFrame | SweepBars",
    grid: str | Grid | Mapping[str, Any],
    *,
    setting: Setting | None = None,
    out: Path | None = None,
    how: How | None = None,
    **which: Unpack[Which],
) -> SweepResult:
    """Run a strategy with every combination of `grid` over `bars`.

    `fixed` sets parameters that do not vary. `random` draws so many combinations, `search` looks for the best by `by`
    in so many trials; both by `seed`. `out` keeps the results and lets a killed sweep go on.
    Raises GridRefused, BarsFault, ParameterError, SweepRefused, SweepDiffers, CheckFailed, ClusterRefused.
    """
    began = time.perf_counter()
    definition, setting, how = definition_of(strategy), setting or Setting(), how or How()
    asked = Asked(grid_given(grid, definition), **which)
    known = known_combinations(asked, definition)
    tried = _Searched(asked, definition) if known is None else _Grid(known)
    over = bars if isinstance(bars, SweepBars) else sweep_bars(bars)
    identity = identity_of(definition, over, setting, asked, how.chunk)
    store = SweepStore(out, identity) if out is not None else None
    if store is not None and store.complete is not None:
        return _kept(store, over, asked.by, definition)
    checker: SecondOpinion = how.sample or Sample(SAMPLE, asked.seed)
    gathered = Gathered(over, setting)
    try:
        with _runner(definition, over, setting, how) as runner:
            engine = runner.engine
            if tried.known is not None:
                checker.begin(definition, over, setting, tried.known)
            for part in _parts(tried, runner, store, how.chunk):
                gathered.add(*part)
                if how.progress is not None:
                    how.progress(gathered.combinations, tried.count)
            rows = gathered.rows()
            if tried.known is None:
                numbers = np.sort(whole_of(rows)["combination"].to_numpy())
                checker.begin(definition, over, setting, _numbered(asked, definition, numbers))
        checked = checker.result(rows)
    except BaseException:
        checker.stop()
        raise
    worth = worth_of(gathered, whole_of(rows), over, invalid=tried.invalid, seed=asked.seed)
    outcome = {
        "engine": engine,
        "reasons": list(tried.reasons),
        "failed_symbols": dict(over.failed),
        "checked": asdict(checked),
        "worth": worth.as_dict(),
        "telemetry": {"wall_s": round(time.perf_counter() - began, 3), "machine": platform.platform()},
    }
    manifest: Mapping[str, Any] = {"identity": identity, "status": "complete", **outcome}
    if store is not None:
        manifest = store.finish(rows, gathered.equity(), outcome)
    return SweepResult(
        strategy_id=definition.strategy_id,
        by=asked.by,
        rows=rows,
        times_us=times_of(over),
        equity=gathered.equity(),
        checked=checked,
        worth=worth,
        manifest=manifest,
        directory=out,
    )


def grid_given(grid: str | Grid | Mapping[str, Any], definition: StrategyDefinition) -> Grid:
    """A grid from any of its forms. Raises GridRefused."""
    if isinstance(grid, Grid):
        return grid
    return parse_grid(grid, definition) if isinstance(grid, str) else grid_of(grid, definition)


def known_combinations(asked: Asked, definition: StrategyDefinition) -> Combinations | None:
    """The combinations of a grid or a sample, at least one; None for a search. Raises GridRefused, ParameterError."""
    if asked.search is not None:
        return None
    known = asked.combinations(definition)
    if not len(known):
        first = known.reasons[0] if known.reasons else "it is empty"
        raise GridRefused(f"no combination of the grid {asked.grid} can be run", first)
    return known


class _Grid:
    """Combinations that are known from the start."""

    def __init__(self, known: Combinations) -> None:
        self.known: Combinations | None = known
        self.count, self.invalid, self.reasons = len(known), known.invalid, known.reasons

    def parts(self, chunk: int) -> Iterator[Combinations]:
        assert self.known is not None
        return (self.known.slice(at, at + chunk) for at in range(0, self.count, chunk))

    def told(self, rows: pl.DataFrame) -> None:
        """Nothing depends on it."""


class _Searched:
    """Combinations that follow from results."""

    def __init__(self, asked: Asked, definition: StrategyDefinition) -> None:
        assert asked.search is not None
        self.known: Combinations | None = None
        self.count = asked.search
        self._search = Search(asked.grid, definition, asked.search, asked.seed, by=asked.by, fixed=asked.fixed)

    @property
    def invalid(self) -> int:
        return self._search.invalid

    @property
    def reasons(self) -> tuple[str, ...]:
        return self._search.reasons

    def parts(self, chunk: int) -> Iterator[Combinations]:
        return self._search.batches()

    def told(self, rows: pl.DataFrame) -> None:
        self._search.told(whole_of(rows))


def _parts(tried: _Grid | _Searched, runner: Runner, store: SweepStore | None, chunk: int) -> Iterator[Part]:
    """The chunks in order, those on disk from there, the others computed and kept."""
    kept: dict[int, Part] = {}
    asked: deque[int] = deque()

    def missing() -> Iterator[Combinations]:
        for number, combinations in enumerate(tried.parts(chunk)):
            found = store.chunk(number) if store is not None else None
            if found is None:
                asked.append(number)
                yield combinations
            else:
                kept[number] = found
                tried.told(found[0])

    told = 0
    for computed in runner.map(missing(), ahead=tried.known is not None):
        number = asked.popleft()
        for at in range(told, number):
            yield kept.pop(at)
        told = number + 1
        if store is not None:
            store.put(number, *computed)
        tried.told(computed[0])
        yield computed
    for at in sorted(kept):
        yield kept.pop(at)


def _runner(definition: StrategyDefinition, bars: SweepBars, setting: Setting, how: How) -> Runner:
    if how.cluster is None:
        return LocalRunner(Engine(definition, bars, setting, threads=how.threads))
    from qmworkbench.research.sweeps.cluster import ClusterRunner

    return ClusterRunner(how.cluster, definition, bars, setting)


def _numbered(asked: Asked, definition: StrategyDefinition, numbers: npt.NDArray[np.int64]) -> Combinations:
    return chosen(asked.grid, definition, numbers, fixed=asked.fixed, how="search", seed=asked.seed)


def _kept(store: SweepStore, bars: SweepBars, by: str, definition: StrategyDefinition) -> SweepResult:
    """A sweep that was done before, as it was kept."""
    assert store.complete is not None
    rows, equity = store.results()
    return SweepResult(
        strategy_id=definition.strategy_id,
        by=by,
        rows=rows,
        times_us=times_of(bars),
        equity=equity,
        checked=Checked(**store.complete["checked"]),
        worth=Worth(**store.complete["worth"]),
        manifest=store.complete,
        directory=store.directory,
        kept=True,
    )
