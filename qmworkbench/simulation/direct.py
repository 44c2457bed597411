"""Getting out while the database is down: the real direct executor, on the simulated line (§15).

The platform's journal takes nothing any more. A person runs the executor, or the platform itself goes on with it where
an emergency was under way. Its record is the real fallback log, on a disk that may fail as well; who runs it may die at
each write and each request, and another one, or a restarted platform, goes on from what is there.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.execution import Account, BrokerOrder, BrokerPosition, OrderRequest
from qmworkbench.ports import BrokerUnreachable, JournalFailed, OutcomeUnknown
from qmworkbench.service.direct_emergency import liquidate_direct
from qmworkbench.service.direct_record import DirectRecord
from qmworkbench.service.direct_report import Patience
from qmworkbench.simulation.fallback import Killed
from qmworkbench.simulation.loop import SECOND, at
from qmworkbench.simulation.process import Process
from qmworkbench.storage.fallback import FallbackLog
from qmworkbench.storage.refused import StorageRefused

if TYPE_CHECKING:
    from qmworkbench.simulation.session import SimSession

T = TypeVar("T")
_PATIENCE: Final = Patience(wait_s=80.0, deadline_s=60.0, poll_s=1.0)
_LIVES: Final = 3


class Line(SimulatedBroker):
    """The broker over the line, for a caller that waits for each answer."""

    def __init__(self, sim: "SimSession", record: DirectRecord) -> None:
        super().__init__(sim.exchange)
        self.sim = sim
        self.record = record

    def submit(self, request: OrderRequest) -> None:
        sim = self.sim
        sim.direct.closing(request, sim.fallback.text(), sim.loop.now, recorded=not self.record.trouble)
        self._sent(f"direct {request.cl_ord_id}", lambda: super(Line, self).submit(request))

    def cancel(self, cl_ord_id: str) -> None:
        self.sim.direct.cancelling(cl_ord_id, recorded=not self.record.trouble)
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
        if faults.strikes("direct_killed", "before send"):
            raise Killed
        sim.run_for(30)
        if sim.network.is_down or faults.strikes("lost_request", subject):
            raise OutcomeUnknown("timed out")
        perform()
        sim.look_at_the_venue()
        if faults.strikes("direct_killed", "after send"):
            raise Killed
        if faults.strikes("lost_ack", subject):
            raise OutcomeUnknown("timed out")


def liquidate(sim: "SimSession", dead: Process, why: str) -> None:
    """Cancel and close everything at the broker past the dead platform; time goes on meanwhile. Who does so may die:
    somebody tries again, or turns to the platform.
    """
    for life in range(1, _LIVES + 1):
        try:
            _liquidate(sim, dead, why)
            return
        except Killed:
            sim.marks.hit.add("direct.killed")
            sim.note(f"direct: killed in life {life}")
            if sim.faults.chance.unit("direct/again", f"{sim.crashes} {life}") < 0.4:
                return
            sim.run_for(3 * SECOND)


def _liquidate(sim: "SimSession", dead: Process, why: str) -> None:
    def sleep(seconds: float) -> None:
        sim.run_for(round(seconds * SECOND))

    def say(line: Any) -> None:
        sim.note(f"direct: {line}")

    log, trouble = _log(sim, dead)
    record = DirectRecord(log, trouble=trouble, now=lambda: at(sim.loop.now))
    report = liquidate_direct(
        Line(sim, record),
        record,
        book=dead.state.book,
        session_id=dead.state.day.session_id,
        reason=why,
        operator="drill",
        patience=_PATIENCE,
        say=say,
        clock=lambda: sim.loop.now / SECOND,
        sleep=sleep,
    )
    if log is not None:
        log.close()
    sim.marks.hit.add("direct.flat" if report.flat else "direct.not_flat")
    sim.marks.hit.add("direct.recorded" if report.recorded else "direct.unrecorded")


def _log(sim: "SimSession", dead: Process) -> tuple[FallbackLog | None, str]:
    """The log rooted at the last durable decision, as service.direct_access opens it."""
    seq = dead.journal.durable_seq
    try:
        return FallbackLog(sim.fallback, (seq, dead.journal.hash_at(seq) or GENESIS)), ""
    except (StorageRefused, JournalFailed) as error:
        return None, str(error)
