"""What a boundary's bars come to: radar, scan, signals and marks, one pure computation (§9, DESIGN "Frames").

The kernel never sees a frame. It says what it wants to know (`request_for`), this computes it beside the loop, and
the answer goes back in as FrameComputed. Frames come in order and each once, because radar and signals grow with the
session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import numpy as np

from qmworkbench.domain.events.market import FrameComputed, Mark, SignalRow
from qmworkbench.domain.instruments import AssetClass, Instrument
from qmworkbench.domain.numbers import decimal_of
from qmworkbench.domain.sessions import TradingState
from qmworkbench.strategies.batch import SignalBatch
from qmworkbench.trading import feed_quality
from qmworkbench.trading.frames import BarFrame, Floats, Universe
from qmworkbench.trading.radar import Radar
from qmworkbench.trading.radar_snapshot import RadarSnapshot
from qmworkbench.trading.scanner import ScanConditions, ScanSettings, scan
from qmworkbench.trading.state import State, position_key
from qmworkbench.trading.watchlist import ENDED

BEFORE_OPEN: Final = "regular trading has not begun"


@dataclass(frozen=True)
class FrameRequest:
    """What the kernel's state wants to know of the next frame, taken at one moment and immutable.

    `owned`: (strategy_id, symbol) pairs that signals are computed for, sorted. `exposed`: position keys with something
    held or worked, for which exits matter. `marked`: symbols whose price is needed, sorted.
    """

    owned: tuple[tuple[str, str], ...]
    exposed: frozenset[str]
    marked: tuple[str, ...]
    conditions: ScanConditions


def request_for(state: State) -> FrameRequest:
    """The request of a state between two inputs."""
    day = state.day
    runs = day.runs
    worked = [position_key(strategy_id, symbol) for symbol, owners in state.open_at.items() for strategy_id in owners]
    pairs = {(owned.strategy_id, owned.symbol) for owned in day.assignments.values()}
    pairs.update([(held.strategy_id, held.symbol) for held in state.positions.values()])
    symbols = {symbol for _, symbol in pairs} | state.open_at.keys()
    watched = {symbol for symbol, item in day.watchlist.items() if item.state not in ENDED}
    symbols |= watched
    exposed = {*worked, *state.positions}
    halt = state.halt
    entries_reason = day.entries_held
    if not entries_reason and halt.state is not TradingState.ACTIVE:
        entries_reason = f"{halt.state.shown}: {halt.reason}"
    return FrameRequest(
        owned=tuple(sorted([pair for pair in pairs if pair[0] in runs and not runs[pair[0]].ended])),
        exposed=frozenset(exposed),
        marked=tuple(sorted(symbols)),
        conditions=ScanConditions(
            blocked=tuple(sorted(state.blocked)),
            entries_open=not entries_reason,
            entries_reason=entries_reason,
            feed_ok=feed_quality.trusted(state),
            feed_reason=feed_quality.why_silent(state),
            known=frozenset(watched),
        ),
    )


class Signals(Protocol):
    """Where signals come from: strategies.frames.SignalEngine or strategies.one_pass.SessionSignals."""

    def append(self, frame: BarFrame) -> None:
        """Take in a boundary's bars; extended frames are passed over."""
        ...

    def signals(self, owned: Sequence[tuple[str, Sequence[str]]]) -> SignalBatch:
        """What each instance says of the symbols it owns at the boundary appended last."""
        ...


@dataclass(frozen=True)
class Computed:
    """One boundary's results: the answer for the kernel, the instances that broke their contract with the reason, and
    the radar for screens and files."""

    answer: FrameComputed
    faults: tuple[tuple[str, str], ...]
    radar: RadarSnapshot


class FrameComputer:
    """Radar, scanner and signals of one session, fed with every frame in turn.

    `instruments` are those of the universe. All forex pairs get a mark at each boundary: they are conversion rates.
    `signals` computes anew at each boundary or hands out what was computed in one pass: the answers are the same.
    """

    def __init__(
        self,
        universe: Universe,
        instruments: Mapping[str, Instrument],
        radar: Radar,
        scan_settings: ScanSettings,
        signals: Signals,
    ) -> None:
        self.radar_snapshot: RadarSnapshot | None = None
        self._universe = universe
        self._radar = radar
        self._settings = scan_settings
        self._signals = signals
        self._pairs = tuple(s for s in universe.symbols if instruments[s].asset_class is AssetClass.FOREX)
        self._asked: tuple[tuple[str, str], ...] = ()
        self._owned: tuple[tuple[str, tuple[str, ...]], ...] = ()
        self._frames_at: list[datetime] = []
        self._printed_in = np.full(len(universe), -1, dtype=np.int64)  # the frame of each symbol's last print

    def take(self, frame: BarFrame, spread_bps: Floats | None = None) -> RadarSnapshot:
        """Take in a frame without asking anything of it: how a recovered session catches up with its stored bars."""
        self.radar_snapshot = self._radar.advance(frame, spread_bps)
        self._printed_in[frame.index] = len(self._frames_at)
        self._frames_at.append(frame.as_of)
        self._signals.append(frame)
        return self.radar_snapshot

    def compute(self, frame: BarFrame, request: FrameRequest, spread_bps: Floats | None = None) -> Computed:
        """Take in a frame and answer `request` as of its boundary."""
        radar = self.take(frame, spread_bps)
        found = None if frame.extended else scan(radar, self._settings, request.conditions)
        signals, faults = ([], []) if frame.extended else self._rows(request)
        if found is None:
            silenced = BEFORE_OPEN
        else:
            silenced = "; ".join(verdict.sentence() for verdict in found.closed)
        answer = FrameComputed(
            at=frame.as_of,
            as_of=frame.as_of,
            frame_hash=frame.content_hash,
            radar_hash=radar.content_hash,
            candidates=found.candidates if found is not None else (),
            near_misses=found.near_misses if found is not None else (),
            signals=tuple(signals),
            marks=self._marks(radar, request.marked),
            silenced=silenced,
        )
        return Computed(answer=answer, faults=tuple(faults), radar=radar)

    def _rows(self, request: FrameRequest) -> tuple[list[SignalRow], list[tuple[str, str]]]:
        """Signals of the owned symbols, and faults. A call to leave where nothing is held or worked is no news."""
        if request.owned != self._asked:
            owned: dict[str, list[str]] = {}
            for strategy_id, symbol in request.owned:
                if symbol in self._universe:
                    owned.setdefault(strategy_id, []).append(symbol)
            self._asked = request.owned
            self._owned = tuple((name, tuple(symbols)) for name, symbols in owned.items())
        if not self._owned:
            return [], []
        batch = self._signals.signals(self._owned)
        rows = list(batch.rows(request.exposed))
        return rows, [(fault.instance_id, fault.problem) for fault in batch.faults]

    def _marks(self, radar: RadarSnapshot, wanted: Sequence[str]) -> tuple[Mark, ...]:
        """The last traded price of each symbol asked for, dated when it printed; none for what has not traded."""
        marks: list[Mark] = []
        for symbol in sorted({*wanted, *self._pairs}):
            position = self._universe.index.get(symbol)
            printed_in = -1 if position is None else int(self._printed_in[position])
            if position is not None and printed_in >= 0:
                marks.append(Mark(symbol, decimal_of(float(radar.last[position])), self._frames_at[printed_in]))
        return tuple(marks)
