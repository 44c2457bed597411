"""Signals of a whole period in one pass, handed out by session and boundary: what a long replay uses (§9)."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import polars as pl

from qmworkbench.strategies.bars import SessionGrid
from qmworkbench.strategies.definition import StrategyDefinition, StrategyInstance
from qmworkbench.strategies.frames import SignalSource
from qmworkbench.strategies.one_pass import SessionSignals


class PeriodDiffers(ValueError):
    """A session that is not the one the period was computed for; the message says in what. Compute it by itself."""


class PeriodSignals:
    """The signals of many sessions, each the same bit for bit as `SessionSignals` computes them.

    `instances` are those of every session. `bars`: raw regular bars (bars.RAW_SCHEMA) of all sessions of `grids`, in
    any order. `grids`: the sessions in date order, those that are history alone first. `ticks`: the increment of each
    symbol. `history_sessions`: how many sessions before it a session is given (the configuration's
    data.history_days), None for as many as its strategies ask for.
    """

    def __init__(
        self,
        instances: Sequence[StrategyInstance],
        *,
        bars: pl.DataFrame,
        grids: Sequence[SessionGrid],
        ticks: Mapping[str, float],
        history_sessions: int | None = None,
        definitions: Mapping[str, StrategyDefinition] | None = None,
    ) -> None:
        self._instances, self._grids, self._ticks = tuple(instances), tuple(grids), dict(ticks)
        self._bars, self._definitions = bars, definitions
        self._history = len(grids) if history_sessions is None else history_sessions

    def session(self, day: date, symbols: Sequence[str]) -> SignalSource:
        """The signals of the session of `day` for its universe, `symbols` in alphabetical order: append its frames in
        turn and ask. Raises PeriodDiffers for a day or a symbol the period does not know.
        """
        at = next((at for at, grid in enumerate(self._grids) if grid.session == day), None)
        unknown = [symbol for symbol in symbols if symbol not in self._ticks]
        if at is None or unknown:
            raise PeriodDiffers(f"the period has no {day if at is None else ', '.join(unknown[:5])}")
        grids = self._grids[max(0, at - self._history) : at + 1]
        before = self._bars.filter(pl.col("ts") < grids[-1].opens_at)
        return SessionSignals(
            self._instances,
            symbols=symbols,
            ticks=np.array([self._ticks[symbol] for symbol in symbols]),
            grids=grids,
            bars=self._bars.filter(pl.col("ts").is_between(grids[-1].opens_at, grids[-1].closes_at, closed="left")),
            history=before if len(grids) > 1 else None,
            definitions=self._definitions,
        )
