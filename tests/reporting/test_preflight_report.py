"""The preflight report: what a session recorded, never what somebody put in its place; or the pre-start phase, now."""

import os
from pathlib import Path

import msgspec
import polars as pl
import pytest

from qmworkbench.domain.checks import CheckStatus, Verdict
from qmworkbench.operations.preflight import PreflightPhase, PreflightRecord
from qmworkbench.reporting import preflight
from qmworkbench.reporting.parameters import PreflightParameters
from qmworkbench.storage.paths import BookPaths
from tests.reporting.conftest import SESSION
from tests.reporting.test_tables import balanced, plain


def on_record(book: Path) -> preflight.Preflight:
    return preflight.load(PreflightParameters(book_dir=book))


def kept(book: Path, phase: str) -> Path:
    return BookPaths(book).session(SESSION).preflight(phase)


def test_both_phases_are_shown_as_recorded(closed_book: Path) -> None:
    found = on_record(closed_book)
    assert [record.phase for record in found.records] == list(PreflightPhase)
    assert found.doubts == ()
    told = preflight.conclusion(found)
    assert (told.verdict, told.reasons) == (Verdict.GO, ())
    assert told.headline.startswith("both phases: ")
    for piece in (preflight.five_items(found), preflight.at_a_glance(found), preflight.phases(found)):
        assert balanced(piece)
    assert plain(preflight.five_items(found)).count("✓ pass") == 5
    page = plain(preflight.at_a_glance(found))
    assert all(check.title in page for check in found.checks), "every line is on the one page"
    assert "<details>" in preflight.phases(found), "folded where everything is green"


def test_checks_that_were_changed_afterwards_are_not_believed(book_copy: Path) -> None:
    path = kept(book_copy, "pre-start")
    record = msgspec.json.decode(path.read_bytes(), type=PreflightRecord)
    doctored = [
        msgspec.structs.replace(c, status=CheckStatus.FAIL, remedy="x") if c.check_id == "preflight.clock" else c
        for c in record.checks
    ]
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, checks=tuple(doctored[:-1]))))
    told = preflight.conclusion(on_record(book_copy))
    assert told.verdict is Verdict.NO_GO
    assert any("they were changed" in reason for reason in told.reasons)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, checks=record.checks[:-1])))
    told = preflight.conclusion(on_record(book_copy))
    assert told.verdict is Verdict.INCOMPLETE
    assert "not those the journal was decided with" in told.headline


def test_a_phase_that_is_missing_is_incomplete(book_copy: Path) -> None:
    kept(book_copy, "pre-market").unlink()
    told = preflight.conclusion(on_record(book_copy))
    assert told.verdict is Verdict.INCOMPLETE
    assert "not beside the session any more" in told.headline
    kept(book_copy, "pre-start").unlink()
    assert preflight.conclusion(on_record(book_copy)).verdict is Verdict.INCOMPLETE


def test_a_failed_line_is_no_go_with_its_remedy_first(book_copy: Path) -> None:
    path = kept(book_copy, "pre-market")
    record = msgspec.json.decode(path.read_bytes(), type=PreflightRecord)
    broken = msgspec.structs.replace(record.checks[0], status=CheckStatus.FAIL, title="It is broken", remedy="Mend it.")
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, checks=(broken, *record.checks[1:]))))
    told = preflight.conclusion(on_record(book_copy))
    assert told.verdict is Verdict.NO_GO
    assert told.headline == "1 line failed, first: it is broken"
    assert any("Mend it." in reason for reason in told.reasons)


# --- now -------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of one's own to look from, without settings of this machine."""
    for name in [name for name in os.environ if name.startswith("QM_") and name != "QM_TEST_HOME"]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("QM_TEST_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pre_start_phase_can_be_looked_at_now(here: Path) -> None:
    (here / "qm.toml").write_text('[data]\nsymbols = ["AAAA", "AAAB"]\n')
    found = preflight.load(PreflightParameters(day="2024-03-08"))
    told = preflight.conclusion(found)
    assert found.made_now
    assert [record.phase for record in found.records] == [PreflightPhase.PRE_START]
    assert "looked at now" in told.headline or told.verdict is Verdict.NO_GO
    assert "This phase looks at a running platform" in plain(preflight.phases(found))


def test_a_setting_that_does_not_exist_is_no_go_with_its_line(here: Path) -> None:
    (here / "qm.toml").write_text("[limits]\nmax_daly_loss = 5\n")
    told = preflight.conclusion(preflight.load(PreflightParameters()))
    assert told.verdict is Verdict.NO_GO
    found = preflight.load(PreflightParameters())
    assert any(check.looked_at == "qm.toml:2" for check in found.checks)


def test_bars_no_session_can_be_made_of_are_no_go_with_their_remedy(here: Path) -> None:
    pl.DataFrame({"symbol": ["A"], "price": [1.0]}).write_parquet(here / "odd.parquet")
    told = preflight.conclusion(preflight.load(PreflightParameters(data=Path("odd.parquet"), day="2024-03-08")))
    assert told.verdict is Verdict.NO_GO
    assert any("Name the columns exactly" in reason for reason in told.reasons)
