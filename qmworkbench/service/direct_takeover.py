"""The emergency that goes on inside a platform whose journal or kernel has failed: broker and fallback log alone (§15).

Given as a command then, or taken over in the middle: an emergency that was under way when the journal failed must not
stop half way because nothing can be decided any more. A platform that was fenced off takes over nothing: whoever
fenced it closes the positions.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import EmergencyCompleted, EmergencyStarted, EmergencyStepTaken
from qmworkbench.service.book_lease import LeaseLapsed
from qmworkbench.service.direct_access import fallback_log
from qmworkbench.service.direct_emergency import liquidate_direct
from qmworkbench.service.direct_record import DirectRecord
from qmworkbench.service.direct_report import DirectReport, Patience
from qmworkbench.service.lease import LeaseLost
from qmworkbench.service.platform import Platform

# As long as the process lives: nobody else is left to go on trying.
UNTIL_FLAT: Final = Patience(wait_s=24 * 3600.0)


def left_unfinished(platform: Platform) -> str:
    """Why an emergency that is under way cannot go on in the kernel; "" where it can, or none is."""
    failed, emergency = platform.shell.failed, platform.state.emergency
    if failed is None or emergency is None or not emergency.running or _fenced(failed.__cause__):
        return ""
    return str(failed)


def _fenced(cause: BaseException | None) -> bool:
    return isinstance(cause, LeaseLost) and not isinstance(cause, LeaseLapsed)


class InProcessEmergency:
    """What is left to an emergency inside a platform whose journal has failed: service.core_service.DirectEmergency.

    `opened` is told of the platform; calling it liquidates in a thread of its own and returns what was done. The thread
    does not keep the process from ending; who wants to see it flat first waits for it.
    """

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience if patience is not None else UNTIL_FLAT
        self._platform: Platform | None = None
        self._thread: threading.Thread | None = None
        self._seen: dict[str, Any] | None = None
        self.report: DirectReport | None = None

    def opened(self, platform: Platform) -> None:
        """Take note of the platform whose broker and fallback log are to be used."""
        self._platform = platform

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def shown(self) -> dict[str, Any] | None:
        """The emergency as the snapshot shows one, None where none was begun here."""
        return self._seen

    async def __call__(self, operator: str, reason: str) -> str:
        """Begin, or join, the liquidation; the answer does not wait for it to be flat."""
        if self.running:
            return "the direct emergency is under way; watch the broker until it is flat"
        # Not of the loop's own pool: an emergency waits for no other work, and nobody who leaves waits for it.
        self._thread = threading.Thread(
            target=self._liquidate, args=(operator, reason), name="direct emergency", daemon=True
        )
        self._thread.start()
        return "cancelling and closing with the broker and the fallback log alone; watch the broker until it is flat"

    async def finished(self, wait_s: float) -> bool:
        """Wait until it has ended, for `wait_s` at most; says whether it has."""
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, wait_s)
        return not self.running

    def _liquidate(self, operator: str, reason: str) -> None:
        assert self._platform is not None, "the platform is open before its API can be asked"
        self.report = liquidate_in(self._platform, operator, reason, self._patience, self._heard)

    def _heard(self, event: Event) -> None:
        """Keep what screens show: replaced as a whole, because another thread reads it."""
        seen = self._seen or {}
        if isinstance(event, EmergencyStarted):
            self._seen = {
                "emergency_id": event.emergency_id,
                "reason": event.reason,
                "by": event.by,
                "started_at": event.at,
                "completed_at": None,
                "lines": [],
            }
        elif isinstance(event, EmergencyStepTaken) and event.symbol:
            lines = {line["symbol"]: line for line in seen.get("lines", ())}
            attempt = lines.get(event.symbol, {"attempt": 0})["attempt"] + (event.step == "close_sent")
            line = {"symbol": event.symbol, "step": event.step, "attempt": attempt, "detail": event.detail}
            self._seen = seen | {"lines": [*(lines | {event.symbol: line}).values()]}
        elif isinstance(event, EmergencyCompleted):
            self._seen = seen | {"completed_at": event.at}


def liquidate_in(
    platform: Platform,
    operator: str,
    reason: str,
    patience: Patience,
    heard: Callable[[Event], None] = lambda event: None,
) -> DirectReport:
    """Liquidate with the platform's own broker and the book's fallback log. Blocks until flat or out of patience."""
    log, trouble = fallback_log(platform.plan.paths, platform.journal.durable_head)
    try:
        return liquidate_direct(
            platform.emergency_broker,
            DirectRecord(log, trouble=trouble, heard=heard),
            book=platform.plan.book,
            session_id=platform.plan.session_id,
            reason=reason,
            operator=operator,
            patience=patience,
        )
    finally:
        if log is not None:
            log.close()
