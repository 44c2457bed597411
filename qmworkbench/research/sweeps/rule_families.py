"""Strategies whose rule is evaluated in the kernel itself: which they are, and the columns they share (DESIGN Numbers).

A family says which indicator columns its rule compares and hands the kernel a stretch of combinations. Columns come
from strategies.indicators, each once for each distinct parameter, whatever the number of combinations. A strategy that
is no member, or of which a parameter has no place here, is evaluated by its own expressions (`sweep_signals`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qmworkbench.research.fills.tape import Floats
from qmworkbench.research.sweeps.grid import Combinations
from qmworkbench.research.sweeps.plain_rules import SMA_PLAIN
from qmworkbench.research.sweeps.sweep_bars import SymbolBars
from qmworkbench.research.sweeps.sweep_signals import column_of
from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.indicators import Indicator

Column = npt.NDArray[Any]


@dataclass(eq=False)
class Shared:
    """The columns of one symbol, computed when first asked for and kept for all combinations."""

    bars: SymbolBars
    columns: dict[object, Column] = field(default_factory=dict)

    def get(self, key: object, make: Callable[[], Column]) -> Column:
        """The column of that key, made by `make` where it is not there yet."""
        if key not in self.columns:
            self.columns[key] = make()
        return self.columns[key]

    def indicator(self, indicator: Indicator, *, history: bool = False) -> Floats:
        """An indicator's values on the tape's rows, NaN for null; `history`: on the rows before them as well."""

        def make() -> Column:
            series = column_of(self.bars, indicator.stages, indicator.name)
            values = series.to_numpy()
            kept = values if history else values[self.bars.history :]
            return np.ascontiguousarray(kept)

        return self.get((indicator.name, history), make)

    def totals(self) -> Column:
        """The running total of closes in whole units with a 0 before it: what exact averages are differences of."""

        def make() -> Column:
            average = ind.sma("close", 1)
            series = column_of(self.bars, average.stages[:-1], "i_total_close")
            return np.concatenate([[0], series.to_numpy()]).astype(np.int64)

        return self.get("totals", make)

    def setting(self, from_bar: int, bars_left: int, atr_bars: int, least_bps: float) -> Column:
        """1 where the clock and the true range allow an entry, as the strategies' `setting` says it."""

        def make() -> Column:
            rows = self.bars.frame[self.bars.history :]
            atr, close = self.indicator(ind.atr_mean(atr_bars)), rows["close"].to_numpy()
            fits = (rows["bar"].to_numpy() >= from_bar) & (rows["bars_left"].to_numpy() >= bars_left)
            return np.ascontiguousarray(fits & (atr * 1e4 >= least_bps * close), np.int8)

        return self.get(("setting", from_bar, bars_left, atr_bars, least_bps), make)


Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Family:
    """A strategy the kernel can evaluate: `arguments` prepares what its kernel function takes between the market and
    the plans, for a stretch of combinations of one symbol; `width` is how many bytes of columns that is for each row.
    """

    definition: StrategyDefinition
    kernel: str
    arguments: Callable[[Shared, "Values"], Arguments]
    width: Callable[["Values"], int]


class Values:
    """The parameters of a stretch of combinations as arrays, those that do not vary repeated."""

    def __init__(self, combinations: Combinations) -> None:
        self._combinations = combinations
        self.count = len(combinations)

    def __getitem__(self, name: str) -> Column:
        column = self._combinations.columns.get(name)
        return np.full(self.count, self._combinations.base[name]) if column is None else np.asarray(column)

    def whole(self, name: str) -> Column:
        """A whole-number parameter."""
        return np.ascontiguousarray(self[name], np.int64)

    def distinct(self, *names: str) -> tuple[list[tuple[Any, ...]], Column]:
        """The distinct values of some parameters together, and the place of each combination's among them."""
        places: dict[tuple[Any, ...], int] = {}
        columns = [self[name].tolist() for name in names]
        at = np.empty(self.count, np.int64)
        for i, values in enumerate(zip(*columns, strict=True)):
            at[i] = places.setdefault(values, len(places))
        return list(places), at


_SETTING: Final = ("from_bar", "min_bars_left", "atr_bars", "min_atr_bps")
_LENGTHS: Final = ("rsi_bars", "mean_bars", "atr_bars")
_BOUNDS: Final = ("oversold", "exit_rsi", "min_stretch_atr", "max_stretch_atr")


def _stacked(columns: Sequence[Column]) -> Column:
    return np.ascontiguousarray(np.stack(columns))


def _settings(shared: Shared, values: Values) -> tuple[Column, Column, Column, Column]:
    """Settings that fit and true ranges, each with the place of every combination's."""
    told, fit = values.distinct(*_SETTING)
    lengths, atr = values.distinct("atr_bars")
    fits = _stacked([shared.setting(*one) for one in told])
    ranges = _stacked([shared.indicator(ind.atr_mean(n)) for (n,) in lengths])
    return fits, fit, ranges, atr


def _plain(shared: Shared, values: Values) -> Arguments:
    return shared.totals(), (values.whole("fast_bars"), values.whole("slow_bars"))


def _crosses(shared: Shared, values: Values) -> Arguments:
    windows = tuple(values.whole(name) for name in ("fast_bars", "slow_bars", "enter_within_bars"))
    return shared.totals(), windows, _free(shared, _settings(shared, values))


def _free(shared: Shared, columns: tuple[Column, Column, Column, Column]) -> tuple[Column, Column, Column, Column]:
    fits, fit, ranges, atr = columns
    return np.ascontiguousarray(fits * free_rows(shared.bars)), fit, ranges, atr


def _channels(shared: Shared, values: Values) -> Arguments:
    entry, leave = values["entry_bars"].tolist(), values["exit_bars"].tolist()
    lengths = sorted({*entry, *leave})
    place = {n: at for at, n in enumerate(lengths)}
    tops = _stacked([shared.indicator(ind.prior_high(n)) for n in lengths])
    bottoms = _stacked([shared.indicator(ind.prior_low(n)) for n in lengths])
    windows = tuple(np.array([place[n] for n in column], np.int64) for column in (entry, leave))
    return tops, bottoms, windows, _settings(shared, values)


def _turns(shared: Shared, values: Values) -> Arguments:
    """The columns are those of the strategy's own program: its index in tenths, the bar before, stretch and mean."""
    from qmworkbench.strategies.rsi_reversion import DEFINITION

    told, at = values.distinct(*_LENGTHS)
    names = ("s_rsi", "s_rsi_before", "s_stretch", "f_mean")

    def make(lengths: tuple[int, ...]) -> Column:
        params = DEFINITION.parameters(dict(zip(_LENGTHS, lengths, strict=True)))
        frame = DEFINITION.program(params).with_signals(shared.bars.frame)
        return np.stack([frame[name].to_numpy()[shared.bars.history :] for name in names])

    columns = [shared.get(("turns", lengths), partial(make, lengths)) for lengths in told]
    wide = tuple(_stacked([one[place] for one in columns]) for place in range(len(names)))
    bounds = tuple(np.ascontiguousarray(values[name], np.float64) for name in _BOUNDS)
    rests = np.ascontiguousarray(values["target_at"] == "mean", np.bool_)
    return wide, at, bounds, rests, _settings(shared, values)


def _turns_width(values: Values) -> int:
    return 32 * len(values.distinct(*_LENGTHS)[0]) + _settings_width(values)


def _settings_width(values: Values) -> int:
    return len(values.distinct(*_SETTING)[0]) + 8 * len(values.distinct("atr_bars")[0])


def _channels_width(values: Values) -> int:
    lengths = {*values["entry_bars"].tolist(), *values["exit_bars"].tolist()}
    return 16 * len(lengths) + _settings_width(values)


def free_rows(bars: SymbolBars) -> Column:
    """1 where an entry may be decided at all: not at a session's last row."""
    left = bars.frame["bars_left"].to_numpy()[bars.history :]
    return np.ascontiguousarray(~bars.tape.ends & (left > 0), np.int8)


def plans_of(values: Values, names: Sequence[str]) -> Arguments:
    """How entries end, by combination, as `sweep_kernel.Plans` holds it; parameters a strategy has not are none."""

    def column(name: str, none: float, kind: type) -> Column:
        return np.ascontiguousarray(values[name] if name in names else np.full(values.count, none), kind)

    flat = np.asarray(values["flat"] == "at_close", np.bool_) if "flat" in names else np.ones(values.count, np.bool_)
    return (
        column("stop_atr", np.nan, np.float64),
        column("target_r", 0.0, np.float64),
        column("trail_bps", 0, np.int64),
        column("max_hold_bars", 0, np.int64),
        np.ascontiguousarray(flat),
        column("long", 1, np.bool_),
        column("short", 1, np.bool_),
    )


def family_of(definition: StrategyDefinition) -> Family | None:
    """The family of a strategy; None where its own expressions have to be asked.

    Only the very definition counts, not one of the same name: changed rules are never evaluated by the old kernel.
    """
    from qmworkbench.strategies.donchian import DEFINITION as DONCHIAN
    from qmworkbench.strategies.rsi_reversion import DEFINITION as RSI_REVERSION
    from qmworkbench.strategies.sma_cross import DEFINITION as SMA_CROSS

    families = (
        Family(SMA_PLAIN, "plain_crosses", _plain, lambda _: 0),
        Family(SMA_CROSS, "crosses", _crosses, _settings_width),
        Family(DONCHIAN, "channels", _channels, _channels_width),
        Family(RSI_REVERSION, "turns", _turns, _turns_width),
    )
    return next((family for family in families if family.definition is definition), None)
