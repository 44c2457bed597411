"""Coming back: state from checkpoint and journal, the fallback log, radar and signals from the bar store (§19)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Final, Protocol

import msgspec

from qmworkbench.domain.chain import GENESIS, Record
from qmworkbench.domain.events import Event, decode, encode
from qmworkbench.domain.events.orders import OrderIntended
from qmworkbench.domain.events.reconciliation import FallbackImported
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.domain.sessions import Phase
from qmworkbench.service.shell import Shell
from qmworkbench.storage.checkpoints import Checkpoint
from qmworkbench.storage.collector import collector_paused
from qmworkbench.storage.fallback_file import FallbackContents, begun, read_fallback, retire
from qmworkbench.trading.fold_records import fold_verified
from qmworkbench.trading.state import EXTERNAL, State, decode_state, state_hash

_IMPORTED: Final = str(FallbackImported.__struct_config__.tag)


class ReadableJournal(Protocol):
    """A journal, as far as restoring needs it."""

    @property
    def head(self) -> tuple[int, str]: ...

    def records(self, after_seq: int = 0) -> Iterator[Record]: ...

    def hash_at(self, seq: int) -> str | None: ...


class RecordedJournal(Protocol):
    """A journal, as far as what was taken over before has to be known."""

    def records(self, after_seq: int = 0) -> Iterator[Record]: ...


class SearchableJournal(Protocol):
    """A journal, as far as one session's story needs it."""

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, Event]]: ...

    def events_by(
        self, types: Iterable[str] | None = None, after_seq: int = 0, *, stream: str = "decisions"
    ) -> Iterator[tuple[int, Event]]: ...


class CheckpointStore(Protocol):
    """storage.checkpoints.Checkpoints, as far as recovery needs it."""

    def write(self, seq: int, head_hash: str, state: bytes, state_hash: str) -> object: ...

    def load(self, journal: ReadableJournal) -> tuple[Checkpoint | None, tuple[str, ...]]: ...


@dataclass(frozen=True)
class Restored:
    """A book as its journal has it: the folded state, the last sequence in it, and the checkpoint it was folded from
    (0: genesis).

    `unfinished` is the id of the session that was left open then, "" where there is none; `state` is live and moves on.
    `notes` says why newer checkpoints were passed over.
    """

    state: State
    seq: int
    from_checkpoint: int
    notes: tuple[str, ...]
    unfinished: str


def restore(journal: ReadableJournal, checkpoints: CheckpointStore | None) -> Restored:
    """Fold the journal, from its newest checkpoint that verifies where there is one, else from genesis.

    Every record folded is proven to follow the one before it. Raises ChainBroken.
    """
    state, after, notes = State(), (0, GENESIS), list[str]()
    found, passed_over = checkpoints.load(journal) if checkpoints is not None else (None, ())
    notes += passed_over
    if found is not None:
        restored = _state_of(found)
        if isinstance(restored, State):
            state, after = restored, (found.seq, found.head_hash)
        else:
            notes.append(restored)
    with collector_paused():
        seq, _ = fold_verified(journal.records(after[0]), state, after)
    return Restored(state=state, seq=seq, from_checkpoint=after[0], notes=tuple(notes), unfinished=_unfinished(state))


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


async def import_fallback(shell: Shell, path: Path) -> int:
    """Take over what a direct emergency recorded while the journal could not be written; returns how many records.

    Appended at the journal's tail, each with its original time and the file's hash; then the file is put aside under
    its hash. A process that died in between has put some on record already: those are not taken over again. To be
    called before anything else is decided. Raises StoreDamaged naming the first bad line.
    """
    if not begun(path) or shell.state.now is None:
        return 0
    taken = 0
    for given in to_take_over(shell.journal, shell.state, read_fallback(path), shell.now):
        taken += 1
        shell.decide(given)
    await shell.durable()
    retire(path)
    return taken


def to_take_over(
    journal: RecordedJournal, state: State, log: FallbackContents, now: Callable[[], datetime]
) -> Iterator[FallbackImported]:
    """What `log` holds and the journal does not yet, as inputs, each to be decided before the next is asked for."""
    known = _imported_before(journal)
    for record in log.records:
        text = encode(record.event).decode()
        if (record.n, text) in known:
            continue
        yield FallbackImported(
            at=now(),
            file_hash=log.file_hash,
            n=record.n,
            original_at=record.event.at,
            record=text,
            strategy_id=_closes_for(state, record.event),
        )


def _imported_before(journal: RecordedJournal) -> set[tuple[int, str]]:
    """Records taken over earlier, by number and text: a log that went on since has another hash, and the same lines."""
    found = set()
    for record in journal.records():
        if record.type == _IMPORTED:
            event = decode(record.payload)
            assert isinstance(event, FallbackImported)
            found.add((event.n, event.record))
    return found


def rooted_elsewhere(journal: ReadableJournal, path: Path) -> str:
    """What is wrong where the fallback log follows a record that the journal does not have, "" where it has it."""
    if not begun(path):
        return ""
    seq, digest = read_fallback(path).rooted_at
    stored = GENESIS if seq == 0 else journal.hash_at(seq)
    if stored == digest:
        return ""
    found = "does not have it" if stored is None else "has another one there"
    return (
        f"the fallback log {path} follows record {seq}, and the journal {found}: the journal has lost its tail or was "
        "replaced. Everything is settled with the broker; compare with its history before entries are released"
    )


def _closes_for(state: State, event: Event) -> str:
    """Whose position a direct close closes: its one holder's, "" where nobody holds that much. Where several do, it
    closes their net: that is booked apart, and set off against their parts once the broker is flat.
    """
    if not isinstance(event, OrderIntended):
        return ""
    request = event.request
    holders = [p for p in state.holders(request.symbol) if p.strategy_id != EXTERNAL]
    owner = holders[0] if len(holders) == 1 else None
    return owner.strategy_id if owner is not None and -owner.qty * request.side.sign >= request.order_qty else ""


def session_events(journal: SearchableJournal, session_id: str) -> Sequence[tuple[int, Event]]:
    """Every decision of one session, in order: from its opening, the last one where it was opened anew."""
    begun = list(journal.events_by(("session.opened",)))
    mine = [seq for seq, event in begun if isinstance(event, SessionOpened) and event.session_id == session_id]
    if not mine:
        return []
    later = [seq for seq, _ in begun if seq > mine[-1]]
    story = journal.read(mine[-1] - 1)
    return list(takewhile(lambda told: told[0] < later[0], story) if later else story)
