"""What a direct emergency puts on the fallback log, as far as the disk takes it; it never stops the emergency (§15)."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from qmworkbench.domain.events import Alert, Event
from qmworkbench.domain.events.control import AlertRaised, EmergencyCompleted, EmergencyStarted, EmergencyStepTaken
from qmworkbench.domain.events.orders import CancelObserved, CancelRequested, OrderIntended, SubmitObserved
from qmworkbench.domain.execution import OrderRequest, SubmitOutcome
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.sessions import Priority
from qmworkbench.ports import JournalFailed
from qmworkbench.storage.fallback import FallbackLog
from qmworkbench.trading.state import EXTERNAL


class DirectRecord:
    """Records each step before or after it is taken. `trouble` is why something could not be recorded, "" while
    everything was.

    `log` None: the fallback log could not be opened, for the reason in `trouble`. `now` is the wall clock, aware UTC.
    `heard` is told of each event, recorded or not, from whatever thread the emergency runs in.
    """

    def __init__(
        self,
        log: FallbackLog | None,
        *,
        trouble: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        heard: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._log = log
        self.now = now
        self._heard = heard
        self.trouble = trouble if log is None else ""
        if log is None and not trouble:
            raise ValueError("without a log, say in `trouble` why there is none")

    def began(self, emergency_id: str, by: str, reason: str, deadline_s: int) -> None:
        self._put(
            EmergencyStarted(at=self.now(), emergency_id=emergency_id, by=by, reason=reason, deadline_s=deadline_s)
        )

    def step(self, emergency_id: str, symbol: str, step: str, detail: str) -> None:
        self._put(EmergencyStepTaken(at=self.now(), emergency_id=emergency_id, symbol=symbol, step=step, detail=detail))

    def overdue(self, emergency_id: str, deadline_s: int, still_open: str) -> None:
        """Not flat in time: the step, and the P0 alert that the platform shows once it has imported this log."""
        self.step(emergency_id, "", "overdue", f"not flat after {deadline_s} s: {still_open}")
        alert = Alert(
            alert_id=content_id("emergency_halt_failure", emergency_id),
            priority=Priority.P0,
            kind="emergency_halt_failure",
            key=emergency_id,
            text=f"not flat {deadline_s} s after the emergency began: {still_open}",
            remedy="close the positions at the broker by hand; trying goes on",
        )
        self._put(AlertRaised(at=self.now(), alert=alert))

    def completed(self, emergency_id: str, symbols: int, realized_pnl: Decimal) -> None:
        self._put(
            EmergencyCompleted(at=self.now(), emergency_id=emergency_id, symbols=symbols, realized_pnl=realized_pnl)
        )

    def cancel_requested(self, cl_ord_id: str) -> None:
        self._put(CancelRequested(at=self.now(), cl_ord_id=cl_ord_id, reason="emergency"))

    def cancel_sent(self, cl_ord_id: str) -> None:
        self._cancel_ended(cl_ord_id, SubmitOutcome.SENT, "")

    def cancel_refused(self, cl_ord_id: str, why: str) -> None:
        self._cancel_ended(cl_ord_id, SubmitOutcome.REFUSED, why)

    def cancel_lost(self, cl_ord_id: str, why: str) -> None:
        self._cancel_ended(cl_ord_id, SubmitOutcome.LOST, why)

    def close_intended(self, request: OrderRequest, px: Decimal, signal_id: str, attempt: int) -> None:
        """The wish, before it is sent."""
        self._put(
            OrderIntended(
                at=self.now(),
                request=request,
                strategy_id=EXTERNAL,
                leg=Leg.LIQUIDATE,
                signal_id=signal_id,
                attempt=attempt,
                decision_px=px,
                reserve_notional=ZERO,
                reason="direct emergency liquidation",
            )
        )

    def close_sent(self, cl_ord_id: str) -> None:
        self._close_ended(cl_ord_id, SubmitOutcome.SENT, "")

    def close_refused(self, cl_ord_id: str, why: str) -> None:
        self._close_ended(cl_ord_id, SubmitOutcome.REFUSED, why)

    def close_lost(self, cl_ord_id: str, why: str) -> None:
        self._close_ended(cl_ord_id, SubmitOutcome.LOST, why)

    def _cancel_ended(self, cl_ord_id: str, outcome: SubmitOutcome, detail: str) -> None:
        self._put(CancelObserved(at=self.now(), cl_ord_id=cl_ord_id, outcome=outcome, detail=detail))

    def _close_ended(self, cl_ord_id: str, outcome: SubmitOutcome, detail: str) -> None:
        self._put(SubmitObserved(at=self.now(), cl_ord_id=cl_ord_id, outcome=outcome, detail=detail))

    def _put(self, event: Event) -> None:
        self._heard(event)
        if self._log is None or self.trouble:
            return  # a record with holes would mislead: after the first failure the broker's history is it
        try:
            self._log.append([event])
        except JournalFailed as error:
            self.trouble = str(error)
