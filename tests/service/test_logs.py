"""Logs: every event under a kind of §21, once, across kills; and no secret, however it got there."""

import json
import os
import re
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.bus.in_process import InProcessBus
from qmworkbench.domain.commands import AddNote, NoteKind
from qmworkbench.domain.events import DECISION_TYPES, TELEMETRY_TYPES, Event, control, orders, session, wire_name
from qmworkbench.service import logs
from qmworkbench.service.log_kinds import KIND_OF, REQUIRED, LogKind, fields_of
from qmworkbench.service.logs import SessionLog
from qmworkbench.service.redaction import MASK, Redactor, names_a_secret
from qmworkbench.storage.memory import MemoryJournal
from tests.service.samples import AT, sample

_SECRET = 'hunter2-"quoted"-ÿ-s3cr3t'
ALL = [sample(kind) for kind in DECISION_TYPES]


def opened(directory: Path, **options: Any) -> SessionLog:
    return SessionLog(directory, process_id="p1", session_id="s1", **options)


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / logs.FILE_NAME).read_text().splitlines()]


def test_the_runbooks_thirteen_kinds_come_first_and_every_event_has_one() -> None:
    assert [kind.value for kind in REQUIRED] == (
        "startup_shutdown configuration broker_connection scanner_run strategy_assignment signal risk_decision "
        "order_command broker_ack fill reconciliation emergency analytics"
    ).split()
    known = {str(kind.__struct_config__.tag) for kind in (*DECISION_TYPES, *TELEMETRY_TYPES)}
    assert set(KIND_OF) == known
    assert set(REQUIRED) <= set(KIND_OF.values())


def test_every_event_becomes_one_structured_line(tmp_path: Path) -> None:
    bus = InProcessBus()
    with opened(tmp_path) as log:
        bus.follow(log.receive)
        bus.publish(len(ALL), ALL)
    assert bus.failures == ()
    found = lines(tmp_path)
    assert [(line["seq"], line["event"]) for line in found] == list(enumerate(map(wire_name, ALL), start=1))
    for line in found:
        assert line["kind"] == KIND_OF[line["event"]]
        assert (line["process_id"], line["level"] in ("info", "warning", "error")) == ("p1", True)
        assert datetime.fromisoformat(line["timestamp"]).utcoffset() is not None
        assert line["timestamp"].endswith("Z")
        assert line["at"] == "2018-03-02T14:31:00Z"
        assert "type" not in line


@pytest.mark.parametrize("kind", DECISION_TYPES, ids=lambda kind: str(kind.__struct_config__.tag))
def test_a_line_keeps_its_own_names_for_itself(kind: type[Event]) -> None:
    assert not {"kind", "event", "level", "timestamp", "seq", "at", "process_id"} & set(fields_of(sample(kind)))


def test_lines_of_one_order_are_joined_by_its_id_and_run(tmp_path: Path) -> None:
    fill = sample(orders.FillRecorded, cl_ord_id="qm-1", strategy_id="orb")
    with opened(tmp_path) as log:
        log.receive(2, [sample(orders.OrderChanged, cl_ord_id="qm-1"), fill])
    changed, filled = lines(tmp_path)
    assert changed["correlation_id"] == filled["correlation_id"] == "qm-1"
    assert filled["run_id"] == "s1/orb"


def test_a_decision_is_logged_once_however_often_it_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.receive(3, ALL[:3])
        log.receive(3, ALL[:3])
        log.receive(5, ALL[3:5])
    with opened(tmp_path) as log:
        log.receive(6, ALL[2:6])
    assert [line["seq"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_what_a_killed_process_did_not_log_is_caught_up_from_the_journal(tmp_path: Path) -> None:
    journal = MemoryJournal()
    journal.append(ALL[:20])
    with opened(tmp_path) as log:
        log.receive(8, ALL[:8])
    path = tmp_path / logs.FILE_NAME
    torn = path.read_bytes()[:-25]
    path.write_bytes(torn)
    with opened(tmp_path) as log:
        assert log.last_seq == 7
        assert log.catch_up(journal.read()) == 13
        log.receive(21, ALL[20:21])
    whole = []
    for line in path.read_bytes().splitlines():
        try:
            whole.append(json.loads(line))
        except ValueError:
            assert torn.endswith(line)
    assert [line["seq"] for line in whole] == list(range(1, 22))


def test_a_kill_leaves_whole_lines_but_for_the_last(tmp_path: Path) -> None:
    script = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from tests.service.test_logs import ALL, opened
log = opened(Path({str(tmp_path)!r}))
for seq in range(0, 10_000):
    log.receive(seq + 1, ALL[:1])
    if seq == 5_000:
        print("go", flush=True)
print("done", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    content = (tmp_path / logs.FILE_NAME).read_bytes()
    for line in content.splitlines()[:-1]:
        json.loads(line)
    assert logs.last_seq(tmp_path / logs.FILE_NAME) >= 0


def test_too_much_at_once_is_dropped_counted_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "QUEUE_LIMIT", 10)
    with opened(tmp_path) as log:
        log.receive(20, ALL[:20])
        log.receive(21, ALL[20:21])
        assert log.dropped == 20
    found = lines(tmp_path)
    assert [line["seq"] for line in found if "seq" in line] == [21]
    said = next(line for line in found if line["event"] == "log.dropped")
    assert said["events"] == 20
    assert said["level"] == "warning"


def test_a_disk_that_takes_nothing_stops_no_log(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log._file.close()
    log._file = os.fdopen(os.open(os.devnull, os.O_RDONLY), "rb")
    log.receive(1, ALL[:1])
    log.close()
    assert log.dropped == 1


def test_a_line_that_cannot_be_made_costs_that_line_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.event(LogKind.ALERT, "fine")
        log.logger.info("broken", seq=1, **{"kind": "alert", "level": "unheard-of"})
        log._put({"event": "odd", "level": "whisper"})
        log.event(LogKind.ALERT, "fine again")
    assert [line["event"] for line in lines(tmp_path)] == ["fine", "broken", "log.failed", "fine again"]


def test_other_things_are_logged_beside_the_journals(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.event(LogKind.ANALYTICS, "report.made", report="trade_review", verdict="GO")
        try:
            raise ValueError("no such thing")
        except ValueError:
            log.logger.exception("request.failed", path="/api/why")
    made, failed = lines(tmp_path)
    assert (made["kind"], made["report"], made["level"]) == ("analytics", "trade_review", "info")
    assert failed["level"] == "error"
    assert "no such thing" in failed["exception"]


def test_callers_in_other_threads_lose_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        threads = [
            threading.Thread(target=lambda n=n: [log.event(LogKind.ALERT, f"t{n}", i=i) for i in range(200)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = lines(tmp_path)
    for n in range(4):
        assert [line["i"] for line in found if line["event"] == f"t{n}"] == list(range(200))


def test_people_are_shown_the_same_without_the_frame(tmp_path: Path) -> None:
    shown: list[tuple[Any, ...]] = []
    with opened(tmp_path, human=lambda *line: shown.append(line)) as log:
        log.receive(1, [sample(session.PhaseEntered, condition="the lease is held")])
    ((at, level, kind, event, fields),) = shown
    assert (at, level, kind, event) == (AT, "info", "startup_shutdown", "session.phase_entered")
    assert fields == {"phase": "pre_start", "condition": "the lease is held"}


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    with opened(tmp_path):
        assert (tmp_path / logs.FILE_NAME).stat().st_mode & 0o777 == 0o600


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────


def _leaks(directory: Path) -> bool:
    text = (directory / logs.FILE_NAME).read_text()
    decoded = [json.loads(line) for line in text.splitlines()]
    spelt = [_SECRET, json.dumps(_SECRET)[1:-1], json.dumps(_SECRET, ensure_ascii=False)[1:-1]]
    return any(spelling in text for spelling in spelt) or any(_SECRET in str(line) for line in decoded)


def _saying(value: Any, secret: str) -> Any:
    """The same nested values with every sample text replaced."""
    if isinstance(value, dict):
        return {key: _saying(inner, secret) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_saying(inner, secret) for inner in value]
    return secret if value == "text" else value


@pytest.mark.parametrize("kind", DECISION_TYPES, ids=lambda kind: str(kind.__struct_config__.tag))
def test_no_event_leaks_a_secret_that_is_in_use(kind: type[Event], tmp_path: Path) -> None:
    """Every text of every event says the secret; none of it reaches the log."""
    event = msgspec.convert(_saying(msgspec.to_builtins(sample(kind)), _SECRET), type=kind)
    with opened(tmp_path, redactor=Redactor([_SECRET])) as log:
        log.receive(1, [event])
    assert len(lines(tmp_path)) == 1
    assert not _leaks(tmp_path)


def test_a_secret_does_not_leak_through_people_tracebacks_or_nesting(tmp_path: Path) -> None:
    shown: list[str] = []
    command = AddNote(kind=NoteKind.OPERATOR, reason=f"the token is {_SECRET}")
    note = control.CommandReceived(at=AT, command_id="c", command=command, operator="ann", origin="cli")
    with opened(tmp_path, redactor=Redactor([_SECRET]), human=lambda *line: shown.append(str(line))) as log:
        log.receive(1, [note])
        log.event(LogKind.ALERT, "x", deep=[{"headers": {"Authorization": "abcdef"}}, (_SECRET,)], password="pw")
        log.event(LogKind.ALERT, "y", url="https://ann:opensesame@example.org/?access_token=qwertyuiop&x=1")
        try:
            raise RuntimeError(f"401 for Bearer {_SECRET}")
        except RuntimeError:
            log.logger.exception("broker.refused")
    text = (tmp_path / logs.FILE_NAME).read_text()
    assert not _leaks(tmp_path)
    for other in ("abcdef", '"pw"', "opensesame", "qwertyuiop"):
        assert other not in text
    assert _SECRET not in "".join(shown)
    assert MASK in text
    assert "x=1" in text, "what is no secret stays"


@given(
    secret=st.text(min_size=8, max_size=40),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
    key=st.sampled_from(["note", "text", "reason"]),
)
def test_a_known_secret_is_wiped_out_of_any_text_in_any_spelling(
    secret: str, before: str, after: str, key: str
) -> None:
    redactor = Redactor([secret])
    encoded = msgspec.json.encode({key: before + secret + after})
    line = redactor.line(encoded)
    if secret in MASK:
        return
    assert json.dumps(secret)[1:-1].encode() not in line or json.dumps(secret)[1:-1] in MASK
    assert secret.encode() not in line or secret in f'{{"{key}":"{MASK}"}}'


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "api_token",
        "TOKEN",
        "apiKey",
        "api-key",
        "APCA_API_SECRET_KEY",
        "Authorization",
        "password",
        "credential",
        "cookie",
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize(
    "name", ["symbol", "key", "keyword", "tokens_left_out", "author", "secretary", "monkey", "alert_id"]
)
def test_other_names_are_left_alone(name: str) -> None:
    assert not names_a_secret(name)


def test_ordinary_lines_are_not_touched() -> None:
    redactor = Redactor([_SECRET])
    for event in ALL:
        line = msgspec.json.encode(fields_of(event), enc_hook=str)
        assert redactor.line(line) == line
    assert re.search("key", '{"key":"x"}')
    assert redactor.line(b'{"key":"x","monkey":"y","rate":"1"}') == b'{"key":"x","monkey":"y","rate":"1"}'
