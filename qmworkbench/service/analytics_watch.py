"""The four signals while a session runs: folded as it decides, judged at fixed boundaries, put on record (§9).

What is judged is what the journal says, at moments the journal names: so a resumed session, a headless one and one
with signals computed in one pass all come to the same observations.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from qmworkbench.analytics.session_signals import SessionSignals, exposure
from qmworkbench.analytics.signal_readings import CODES, Reading, changed, foremost, readings
from qmworkbench.analytics.signal_settings import DEFAULTS, SignalSettings
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.analytics import AnalyticsObserved
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.domain.numbers import ZERO
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.stores import open_reader
from qmworkbench.trading.state import State

_NOTHING_YET = {
    "unusual_slippage": "no fill with a decision price yet",
    "repeated_failed_entries": "no entry yet",
    "systematic_late_exits": "no trade closed yet",
    "unusual_concentration": "nothing held and no trade closed yet",
}


class AnalyticsWatch:
    """Follows one session. `take` hears every decision in order, `observe` is called at each regular boundary.

    `shows`: somebody looks at `found`, and wants to see what has too few observations as well.
    """

    def __init__(self, settings: SignalSettings = DEFAULTS, *, shows: bool = True) -> None:
        self.seen = SessionSignals(settings)
        self._shows = shows
        self.found: Sequence[Reading] = ()
        self.observed_at: datetime | None = None
        self._judged = 0

    def take(self, events: Iterable[Event]) -> None:
        """Fold decided events in."""
        self.seen.take(events)

    def observe(self, state: State, boundary: int) -> AnalyticsObserved | None:
        """What changed by this boundary; None between the fixed ones, and where nothing has."""
        due = boundary > 0 and boundary % self.seen.settings.observe_every == 0
        return self.judge(state) if due and self.seen.noted != self._judged else None

    def conclude(self, state: State) -> AnalyticsObserved | None:
        """The last word, once the session's books are done: what changed, and where each signal came to stand."""
        news = self.judge(state)
        told = {(signal.code, signal.subject) for signal in news.signals} if news is not None else set()
        stands = [
            reading.as_signal()
            for reading in foremost(self.found)
            if reading.state != "few" and (reading.code, reading.subject) not in told
        ]
        signals = (*(news.signals if news is not None else ()), *stands)
        return AnalyticsObserved(at=state.clock(), signals=signals) if signals else None

    def judge(self, state: State) -> AnalyticsObserved | None:
        """Where every signal stands now, for those who look; what of it the record does not have yet."""
        self._judged, self.observed_at = self.seen.noted, state.now
        held = [held for held in state.positions.values() if held.qty != 0]
        worth = [(position.strategy_id, position.symbol, position.cost * (_rate(state, position.symbol) or ZERO))
                 for position in held]  # fmt: skip
        self.found = readings(self.seen, exposure(worth), len(held), few=self._shows)
        signals = changed(self.found, self.seen.told)
        return AnalyticsObserved(at=state.clock(), signals=signals) if signals else None

    def shown(self) -> dict[str, Any]:
        """The panel's content: for each signal those active, or the one nearest to that, or that there is none."""
        rows = [_row(reading) for reading in foremost(self.found)]
        there = {row["code"] for row in rows}
        rows += [_empty(code) for code in CODES if code not in there]
        places = list(CODES)
        return {
            "observed_at": self.observed_at,
            "every": self.seen.settings.observe_every,
            "signals": sorted(rows, key=lambda row: places.index(row["code"])),
        }


def recorded(paths: BookPaths, state: State, settings: SignalSettings = DEFAULTS) -> AnalyticsWatch:
    """The newest session's signals from the record alone, judged on the state after its last event."""
    watch = AnalyticsWatch(settings)
    with open_reader(paths) as journal:
        begun = [seq for seq, event in journal.session_events() if isinstance(event, SessionOpened)]
        if begun:
            watch.take(event for _, event in journal.events(after_seq=begun[-1] - 1))
            watch.judge(state)
    return watch


def _rate(state: State, symbol: str) -> Any:
    instrument = state.instrument(symbol)
    return state.rate(instrument.currency) if instrument is not None else None


def _row(reading: Reading) -> dict[str, Any]:
    return {
        "code": reading.code,
        "title": CODES[reading.code],
        "state": reading.state,
        "subject": reading.subject,
        "value": round(reading.value, 1),
        "threshold": round(reading.threshold, 1),
        "unit": reading.unit,
        "sample": reading.sample,
        "needed": reading.needed,
        "text": reading.text,
    }


def _empty(code: str) -> dict[str, Any]:
    return {
        "code": code,
        "title": CODES[code],
        "state": "none",
        "subject": "",
        "value": None,
        "threshold": None,
        "unit": "",
        "sample": 0,
        "needed": 0,
        "text": _NOTHING_YET[code],
    }
