"""Signal by signal: what a strategy said in a session, against what it says on the recorded bars (M: layer 2)."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain.events.market import SignalRow
from qmworkbench.research.parity.parity_causes import Cause
from qmworkbench.research.parity.parity_difference import Difference, LaneCase, LaneParity
from qmworkbench.strategies.contract import FLAGS

# Of a tick: both sides lie on ticks, so any real difference is a whole one or more.
_SAME_PX: Final = 1e-3


class Signals:
    """What a strategy was recorded to have said, against what it says on the recorded bars."""

    def __init__(self, case: LaneCase, result: LaneParity) -> None:
        self._case, self._result = case, result

    def compare(self) -> None:
        """Every row on record, and every entry that should have been on record."""
        bars, lane = self._case.bars, self._case.lane
        said = {bars.closes_at[at]: row for at, row in enumerate(bars.signals.iter_rows(named=True))}
        for at, row in lane.rows.items():
            self._result.signals += 1
            told = said.get(at)
            if told is None:
                self._differs(at, "signal without a bar", "no bar", _spoken(row))
            elif not _agree(row, told, self._case.bars.tape.tick):
                self._differs(at, "another signal", _told(told), _spoken(row))
        for at, told in said.items():
            entry = told["entry_long"] or told["entry_short"]
            if entry and at not in lane.rows and lane.is_owned(at) and at in self._case.witness.lanes.boundaries:
                self._result.signals += 1
                self._differs(at, "no signal on record", _told(told), "nothing")

    def _differs(self, at: datetime, what: str, expected: str, recorded: str) -> None:
        lane = self._case.lane
        ended = self._case.witness.entry_missing(at, None)
        late = ended[0] if ended[0] in (Cause.LATE_BAR, Cause.STRATEGY_ENDED) else Cause.UNEXPLAINED
        why = ended[1] if late is not Cause.UNEXPLAINED else "the same bars give another answer now"
        self._result.differences.append(
            Difference(
                level="signal",
                strategy_id=lane.strategy_id,
                symbol=lane.symbol,
                at=at,
                what=what,
                expected=expected,
                recorded=recorded,
                cause=late,
                why=why,
            )
        )


def _agree(row: SignalRow, told: dict[str, Any], tick: float) -> bool:
    flags = all(getattr(row, name) == told[name] for name in FLAGS)
    levels = all(_same_level(getattr(row, f"{name}_px"), told[name], tick) for name in ("stop", "target"))
    limits = row.trail_bps == told["trail_bps"] and row.max_hold_bars == told["max_hold_bars"]
    return flags and levels and limits


def _same_level(recorded: Decimal | None, told: object, tick: float) -> bool:
    if recorded is None or not isinstance(told, float):
        return recorded is None and told is None
    return abs(float(recorded) - told) < _SAME_PX * tick


def _told(told: dict[str, Any]) -> str:
    said = [name for name in FLAGS if told[name]]
    levels = [f"{name} {told[name]:g}" for name in ("stop", "target") if told[name] is not None]
    return ", ".join([*said, *levels]) or "nothing"


def _spoken(row: SignalRow) -> str:
    levels = {"stop": row.stop_px, "target": row.target_px}
    said = [name for name in FLAGS if getattr(row, name)]
    return ", ".join([*said, *(f"{name} {px:g}" for name, px in levels.items() if px is not None)]) or "nothing"
