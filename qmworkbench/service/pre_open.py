"""The session's own scan before the open, over the bars it was given (§8)."""

from datetime import datetime, timedelta

import msgspec

from qmworkbench.domain.events.market import PreOpenScanned
from qmworkbench.market.session import SessionData
from qmworkbench.trading.pre_open import scan_pre_open, window_of
from qmworkbench.trading.scanner_settings import ScanSettings
from qmworkbench.trading.state import State


def scan_of(data: SessionData, state: State, at: datetime) -> PreOpenScanned | None:
    """The scan with the settings on record; None where they ask for none."""
    settings = msgspec.convert(state.day.scan_settings, ScanSettings)
    window = window_of(settings, data.window.opens_at)
    if window is None:
        return None
    return scan_pre_open(
        at=at,
        window=window,
        settings=settings,
        universe=data.universe,
        reference=data.reference,
        frames=(frame for frame in data.frames if frame.extended),
        interval=timedelta(seconds=data.interval_s),
        blocked=state.blocked,
    )
