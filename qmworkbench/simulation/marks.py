"""Marks: names for what rarely happens, so that a run can say what it has never seen (§13, §15, §19)."""

from typing import Any, Final

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import (
    AlertRaised,
    CommandAccepted,
    CommandReceived,
    CommandRefused,
    EmergencyStepTaken,
    TradingStateChanged,
)
from qmworkbench.domain.events.orders import OrderChanged, OrderQueried, ReportQuarantined, RiskDecided
from qmworkbench.domain.events.reconciliation import BreakFound, ReconciliationCompleted, RepairApplied
from qmworkbench.simulation.device import SimJournal
from qmworkbench.simulation.plan import KINDS, Faults
from qmworkbench.trading.state import State


class Marks:
    """What one session has seen."""

    def __init__(self) -> None:
        self.hit: set[str] = set()
        self._commands: dict[str, str] = {}

    def decided(self, events: list[Event], state: State) -> None:
        """Marks of the events of one step."""
        for event in events:
            marker = _MARKERS.get(type(event))
            if marker is not None:
                marker(self, event, state)

    def crashed(self, state: State) -> None:
        self.hit.add("crash")
        if state.emergency is not None and state.emergency.running:
            self.hit.add("crash.in_emergency")
        if any(order.is_in_doubt for order in state.working()):
            self.hit.add("crash.with_orders_in_doubt")

    def restored(self, journal: SimJournal, from_checkpoint: int) -> None:
        if journal.torn_bytes:
            self.hit.add("restart.torn_record")
        self.hit.add("restart.from_checkpoint" if from_checkpoint else "restart.from_genesis")

    def ended(self, state: State, faults: Faults) -> None:
        self.hit.update(f"fault.{strike.kind}" for strike in faults.struck)

    def _changed(self, event: OrderChanged, state: State) -> None:
        self.hit.add(f"order.{event.arc}.{event.status}")

    def _judged(self, event: RiskDecided, state: State) -> None:
        self.hit.update(f"denied.{rule.code}" for rule in event.rules if not rule.passed)

    def _received(self, event: CommandReceived, state: State) -> None:
        self._commands[event.command_id] = str(event.command.__struct_config__.tag)

    def _accepted(self, event: CommandAccepted, state: State) -> None:
        self.hit.add(f"command.{self._commands.get(event.command_id, '?')}.accepted")

    def _refused(self, event: CommandRefused, state: State) -> None:
        self.hit.add(f"command.{self._commands.get(event.command_id, '?')}.refused")


_MARKERS: Final[dict[type[Event], Any]] = {
    OrderChanged: Marks._changed,
    RiskDecided: Marks._judged,
    CommandReceived: Marks._received,
    CommandAccepted: Marks._accepted,
    CommandRefused: Marks._refused,
    OrderQueried: lambda m, e, s: m.hit.add(
        "query.failed" if not e.complete else "query.absent" if e.found is None else "query.found"
    ),
    ReportQuarantined: lambda m, e, s: m.hit.add(f"quarantined.{e.kind}"),
    BreakFound: lambda m, e, s: m.hit.add(f"break.{e.kind}"),
    RepairApplied: lambda m, e, s: m.hit.add(f"repair.{e.kind}"),
    ReconciliationCompleted: lambda m, e, s: m.hit.add(f"reconciled.{e.trigger}.{e.result}"),
    EmergencyStepTaken: lambda m, e, s: m.hit.add(f"emergency.{e.step}"),
    TradingStateChanged: lambda m, e, s: m.hit.add(f"state.{e.code}"),
    AlertRaised: lambda m, e, s: m.hit.add(f"alarm.{e.alert.kind}"),
}
FAULT_MARKS: Final = frozenset(f"fault.{kind}" for kind in KINDS)


def known() -> frozenset[str]:
    """Every mark there is."""
    return FAULT_MARKS
