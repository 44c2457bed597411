"""A session's frame computer, its bars and its timing, built from the facts the session was opened with (§9, §19)."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl

from qmworkbench.domain.events.session import RunSpec
from qmworkbench.domain.instruments import Instrument
from qmworkbench.market.session import SessionData
from qmworkbench.service.ground import Ground
from qmworkbench.service.lateness import StageTimes
from qmworkbench.service.runs import instance_of
from qmworkbench.strategies.bars import RAW_SCHEMA
from qmworkbench.strategies.batch import SignalBatch
from qmworkbench.strategies.frames import SignalEngine, SignalSource
from qmworkbench.strategies.one_pass import SessionSignals
from qmworkbench.strategies.period import PeriodDiffers, PeriodSignals
from qmworkbench.trading.frame_computer import Computed, FrameComputer, FrameRequest
from qmworkbench.trading.frames import BarFrame, Floats
from qmworkbench.trading.radar_snapshot import RadarSnapshot
from qmworkbench.trading.scanner_settings import ScanSettings
from qmworkbench.trading.state import Session


class Frames:
    """Computes the boundaries of one session and says how long that took.

    Runs and scan settings are those on record: a resumed session goes on under the facts it was opened with,
    whatever the configuration says by now. `bars`: the whole session's, where signals are computed in one pass over it.
    `period`: those of many sessions, this one among them. `known`: the frames to come, where they are known.
    """

    def __init__(
        self,
        ground: Ground,
        session: Session,
        bars: pl.DataFrame | None = None,
        period: PeriodSignals | None = None,
        known: Sequence[BarFrame] = (),
    ) -> None:
        runs = [run.spec for run in session.runs.values()]
        self._timed = _TimedSignals(signal_source(ground, session.instruments, runs, bars, period))
        self._computer = FrameComputer(
            ground.universe,
            session.instruments,
            ground.radar(known),
            msgspec.convert(session.scan_settings, ScanSettings),
            self._timed,
        )

    @property
    def radar(self) -> RadarSnapshot | None:
        """The newest radar, None before the first frame."""
        return self._computer.radar_snapshot

    def take(self, frame: BarFrame, spread_bps: Floats | None = None) -> None:
        """Catch up with a frame that was decided on already."""
        self._computer.take(frame, spread_bps)

    def compute(self, frame: BarFrame, request: FrameRequest, spread_bps: Floats | None) -> tuple[Computed, StageTimes]:
        """The answer for the kernel, and how long radar with scan and signals took."""
        self._timed.spent_s = 0.0
        started = time.perf_counter()
        computed = self._computer.compute(frame, request, spread_bps)
        total_ms, signals_ms = (time.perf_counter() - started) * 1e3, self._timed.spent_s * 1e3
        return computed, StageTimes(radar_ms=total_ms - signals_ms, signals_ms=signals_ms)


class _TimedSignals:
    """Passes everything on and counts the seconds it took."""

    def __init__(self, source: SignalSource) -> None:
        self.spent_s = 0.0
        self._source = source

    def append(self, frame: BarFrame) -> None:
        started = time.perf_counter()
        self._source.append(frame)
        self.spent_s += time.perf_counter() - started

    def signals(self, owned: Sequence[tuple[str, Sequence[str]]]) -> SignalBatch:
        started = time.perf_counter()
        batch = self._source.signals(owned)
        self.spent_s += time.perf_counter() - started
        return batch


def signal_source(
    ground: Ground,
    instruments: Mapping[str, Instrument],
    runs: Sequence[RunSpec],
    bars: pl.DataFrame | None = None,
    period: PeriodSignals | None = None,
) -> SignalSource:
    """The signals of a session's runs: computed anew at each boundary, or in one pass over `bars` where given.

    `period` hands out what was computed for many sessions at once, where it was for such runs and this session's bars.
    """
    instances = [instance_of(spec) for spec in runs]
    symbols, grids, history = ground.universe.symbols, ground.grids, ground.history
    ticks = np.array([float(instruments[symbol].tick_size) for symbol in symbols])
    if period is not None and {i.instance_id: i for i in instances} == {i.instance_id: i for i in period.instances}:
        try:
            return period.session(ground.grid.session, symbols, grids=grids, ticks=ticks, history=history)
        except PeriodDiffers:
            pass  # a split overnight, a symbol of another day: the session is computed by itself, with the same answers
    common: dict[str, Any] = {"symbols": symbols, "ticks": ticks, "grids": grids, "history": history}
    return SignalEngine(instances, **common) if bars is None else SessionSignals(instances, bars=bars, **common)


def period_signals(runs: Sequence[RunSpec], sessions: Sequence[SessionData]) -> PeriodSignals:
    """The signals of these runs for sessions that follow each other, computed some sessions at a time.

    The first session's history is the period's; the others' must be the sessions before them.
    """
    first = sessions[0]
    grids = {grid.session: grid for data in sessions for grid in data.grids()}
    ticks = {name: float(one.tick_size) for data in sessions for name, one in data.instruments.items()}
    return PeriodSignals(
        [instance_of(spec) for spec in runs],
        bars=pl.concat([first.warmup.select(list(RAW_SCHEMA)), *(raw_bars(data) for data in sessions)]),
        grids=[grids[day] for day in sorted(grids)],
        ticks=ticks,
        history_sessions=max(len(data.history) for data in sessions),
    )


def raw_bars(data: SessionData) -> pl.DataFrame:
    """The session's regular bars as one table in RAW_SCHEMA, as the frames hold them."""
    frames = [frame for frame in data.regular_frames if len(frame)]
    if not frames:
        return pl.DataFrame(schema=RAW_SCHEMA)
    interval = timedelta(seconds=data.interval_s)
    rows = [len(frame) for frame in frames]
    opened = pl.Series("ts", [frame.as_of - interval for frame in frames], dtype=RAW_SCHEMA["ts"])
    symbols = pl.Series("symbol", data.universe.symbols, dtype=pl.String)
    columns = [
        symbols.gather(np.concatenate([frame.index for frame in frames])),
        opened.gather(np.repeat(np.arange(len(frames)), rows)),
    ]
    for name in ("open", "high", "low", "close", "volume"):
        columns.append(pl.Series(name, np.concatenate([getattr(frame, name) for frame in frames])))
    return pl.DataFrame(columns)
