"""A whole day in its log: every kind of §21, every decision once, and no secret although people type them (§21)."""

import json
from collections import Counter
from pathlib import Path

import pytest

from qmworkbench.domain.commands import AddNote, EmergencyLiquidateAndHalt, NoteKind
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.market.demo import demo_session
from qmworkbench.service.headless import run_headless
from qmworkbench.service.log_kinds import REQUIRED
from qmworkbench.service.logs import FILE_NAME, SessionLog
from qmworkbench.service.platform import Platform
from qmworkbench.service.redaction import MASK, Redactor
from qmworkbench.storage.journal_reader import JournalReader
from tests.service.day_process import DEMO_DAY, DEMO_SEED, all_good, plan_for

_SECRET = "pk-live-0123456789"


@pytest.mark.slow
def test_a_day_leaves_every_kind_of_line_and_no_secret(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, demo_session(DEMO_DAY, DEMO_SEED, 100))

    def opened(platform: Platform) -> None:
        log = SessionLog(
            platform.session_paths.logs, process_id="p1", session_id=plan.session_id, redactor=Redactor([_SECRET])
        )
        platform.on_close(log.close)
        platform.bus.follow(log.receive)
        given: list[str] = []

        def people(delivery: object) -> None:
            if given or not platform.state.positions:
                return
            note = AddNote(kind=NoteKind.OPERATOR, reason=f"the key is {_SECRET}")
            for command in (note, EmergencyLiquidateAndHalt(reason=f"drill, token={_SECRET}")):
                given.append(command.reason)
                platform.shell.decide(
                    CommandReceived(
                        at=platform.shell.now(),
                        command_id=f"c{len(given)}",
                        command=command,
                        operator="ann",
                        origin="test",
                    )
                )

        platform.boundary_listeners.append(people)

    run_headless(plan, all_good, on_open=opened)
    text = (plan.paths.session(plan.session_id).logs / FILE_NAME).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert set(REQUIRED) <= {line["kind"] for line in lines}
    assert _SECRET not in text
    assert MASK in text
    with JournalReader(plan.paths.journal) as journal:
        recorded = [(seq, event.__struct_config__.tag) for seq, event in journal.events()]
        assert any(_SECRET.encode() in record.payload for record in journal.records()), "it was said, and is on record"
    assert [(line["seq"], line["event"]) for line in lines if "seq" in line] == recorded
    assert Counter(line["process_id"] for line in lines) == {"p1": len(lines)}
