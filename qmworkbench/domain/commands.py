"""What a person may order the platform to do (§10, §11, §15, §23). Imperative, and always with who and why."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from qmworkbench.domain.sessions import BlockScope


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command"):
    """`reason` is required everywhere: it is read in the review, and at 2 AM by someone else."""

    reason: str


class Pause(Command, frozen=True, kw_only=True, tag="pause"):
    """Block new entries; exits go on."""


class Resume(Command, frozen=True, kw_only=True, tag="resume"):
    """Leave a halt. Each line of §23 "Safe To Resume" is answered; a false one refuses the resume.

    `incident` names what happened ("none: planned pause" is an answer, an empty string is not).
    """

    incident: str
    cause_understood: bool
    internal_state_repaired: bool
    risk_controls_verified: bool


class EmergencyLiquidateAndHalt(Command, frozen=True, kw_only=True, tag="emergency"):
    """§15: stop entries, cancel, close everything, stay halted."""


class BlockSymbol(Command, frozen=True, kw_only=True, tag="block"):
    """Keep a symbol out of scanner, watchlist and entries, for the session or until unblocked (§10)."""

    symbol: str
    scope: BlockScope = BlockScope.SESSION


class UnblockSymbol(Command, frozen=True, kw_only=True, tag="unblock"):
    """Lift a block; one that the limits file sets is lifted there."""

    symbol: str


class StopStrategy(Command, frozen=True, kw_only=True, tag="stop_strategy"):
    """No more entries by one strategy instance; its positions keep their exits."""

    strategy_id: str


class RestartStrategy(Command, frozen=True, kw_only=True, tag="restart_strategy"):
    """Let a stopped strategy instance enter again. Refused while that is unsafe (§10): a position whose ownership is
    not certain, orders in doubt, a broken contract, the book halted, or changed parameters: `params_hash` is the set
    approved now, "" where nobody looked it up.
    """

    strategy_id: str
    params_hash: str = ""


class CancelOrder(Command, frozen=True, kw_only=True, tag="cancel_order"):
    """Cancel one order of ours that may still fill."""

    cl_ord_id: str


class ReplaceOrder(Command, frozen=True, kw_only=True, tag="replace_order"):
    """Let a resting exit go on at another price, or an entry with a smaller quantity: never more risk than before.

    None leaves it as it is.
    """

    cl_ord_id: str
    order_qty: Decimal | None = None
    limit_px: Decimal | None = None
    stop_px: Decimal | None = None


class ClosePosition(Command, frozen=True, kw_only=True, tag="close_position"):
    """Leave one position now: resting legs are cancelled, then it is closed by its actual quantity. `strategy_id`
    EXTERNAL closes what nobody here ordered.
    """

    strategy_id: str
    symbol: str


class DropCandidate(Command, frozen=True, kw_only=True, tag="drop_candidate"):
    """Take a symbol off the watchlist (§10 "no longer wanted"); a position there keeps its exits."""

    symbol: str


RECONCILE_JOINED = "a reconciliation is under way already"


class Reconcile(Command, frozen=True, kw_only=True, tag="reconcile"):
    """Compare with the broker now. Answered with RECONCILE_JOINED when the broker is being read for one already."""


class AcceptBreak(Command, frozen=True, kw_only=True, tag="accept_break"):
    """Settle a difference in money with the broker's figure, on a person's word: a deposit, a fee that was billed by
    hand. Refused for every other kind of difference: those follow the broker's books, or wait for them (§14).
    """

    break_id: str


class ReleaseEntries(Command, frozen=True, kw_only=True, tag="release_entries"):
    """After a recovery: let entries pass again. Refused until reconciliation has passed."""


class Decide(Command, frozen=True, kw_only=True, tag="decide"):
    """Answer a required decision, such as "continue exits or liquidate" after the daily loss limit (§11)."""

    decision_id: str
    choice: str


class NoteKind(StrEnum):
    """§18's four stores."""

    INCIDENT = "incident"
    OPERATOR = "operator"
    OVERRIDE = "override"
    IMPROVEMENT = "improvement"


class AddNote(Command, frozen=True, kw_only=True, tag="add_note"):
    """`reason` is the note's text."""

    kind: NoteKind


class EndSession(Command, frozen=True, kw_only=True, tag="end_session"):
    """Begin the shutdown procedure (§16) before the market closes."""


AnyCommand = (
    Pause
    | Resume
    | EmergencyLiquidateAndHalt
    | BlockSymbol
    | UnblockSymbol
    | StopStrategy
    | RestartStrategy
    | CancelOrder
    | ReplaceOrder
    | ClosePosition
    | DropCandidate
    | Reconcile
    | AcceptBreak
    | ReleaseEntries
    | Decide
    | AddNote
    | EndSession
)
