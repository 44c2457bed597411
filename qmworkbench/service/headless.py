"""A whole day in a plain loop, as fast as it goes, with nobody watching; Ctrl-C ends it at a safe point (§2, §16)."""

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from qmworkbench.market.feed import Delivery
from qmworkbench.ports import JournalFailed, Notifier
from qmworkbench.service.blocking import complete
from qmworkbench.service.day import Preflight, trading_day
from qmworkbench.service.direct_report import Patience
from qmworkbench.service.direct_takeover import left_unfinished, liquidate_in
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.platform import Platform, open_platform
from qmworkbench.service.result import DayResult
from qmworkbench.service.shell import ShellStopped

# How long an emergency that the journal's failure has cut off is carried on: nobody watches a plain loop.
_PATIENCE: Final = Patience(wait_s=30.0, deadline_s=15.0)
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run_headless(
    plan: DayPlan,
    preflight: Preflight,
    *,
    notifier: Notifier | None = None,
    on_open: Callable[[Platform], None] | None = None,
    on_boundary: Callable[[Delivery], None] | None = None,
    command: str = "qm day --headless",
) -> DayResult:
    """Run the day of `plan`, or resume it, to its close.

    `on_open` is called with the platform before anything happens (to follow its bus), `on_boundary` after each
    boundary. Raises DayRefused, StartupFailed, LeaseTaken, StorageRefused, JournalFailed, ShellStopped; StopRequested
    after Ctrl-C or SIGTERM, once the last step is whole: the journal verifies and the same call resumes the session.
    """
    with open_platform(plan, command=command, notifier=notifier) as platform, stopped_by_signal(platform):
        if on_open is not None:
            on_open(platform)
        if on_boundary is not None:
            platform.boundary_listeners.append(on_boundary)
        try:
            return complete(trading_day(platform, preflight))
        except (JournalFailed, ShellStopped):
            if why := left_unfinished(platform):
                emergency = platform.state.emergency
                assert emergency is not None, "only an emergency is left unfinished"
                liquidate_in(platform, emergency.by, f"{emergency.reason} (goes on without: {why})", _PATIENCE)
            raise
        finally:
            gc.unfreeze()


@contextmanager
def stopped_by_signal(platform: Platform) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a stop at the next safe point; a second one no longer waits for it.

    Only the main thread hears signals; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}

    def stop(number: int, frame: FrameType | None) -> None:
        if platform.stop:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
        platform.stop = f"stopped by {signal.Signals(number).name}"

    try:
        for number in _STOP_SIGNALS:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
