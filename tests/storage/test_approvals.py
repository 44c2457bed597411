"""The ledger of parameter changes: durable, chained, one writer, and nothing believed that does not verify."""

import errno
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.storage import approvals as module
from qmworkbench.storage.approvals import ApprovalLedger, LedgerContents
from qmworkbench.storage.refused import StoreDamaged, StoreInUse, StoreNewer
from qmworkbench.storage.writer_lock import WriterLock
from qmworkbench.strategies.approvals import Approved, ParameterChange, Proposed, Record, Withdrawn

AT = datetime(2024, 3, 8, 12, tzinfo=UTC)
WHO: dict[str, Any] = {"at": AT, "by": "ada", "login": "root", "reason": "because"}
ROOT = Path(__file__).resolve().parents[2]


def put(version: int = 1, instance: str = "one") -> Proposed:
    return Proposed(
        **WHO,
        instance_id=instance,
        version=version,
        strategy_id="planted",
        definition_version="1",
        params={"bars": 20, "stop": 2.0, "short": False, "flat": "carry"},
        base={"bars": 15, "stop": 2.0, "short": False, "flat": "carry"},
        changes=(ParameterChange("bars", 15, 20),),
        old_version=0,
        old_hash="a",
        new_hash=f"b{version}",
    )


def signed(version: int = 1, instance: str = "one") -> Approved:
    return Approved(
        **WHO,
        instance_id=instance,
        version=version,
        owner="the desk",
        old_hash="a",
        new_hash=f"b{version}",
        after_session="main-2024-03-08",
        effective_from="2024-03-11",
    )


def back(version: int = 1) -> Withdrawn:
    return Withdrawn(**WHO, instance_id="one", version=version)


def ledger(directory: Path, environment: str = "local", book: str = "main") -> ApprovalLedger:
    return ApprovalLedger(directory / "approvals.jsonl", environment=environment, book=book)


def write(directory: Path, *records: Record) -> ApprovalLedger:
    found = ledger(directory)
    for record in records:
        with found.writing() as writer:
            writer.append(record)
    return found


def test_no_ledger_is_an_empty_one_and_looking_makes_none(tmp_path: Path) -> None:
    found = ledger(tmp_path / "not yet")
    assert found.read() == LedgerContents()
    assert found.approvals().instances == ()
    assert not (tmp_path / "not yet").exists()


def test_records_come_back_as_they_were_written_and_each_names_the_one_before(tmp_path: Path) -> None:
    records = (put(), signed(), put(2), back(2))
    found = write(tmp_path, *records)
    assert found.read().records == records
    lines = [json.loads(line) for line in found.path.read_text().splitlines()]
    assert lines[0] == {"ledger": "parameter approvals", "environment": "local", "book": "main", "form": 1}
    assert [line["n"] for line in lines[1:]] == [1, 2, 3, 4]
    assert [line["prev_hash"] for line in lines[2:]] == [line["hash"] for line in lines[1:-1]]
    assert found.read().head == lines[-1]["hash"]


def test_two_records_of_one_act_are_both_there_or_neither(tmp_path: Path) -> None:
    found = ledger(tmp_path)
    with found.writing() as writer:
        writer.append(put(), signed())
    assert len(found.read().records) == 2
    with found.writing() as writer, pytest.raises(StoreDamaged, match="contradicts itself: version 2 of one is signed"):
        writer.append(put(2), msgspec.structs.replace(signed(2), new_hash="other"))
    assert len(found.read().records) == 2


@settings(max_examples=40)
@given(cut=st.integers(1, 10_000))
def test_a_last_line_that_a_kill_cut_short_never_counted_and_makes_room_for_the_next(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("torn")
    found = write(directory, put(), signed())
    whole = found.path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    found.path.write_bytes(whole[: -(1 + cut % (last - 1))])
    contents = found.read()
    assert contents.records == (put(),)
    assert contents.torn_bytes > 0
    with found.writing() as writer:
        writer.append(back())
    assert found.read().records == (put(), back())
    assert found.read().torn_bytes == 0


@settings(max_examples=60)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_byte_of_a_whole_line_changes_unnoticed(at: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("changed")
    found = write(directory, put(), signed())
    content = bytearray(found.path.read_bytes())
    # The very last newline makes a line a torn one instead: that is the test above.
    content[at % (len(content) - 1)] ^= 1 << bit
    found.path.write_bytes(content)
    with pytest.raises((StoreDamaged, StoreNewer), match=r"line \d+ |has form|is the .* of book"):
        found.read()


def test_the_first_bad_line_is_named_with_what_to_do(tmp_path: Path) -> None:
    found = write(tmp_path, put(), signed(), put(2))
    found.path.write_text(found.path.read_text().replace('"by":"ada"', '"by":"bob"', 1))
    with pytest.raises(
        StoreDamaged, match=r"approvals.jsonl line 2 was changed or damaged .* keep the file as evidence"
    ):
        found.approvals()
    with pytest.raises(StoreDamaged), found.writing():
        pass


def test_a_line_taken_out_or_put_elsewhere_breaks_the_chain(tmp_path: Path) -> None:
    found = write(tmp_path, put(), signed(), put(2), back(2))
    lines = found.path.read_text().splitlines(keepends=True)
    for changed in (
        [*lines[:2], *lines[3:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
        lines[1:],
        [*lines, lines[-1]],
    ):
        found.path.write_text("".join(changed))
        with pytest.raises(StoreDamaged):
            found.read()


@pytest.mark.parametrize(("environment", "book"), [("live", "main"), ("local", "other")])
def test_approvals_given_for_one_book_count_in_no_other(environment: str, book: str, tmp_path: Path) -> None:
    write(tmp_path, put(), signed())
    with pytest.raises(StoreDamaged, match=r"is the parameter approvals of book 'main' in local, not of .* one book"):
        ledger(tmp_path, environment, book).read()


def test_a_newer_form_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    found = write(tmp_path, put())
    found.path.write_text(found.path.read_text().replace('"form":1', '"form":2'))
    with pytest.raises(StoreNewer, match="has form 2, this version knows 1"):
        found.read()
    for content, said in ((b"", "no whole first line"), (b"hello\n", "line 1 does not begin a ledger")):
        found.path.write_bytes(content)
        with pytest.raises(StoreDamaged, match=said):
            found.read()


def test_a_failed_write_leaves_the_ledger_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write(tmp_path, put())
    before = found.path.read_bytes()

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "sync_data", full)
    with found.writing() as writer, pytest.raises(OSError, match="No space left"):
        writer.append(signed())
    assert found.path.read_bytes() == before


def test_while_one_writes_another_waits_and_then_says_who_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = write(tmp_path, put())
    monkeypatch.setattr(module, "_PATIENCE_S", 0.0)
    held = WriterLock(found.path)
    try:
        with pytest.raises(StoreInUse, match=rf"held by another process .* process {os.getpid()}"), found.writing():
            pass
    finally:
        held.release()
    with found.writing() as writer:
        writer.append(signed())


_WRITER = """
import sys
from pathlib import Path
from qmworkbench.storage import approvals
from tests.storage.test_approvals import ledger, put
approvals._PATIENCE_S = 300.0  # whose turn it is on a slow disk is chance
for version in range(1, 21):
    with ledger(Path(sys.argv[1])).writing() as writer:
        writer.append(put(version=1, instance=f"{sys.argv[2]}-{version}"))
"""


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), name], cwd=ROOT) for name in ("a", "b", "c")
    ]
    assert [process.wait(timeout=600) for process in processes] == [0, 0, 0]
    assert len(ledger(tmp_path).read().records) == 60
    assert len(ledger(tmp_path).approvals().instances) == 60
