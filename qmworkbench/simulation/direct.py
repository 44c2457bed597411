"""Getting out while the database is down: the real direct executor, on the simulated line (§15).

The platform is dead by then, and its journal takes nothing. The executor's own record is lost as well, so that what it
did is known from the broker alone: the next start has to find it there.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.execution import Account, BrokerOrder, BrokerPosition, OrderRequest
from qmworkbench.ports import BrokerUnreachable, OutcomeUnknown
from qmworkbench.service.direct_emergency import liquidate_direct
from qmworkbench.service.direct_record import DirectRecord
from qmworkbench.service.direct_report import Patience
from qmworkbench.simulation.loop import SECOND, at
from qmworkbench.trading.state import State

if TYPE_CHECKING:
    from qmworkbench.simulation.session import SimSession

T = TypeVar("T")
_PATIENCE: Final = Patience(wait_s=80.0, deadline_s=60.0, poll_s=1.0)


class Line(SimulatedBroker):
    """The broker over the line, for a caller that waits for each answer."""

    def __init__(self, sim: "SimSession") -> None:
        super().__init__(sim.exchange)
        self.sim = sim

    def submit(self, request: OrderRequest) -> None:
        """A close: on the checker's list of what our journal did not ask for."""
        self.sim.checker.planted.add(request.symbol)
        self._sent(f"direct {request.cl_ord_id}", lambda: super(Line, self).submit(request))

    def cancel(self, cl_ord_id: str) -> None:
        order = self.sim.truth.orders.get(cl_ord_id)
        if order is not None:
            self.sim.checker.planted.add(order.symbol)
        self._sent(f"direct cancel {cl_ord_id}", lambda: super(Line, self).cancel(cl_ord_id))

    def order(self, cl_ord_id: str) -> tuple[BrokerOrder | None, int]:
        return self._read(lambda: super(Line, self).order(cl_ord_id))

    def open_orders(self) -> Sequence[BrokerOrder]:
        return self._read(super().open_orders)

    def positions(self) -> Sequence[BrokerPosition]:
        return self._read(super().positions)

    def account(self) -> Account:
        return self._read(super().account)

    def _read(self, look: Callable[[], T]) -> T:
        self.sim.run_for(20)
        if self.sim.network.is_down or self.sim.faults.strikes("read_failed", "direct"):
            raise BrokerUnreachable("no answer")
        return look()

    def _sent(self, subject: str, perform: Callable[[], None]) -> None:
        sim, faults = self.sim, self.sim.faults
        sim.run_for(30)
        if sim.network.is_down or faults.strikes("lost_request", subject):
            raise OutcomeUnknown("timed out")
        perform()
        sim.look_at_the_venue()
        if faults.strikes("lost_ack", subject):
            raise OutcomeUnknown("timed out")


def liquidate(sim: "SimSession", state: State) -> None:
    """Cancel and close everything at the broker, as `qm emergency --direct` does; time goes on meanwhile."""

    def sleep(seconds: float) -> None:
        sim.run_for(round(seconds * SECOND))

    def say(line: Any) -> None:
        sim.note(f"direct: {line}")

    report = liquidate_direct(
        Line(sim),
        DirectRecord(None, trouble="the disk is full", now=lambda: at(sim.loop.now)),
        book=state.book,
        session_id=state.day.session_id,
        reason="the database is down",
        operator="drill",
        patience=_PATIENCE,
        say=say,
        clock=lambda: sim.loop.now / SECOND,
        sleep=sleep,
    )
    sim.marks.hit.add("direct.flat" if report.flat else "direct.not_flat")
