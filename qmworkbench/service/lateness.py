"""How late each boundary was worked off, and when that has drifted beyond tolerance (§20 scanner timing drift)."""

import math
from collections import deque
from datetime import datetime
from typing import Final

import msgspec

from qmworkbench.domain.events import Alert
from qmworkbench.domain.events.telemetry import BoundaryTimed, TimingDrifted
from qmworkbench.domain.sessions import Priority

WINDOW: Final = 20


class StageTimes(msgspec.Struct, kw_only=True):
    """How long the stages of one boundary took, in milliseconds of wall time."""

    radar_ms: float = 0.0
    signals_ms: float = 0.0
    decide_ms: float = 0.0
    journal_ms: float = 0.0


class Lateness:
    """The lateness of the last boundaries: 95th percentile over WINDOW of them against a tolerance in milliseconds.

    A boundary is late by the wall time between when it was due and when its decisions were carried out; a replay
    without a pace has no due time and is never late.
    """

    def __init__(self, tolerance_ms: float) -> None:
        if not tolerance_ms > 0:
            raise ValueError(f"lateness tolerance is {tolerance_ms} ms: give a time above zero")
        self.tolerance_ms = tolerance_ms
        self.drifted = False
        self._recent: deque[float] = deque(maxlen=WINDOW)

    @property
    def p95_ms(self) -> float:
        """The lateness that 95 % of the last boundaries did not exceed; 0 before the first."""
        if not self._recent:
            return 0.0
        ordered = sorted(self._recent)
        return round(ordered[math.ceil(0.95 * len(ordered)) - 1], 3)

    def alert(self) -> Alert | None:
        """The alarm that stands while boundaries run late; a fact of the machine, so no decision knows of it."""
        if not self.drifted:
            return None
        return Alert(
            alert_id="scanner-timing-drift",
            priority=Priority.P2,
            kind="scanner_timing_drift",
            key="scanner",
            text=(
                f"boundaries run late: 95 % of the last {WINDOW} within {self.p95_ms:.0f} ms, "
                f"tolerated {self.tolerance_ms:.0f}"
            ),
            remedy="see which stage takes long (telemetry boundary_timed); lower universe, owned symbols or speed",
        )

    def note(
        self, at: datetime, boundary: int, lateness_ms: float, stages: StageTimes
    ) -> list[BoundaryTimed | TimingDrifted]:
        """Take in one boundary; returns the telemetry to write, a TimingDrifted only when drifting begins."""
        self._recent.append(lateness_ms)
        told: list[BoundaryTimed | TimingDrifted] = [
            BoundaryTimed(
                at=at,
                boundary=boundary,
                lateness_ms=round(lateness_ms, 3),
                radar_ms=round(stages.radar_ms, 3),
                signals_ms=round(stages.signals_ms, 3),
                decide_ms=round(stages.decide_ms, 3),
                journal_ms=round(stages.journal_ms, 3),
            )
        ]
        was, p95 = self.drifted, self.p95_ms
        self.drifted = len(self._recent) == WINDOW and p95 > self.tolerance_ms
        if self.drifted and not was:
            told.append(TimingDrifted(at=at, p95_lateness_ms=p95, tolerance_ms=self.tolerance_ms, boundaries=WINDOW))
        return told
