"""A book's state after any of its records, from the record alone: from a checkpoint where one serves (§19)."""

from collections.abc import Iterator
from dataclasses import dataclass

from qmworkbench.domain.chain import Record
from qmworkbench.service.recovery import restore
from qmworkbench.storage.checkpoints import Checkpoints
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.stores import Reader
from qmworkbench.trading.state import State


@dataclass(frozen=True)
class _UpTo:
    """A journal as it was at `seq`, for folding."""

    journal: Reader
    seq: int

    @property
    def head(self) -> tuple[int, str]:
        return self.seq, self.journal.hash_at(self.seq) or ""

    def records(self, after_seq: int = 0) -> Iterator[Record]:
        return self.journal.records(after_seq, upto_seq=self.seq)

    def hash_at(self, seq: int) -> str | None:
        return self.journal.hash_at(seq) if seq <= self.seq else None


def state_after(journal: Reader, paths: BookPaths, seq: int) -> State:
    """The state after record `seq` (0: before the first), folded from the newest checkpoint before it that verifies."""
    return State() if seq == 0 else restore(_UpTo(journal, seq), Checkpoints(paths.checkpoints)).state
