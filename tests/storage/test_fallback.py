"""The fallback log: takes only what reduces exposure, proves what it holds, and survives being cut short."""

import errno
import signal
import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.domain.events import Event, encode
from qmworkbench.domain.events.control import Alert, AlertRaised, EmergencyCompleted, EmergencyStarted
from qmworkbench.domain.events.orders import CancelObserved, CancelRequested, OrderDenied, SubmitObserved
from qmworkbench.domain.execution import LegRequest, SubmitOutcome
from qmworkbench.domain.orders import Leg, OrdType, PositionEffect, TimeInForce
from qmworkbench.domain.sessions import Priority
from qmworkbench.ports import JournalFailed
from qmworkbench.storage.fallback import FallbackLog, NotAdmitted
from qmworkbench.storage.fallback_file import OnDisk, read_fallback, retire
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreMissing, StoreNewer
from tests.storage.events import OPEN, decision, intended, reported

ROOT = Path(__file__).resolve().parents[2]
ROOTED_AT = (41, "ab" * 32)

STARTED = EmergencyStarted(at=OPEN, emergency_id="e1", by="operator", reason="journal failed", deadline_s=60)
CANCEL = CancelRequested(at=OPEN, cl_ord_id="entry-1", reason="emergency")
ALERT = AlertRaised(
    at=OPEN,
    alert=Alert(alert_id="a", priority=Priority.P0, kind="journal_failed", key="book", text="é", remedy="…"),
)
LEG = LegRequest(cl_ord_id="leg", leg=Leg.STOP, ord_type=OrdType.STOP, time_in_force=TimeInForce.DAY)


def emergency() -> list[Event]:
    """An emergency from first to last: one entry canceled, one position closed."""
    return [
        STARTED,
        CANCEL,
        CancelObserved(at=OPEN, cl_ord_id="entry-1", outcome=SubmitOutcome.SENT),
        intended("close-1"),
        SubmitObserved(at=OPEN, cl_ord_id="close-1", outcome=SubmitOutcome.LOST),
        reported("close-1"),
        reported("entry-1", cursor=2),
        ALERT,
        EmergencyCompleted(at=OPEN, emergency_id="e1", symbols=1, realized_pnl=Decimal(0)),
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fallback.jsonl"


def test_an_emergency_is_recorded_and_imported_with_its_original_times(path: Path) -> None:
    with FallbackLog(path, ROOTED_AT) as log:
        assert log.append(emergency()) == 9
    contents = read_fallback(path)
    assert contents.rooted_at == ROOTED_AT
    assert contents.torn_bytes == 0
    assert [encode(record.event) for record in contents.records] == [encode(event) for event in emergency()]
    assert [record.n for record in contents.records] == list(range(1, 10))


class Failing(OnDisk):
    """A disk that takes `after` more writes."""

    def __init__(self, path: Path, after: int) -> None:
        super().__init__(path)
        self.after = after

    def write(self, data: bytes, offset: int) -> None:
        self.after -= 1
        if self.after < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(data, offset)


REFUSED = {
    "an entry": intended("open-1", PositionEffect.OPEN),
    "a close that carries legs": intended("close-2", legs=(LEG,)),
    "the submit of an order that is not ours to close": SubmitObserved(
        at=OPEN, cl_ord_id="entry-1", outcome=SubmitOutcome.SENT
    ),
    "a cancel's outcome nobody asked for": CancelObserved(at=OPEN, cl_ord_id="x", outcome=SubmitOutcome.SENT),
    "a report about another order": reported("other"),
    "a denial": OrderDenied(
        at=OPEN,
        request=intended("close-3").request,
        strategy_id="orm",
        leg=Leg.EXIT,
        signal_id="",
        decision_px=1,
        reason="",
    ),
    "any other decision": decision(3),
}


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_what_could_add_exposure_is_refused_and_leaves_no_trace(path: Path, what: str) -> None:
    with FallbackLog(path, ROOTED_AT) as log:
        log.append([STARTED, CANCEL])
        before = path.read_bytes()
        with pytest.raises(NotAdmitted, match=r"does not admit .*anything else waits for the journal"):
            log.append([REFUSED[what]])
        assert path.read_bytes() == before
        assert log.append([ALERT]) == 3
    assert len(read_fallback(path).records) == 3


def test_a_log_is_continued_after_a_restart_even_with_a_torn_line(path: Path) -> None:
    with FallbackLog(path, ROOTED_AT) as log:
        log.append([STARTED, CANCEL, intended("close-1")])
    with path.open("ab") as file:
        file.write(b'{"n":4,"prev_hash":"' + b"0" * 500)
    assert read_fallback(path).torn_bytes == 520
    with FallbackLog(path, ROOTED_AT) as log:
        # It remembers which orders it may speak about.
        assert log.append([reported("close-1"), reported("entry-1", 2)]) == 5
    contents = read_fallback(path)
    assert (len(contents.records), contents.torn_bytes) == (5, 0)


def test_a_log_of_another_root_is_refused_until_imported(path: Path) -> None:
    with FallbackLog(path, ROOTED_AT) as log:
        log.append([STARTED])
    with pytest.raises(StorageRefused, match=r"rooted at record 41, not at 50: .*run recovery"):
        FallbackLog(path, (50, "cd" * 32))
    aside = retire(path)
    assert not path.exists()
    assert len(read_fallback(aside).records) == 1
    with FallbackLog(path, (50, "cd" * 32)) as log:
        assert log.append([STARTED]) == 1


def test_space_is_reserved_and_used_and_given_back(path: Path) -> None:
    FallbackLog.reserve(path, 5000)
    FallbackLog.reserve(path, 5000)
    assert not path.exists()
    log = FallbackLog(path, ROOTED_AT)
    log.append(emergency())
    assert path.stat().st_size == 5000
    assert len(read_fallback(path).records) == 9  # zeros behind are no records
    log.close()
    log.close()
    assert path.stat().st_size == read_fallback(path).size_bytes < 5000
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_taken_but_never_written_is_begun_anew(path: Path) -> None:
    path.write_bytes(b'{"rooted' + b"\0" * 100)
    with FallbackLog(path, ROOTED_AT) as log:
        assert log.append([STARTED]) == 1
    assert len(read_fallback(path).records) == 1


@settings(max_examples=40)
@given(data=st.data())
def test_any_changed_byte_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("fallback") / "fallback.jsonl"
    with FallbackLog(path, ROOTED_AT) as log:
        log.append(emergency()[:5])
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 2))  # without its last newline the last line is torn, not changed
    changed = bytearray(whole)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    try:
        contents = read_fallback(path)
    except (StoreDamaged, StoreNewer):
        return
    # A byte turned into zero cuts the log there, as reserved space would: a torn tail, told as such.
    assert changed[at] == 0 or contents.rooted_at != ROOTED_AT
    assert len(contents.records) < 5


@settings(max_examples=40)
@given(keep=st.floats(0, 1))
def test_a_cut_anywhere_keeps_every_whole_line(tmp_path_factory: pytest.TempPathFactory, keep: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "fallback.jsonl"
    with FallbackLog(path, ROOTED_AT) as log:
        log.append(emergency())
    whole = path.read_bytes()
    cut = whole[: int(len(whole) * keep)]
    path.write_bytes(cut)
    if b"\n" not in cut:
        with pytest.raises(StoreDamaged, match="no first line"):
            read_fallback(path)
        return
    contents = read_fallback(path)
    assert len(contents.records) == cut.count(b"\n") - 1
    assert contents.torn_bytes == len(cut) - contents.size_bytes


def test_a_missing_and_a_newer_log_are_named(path: Path) -> None:
    with pytest.raises(StoreMissing, match="nothing to import"):
        read_fallback(path)
    path.write_bytes(b'{"rooted_seq":1,"rooted_hash":"","form":9}\n')
    with pytest.raises(StoreNewer, match="form 9, this version knows 1"):
        read_fallback(path)


def test_a_disk_that_fails_here_too_says_so(path: Path) -> None:
    log = FallbackLog(Failing(path, after=1), ROOTED_AT)
    with pytest.raises(JournalFailed, match=r"could not be written either .*broker's history is the record"):
        log.append([STARTED])
    log.close()


def test_a_disk_that_fails_when_a_log_is_gone_on_with_takes_nothing_of_it(path: Path) -> None:
    """The torn line at its end cannot be wiped: what was recorded before it stays."""
    with FallbackLog(path, ROOTED_AT) as log:
        log.append(emergency())
    with path.open("ab") as file:
        file.write(b'{"n":10,"prev')
    with pytest.raises(JournalFailed, match="could not be written either"):
        FallbackLog(Failing(path, after=0), ROOTED_AT)
    assert len(read_fallback(path).records) == 9


def test_what_was_appended_survives_a_kill(path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from qmworkbench.storage.fallback import FallbackLog
        from tests.storage.test_fallback import emergency
        FallbackLog.reserve(Path({str(path)!r}))
        log = FallbackLog(Path({str(path)!r}), (41, "ab" * 32))
        log.append(emergency())
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(read_fallback(path).records) == 9
