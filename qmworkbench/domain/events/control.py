"""People, states and alarms: commands, halts, blocks, decisions, notes, emergency (§10, §11, §15, §20, §23)."""

from decimal import Decimal

import msgspec

from qmworkbench.domain.commands import AnyCommand, NoteKind
from qmworkbench.domain.events.base import Event, Input
from qmworkbench.domain.sessions import BlockScope, Priority, TradingState


class CommandReceived(Input, frozen=True, kw_only=True, tag="command.received"):
    """A person's order. `operator` is who, `origin` through what (page, cli, policy). The same `command_id` counts
    once.
    """

    command_id: str
    command: AnyCommand
    operator: str
    origin: str


class CommandAccepted(Event, frozen=True, kw_only=True, tag="command.accepted"):
    """The command was carried out; `effect` says what it did, in words."""

    command_id: str
    effect: str


class CommandRefused(Event, frozen=True, kw_only=True, tag="command.refused"):
    """The command was not carried out and changed nothing."""

    command_id: str
    reason: str
    remedy: str


class TradingStateChanged(Event, frozen=True, kw_only=True, tag="state.changed"):
    """`scope` is "book" or a strategy id. `code` is the stable cause: max_daily_loss, operator_pause, must_halt.…,
    emergency, resume …
    """

    scope: str
    before: TradingState
    after: TradingState
    code: str
    reason: str
    by: str


class RiskViolated(Event, frozen=True, kw_only=True, tag="risk.violated"):
    """A limit was reached, or an order would have gone beyond one (§11): the violation as the review finds it.

    `code` is the rule's. `scope` is "book" or a strategy id; `symbol` and `cl_ord_id` are "" where no one order is
    meant. `value` is what was seen, `limit` what was allowed, `effect` what was done about it.
    """

    code: str
    scope: str
    value: str
    limit: str
    effect: str
    limits_hash: str
    symbol: str = ""
    cl_ord_id: str = ""


class EntriesHeld(Event, frozen=True, kw_only=True, tag="entries.held"):
    """Entries wait for a person although the state may be ACTIVE: after a recovery, or before the market session."""

    reason: str


class EntriesReleased(Event, frozen=True, kw_only=True, tag="entries.released"):
    """Entries may pass again, by whom and why."""

    by: str
    reason: str


class SymbolBlocked(Event, frozen=True, kw_only=True, tag="symbol.blocked"):
    """A symbol is kept out from now on."""

    symbol: str
    scope: BlockScope
    by: str
    reason: str


class SymbolUnblocked(Event, frozen=True, kw_only=True, tag="symbol.unblocked"):
    """A block was lifted."""

    symbol: str
    by: str
    reason: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is one of §20's, in snake case; `key` is what it is about, so that the same trouble is one alert."""

    alert_id: str
    priority: Priority
    kind: str
    key: str
    text: str
    remedy: str


class AlertRaised(Event, frozen=True, kw_only=True, tag="alert.raised"):
    """Trouble that a person should know of; it stands until cleared."""

    alert: Alert


class AlertCleared(Event, frozen=True, kw_only=True, tag="alert.cleared"):
    """The trouble is over, or a person has dealt with it."""

    alert_id: str
    reason: str


class DecisionRequired(Event, frozen=True, kw_only=True, tag="decision.required"):
    """A question only a person may answer; it escalates while unanswered."""

    decision_id: str
    question: str
    options: tuple[str, ...]


class DecisionEscalated(Event, frozen=True, kw_only=True, tag="decision.escalated"):
    """A required decision is still unanswered after `waited_s`."""

    decision_id: str
    waited_s: int


class DecisionRecorded(Event, frozen=True, kw_only=True, tag="decision.recorded"):
    """A person (or an approved policy) answered."""

    decision_id: str
    choice: str
    by: str
    reason: str


class NoteAdded(Event, frozen=True, kw_only=True, tag="note.added"):
    """A note for the review (§18)."""

    note_id: str
    kind: NoteKind
    text: str
    by: str


class EmergencyStarted(Event, frozen=True, kw_only=True, tag="emergency.started"):
    """Persisted before anything else is done (§15). `deadline_s` is how long until "not flat" becomes P0 again."""

    emergency_id: str
    by: str
    reason: str
    deadline_s: int


class EmergencyStepTaken(Event, frozen=True, kw_only=True, tag="emergency.step"):
    """`step` is entries_canceled, exits_canceled, stranger_canceled (`detail` is its id), waiting, close_sent, queued,
    flat, late_fill (after all was flat), read_behind or overdue. `symbol` is "" where the step is of the whole book.
    """

    emergency_id: str
    symbol: str
    step: str
    detail: str


class EmergencyCompleted(Event, frozen=True, kw_only=True, tag="emergency.completed"):
    """Flat at the broker, still HALTED."""

    emergency_id: str
    symbols: int
    realized_pnl: Decimal


class ClockTicked(Input, frozen=True, kw_only=True, tag="clock.ticked"):
    """Time has passed without market data: what timeouts, escalations and the emergency wait for."""
