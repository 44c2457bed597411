"""Coming back: state from checkpoint and journal, the fallback log, radar and signals from the bar store (§19)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.domain.sessions import Phase
from qmworkbench.storage.checkpoints import Checkpoint
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State, decode_state, state_hash


class ReadableJournal(Protocol):
    """A journal, as far as restoring needs it."""

    @property
    def head(self) -> tuple[int, str]: ...

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, Event]]: ...

    def hash_at(self, seq: int) -> str | None: ...


class CheckpointStore(Protocol):
    """storage.checkpoints.Checkpoints, as far as recovery needs it."""

    def write(self, seq: int, head_hash: str, state: bytes, state_hash: str) -> object: ...

    def load(self, journal: ReadableJournal) -> tuple[Checkpoint | None, tuple[str, ...]]: ...


@dataclass(frozen=True)
class Restored:
    """A book as its journal has it: the folded state, the last sequence in it, and the checkpoint it was folded from (0: genesis).

    `unfinished` is the id of the session that was left open then, "" where there is none; `state` is live and moves on.
    `notes` says why newer checkpoints were passed over.
    """

    state: State
    seq: int
    from_checkpoint: int
    notes: tuple[str, ...]
    unfinished: str


def restore(journal: ReadableJournal, checkpoints: CheckpointStore | None) -> Restored:
    """Fold the journal, from its newest checkpoint that verifies where there is one, else from genesis."""
    state, after, notes = State(), 0, list[str]()
    found, passed_over = checkpoints.load(journal) if checkpoints is not None else (None, ())
    notes += passed_over
    if found is not None:
        restored = _state_of(found)
        if isinstance(restored, State):
            state, after = restored, found.seq
        else:
            notes.append(restored)
    seq = after
    events: list[Event] = []
    for number, event in journal.read(after):
        events.append(event)
        seq = number
    fold(events, state)
    return Restored(
        state=state, seq=seq, from_checkpoint=after, notes=tuple(notes), unfinished=_unfinished(state)
    )


def _unfinished(state: State) -> str:
    session = state.session
    if session is None or session.session_id in state.closed_sessions or session.phase is Phase.CLOSED:
        return ""
    return session.session_id


def _state_of(found: Checkpoint) -> State | str:
    """The state in a checkpoint, or why it is of no use to this version of the code."""
    try:
        state = decode_state(found.state)
    except (msgspec.DecodeError, ValueError) as error:
        return f"checkpoint at {found.seq}: its state is of another shape ({error}); folding from genesis"
    if state_hash(state) != found.state_hash:
        return f"checkpoint at {found.seq}: its state does not hash to what was noted; folding from genesis"
    return state


def session_events(journal: ReadableJournal, session_id: str) -> Sequence[tuple[int, Event]]:
    """Every decision of one session, in order: from its opening to the next session's."""
    found: list[tuple[int, Event]] = []
    for seq, event in journal.read():
        if isinstance(event, SessionOpened):
            if event.session_id == session_id:
                found = []
            elif found:
                break
            else:
                continue
            found.append((seq, event))
        elif found:
            found.append((seq, event))
    return found
