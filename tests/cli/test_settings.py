"""`qm config`, help and failures: one JSON object, documented exit codes, everything wrong named with its line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qmworkbench.cli.exit_codes import EPILOG, Exit
from tests.cli.books import ROOT, SESSION, answer, qm, qm_process

_TOKEN = "s3cr3t-s3cr3t-s3cr3t"


def test_show_says_where_each_value_came_from(tmp_path: Path) -> None:
    (tmp_path / "qm.toml").write_text(f'[limits]\nmax_daily_loss = 500\n[service]\ntoken = "{_TOKEN}"\n')
    done = qm(tmp_path, "config", "show", "--json", "--book", "mine", QM_LIMITS__MAX_TRADES_PER_DAY="7")
    assert done.returncode == Exit.OK
    found = {row["key"]: (row["value"], row["source"]) for row in answer(done)["settings"]}
    assert found["limits.max_daily_loss"] == ("500", "qm.toml:2")
    assert found["limits.max_trades_per_day"] == ("7", "env QM_LIMITS__MAX_TRADES_PER_DAY")
    assert found["book"] == ('"mine"', "flag --book")
    assert found["service.token"] == ("********", "qm.toml:4")
    assert found["limits.max_open_positions"] == ("10", "default")
    assert _TOKEN not in done.stdout + done.stderr


def test_show_in_words_can_be_narrowed_to_a_section(tmp_path: Path) -> None:
    done = qm(tmp_path, "config", "show", "limits")
    assert done.returncode == Exit.OK
    assert "limits.max_daily_loss" in done.stdout
    assert "scan.equity" not in done.stdout
    wrong = qm(tmp_path, "config", "show", "limit.max_daily_loss")
    assert wrong.returncode == Exit.FAILED
    assert "did you mean limits.max_daily_loss?" in wrong.stderr


def test_a_refused_configuration_names_every_line_and_exits_2(tmp_path: Path) -> None:
    (tmp_path / "qm.toml").write_text("[limits]\nmax_daily_loss = -1\nmax_dayly_loss = 1\n")
    for command in (
        ["config", "show"],
        ["config", "path"],
        ["pause", "--reason", "x"],
        ["reconcile"],
        ["note", "list"],
    ):
        done = qm(tmp_path, *command)
        assert done.returncode == Exit.FAILED, command
        assert done.stdout == ""
        assert "qm.toml:2: limits.max_daily_loss = -1 makes no sense" in done.stderr
        assert "qm.toml:3: limits.max_dayly_loss is not a setting. Did you mean limits.max_daily_loss?" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_failure_is_one_json_object_too(tmp_path: Path) -> None:
    (tmp_path / "qm.toml").write_text("limits.max_daily_loss = -1\n")
    done = qm(tmp_path, "config", "show", "--json")
    assert done.returncode == Exit.FAILED
    found = answer(done)
    assert found["exit_code"] == 2
    (problem,) = found["error"]["problems"]
    assert problem == {
        "key": "limits.max_daily_loss",
        "value": "-1",
        "source": "qm.toml:1",
        "problem": "makes no sense",
        "remedy": "give an amount above zero",
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["config", "show", "--config", "nowhere.toml"], "nowhere.toml"),
        (["config", "show", "--environment", "live"], "arming takes all of"),
        (["config", "show", "--environment", "paper"], "simulated venue"),
        (["config", "show", "--book", "../up"], "cannot name a directory"),
        (["pause", "--reason", "x"], "has no session yet"),
        (["emergency", "--reason", "x", "--direct", "--yes"], "nothing to close"),
        (["drill", "break", "--symbol", "A", "--qty", "1"], "has no session yet"),
        (["drill", "break", "--symbol", "A", "--qty", "some"], "not a number"),
        (
            ["drill", "break", "--symbol", "A", "--kind", "luck", "--qty", "1"],
            "position, order, execution, overfill, vanished, cash",
        ),
        (["note", "add", "text", "--kind", "poem"], "incident, operator, override, improvement"),
        (["config", "diff"], "has no session yet"),
        (["journal", "verify"], "holds no book"),
    ],
)
def test_what_cannot_be_done_says_what_and_the_remedy(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = qm(tmp_path, *arguments)
    assert done.returncode == Exit.FAILED
    assert says.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists(), "a refused command leaves nothing behind"


def test_a_usage_error_exits_2(tmp_path: Path) -> None:
    assert qm(tmp_path, "pause").returncode == Exit.FAILED
    assert qm(tmp_path, "no-such-command").returncode == Exit.FAILED


def test_as_a_process_it_is_the_same(tmp_path: Path) -> None:
    """Exit code, the one object, and words on standard error, through the entry point that people type."""
    fine = qm_process(tmp_path, "config", "show", "--json")
    assert (fine.returncode, fine.stderr) == (Exit.OK, "")
    assert answer(fine)["files"] == []
    wrong = qm_process(tmp_path, "config", "show", "--json", QM_LIMITS__MAX_DAILY_LOSS="-1")
    assert wrong.returncode == Exit.FAILED
    assert answer(wrong)["error"]["problems"][0]["source"] == "env QM_LIMITS__MAX_DAILY_LOSS"
    assert "env QM_LIMITS__MAX_DAILY_LOSS: limits.max_daily_loss = -1 makes no sense" in wrong.stderr


def test_an_interrupt_exits_130(closed_home: Path) -> None:
    call = [sys.executable, "-c", "from qmworkbench.cli import main; main()", "journal", "tail", "--follow"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        call, cwd=closed_home, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == Exit.INTERRUPTED
    assert b"interrupted: it did not come to its end" in said
    assert b"Traceback" not in said


def test_a_reader_that_has_seen_enough_causes_no_complaint(closed_home: Path) -> None:
    script = f"{sys.executable} -c 'from qmworkbench.cli import main; main()' journal export | head -1"
    done = subprocess.run(
        script,
        shell=True,
        cwd=closed_home,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith('{"seq":1,')
    assert "Error" not in done.stderr


def test_diff_tells_what_changed_since_the_last_session(closed_home: Path) -> None:
    same = qm(closed_home, "config", "diff", "--json")
    assert {change["key"] for change in answer(same)["changes"]} <= {"config_hash", "code"}
    blocked = qm(closed_home, "block", "ZZZ", "--permanent", "--reason", "bad data")
    assert blocked.returncode == Exit.NO_GO, "a symbol that the book does not trade is a spelling mistake"
    (closed_home / "qm.toml").write_text(
        """[limits]
max_daily_loss = 500
blocked_symbols = ["GME"]
[scan.equity]
min_price = 7
[[strategies]]
id = "opening-range-us"
strategy = "opening-range"
budget_pct = 5
max_symbols = 10
params = { range_bars = 20 }
"""
    )
    done = qm(closed_home, "config", "diff", "--json")
    assert done.returncode == Exit.NO_GO
    found = answer(done)
    assert found["session"] == SESSION
    changes = {change["key"]: (change["before"], change["after"], change["source"]) for change in found["changes"]}
    assert changes["limits.max_daily_loss"] == ("1000", "500", "qm.toml:2")
    assert changes["limits.blocked_symbols"] == ("[]", '["GME"]', "qm.toml:3")
    assert changes["scan.equity.min_price"] == ("2", "7", "qm.toml:5")
    assert changes["strategies.opening-range-us.params.range_bars"][:2] == ("15", "20")
    assert changes["strategies.donchian-us"][1] == ""


def test_path_says_where_things_are(tmp_path: Path) -> None:
    (tmp_path / "qm.toml").write_text('paths.reports = "elsewhere"\n')
    (tmp_path / "below").mkdir()
    found = answer(qm(tmp_path / "below", "config", "path", "--json"))
    assert found["files"] == [str(tmp_path / "qm.toml")]
    assert found["book"] == str(tmp_path / "data/books/local/main")
    assert found["reports"] == str(tmp_path / "elsewhere")


# ── help ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _commands() -> list[list[str]]:
    from typer.main import get_command

    from qmworkbench.cli.app import app

    found: list[list[str]] = []

    def walk(command: object, path: list[str]) -> None:
        inner = getattr(command, "commands", None)
        if inner is None:
            found.append(path)
            return
        for name, each in inner.items():
            walk(each, [*path, name])

    walk(get_command(app), [])
    return found


def test_every_command_of_the_brief_exists() -> None:
    names = {path[0] for path in _commands()}
    wanted = (
        "day report nightly why reconcile emergency pause resume block unblock note journal data config strategy drill"
    )
    assert set(wanted.split()) <= names


@pytest.mark.parametrize("path", _commands(), ids=" ".join)
def test_every_command_explains_itself_and_its_exit_codes(path: list[str]) -> None:
    from typer.testing import CliRunner

    from qmworkbench.cli.app import app

    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0
    words = " ".join(done.stdout.split())
    assert "Exit code" in words or " ".join(EPILOG.split()) in words
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert any(line and not line.startswith(("Usage", "-")) for line in lines)


def test_help_imports_nothing_heavy() -> None:
    """Half of why help answers at once; the other half is the interpreter's."""
    heavy = (
        "polars numpy pydantic msgspec httpx structlog fastapi uvicorn sqlite3 asyncio exchange_calendars pandas panel"
    )
    script = f"""
import sys
sys.argv = ["qm", "--help"]
from qmworkbench.cli import main
try:
    main()
except SystemExit:
    pass
loaded = [name for name in {heavy.split()!r} if name in sys.modules]
sys.exit(f"imported: {{loaded}}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_limits_hash_that_is_signed_is_shown_and_doubtful_limits_are_named(tmp_path: Path) -> None:
    (tmp_path / "qm.toml").write_text('[limits]\nmax_position_notional = 20_000\nversion = 2\nowner = "desk"\n')
    shown = qm(tmp_path, "config", "show", "limits")
    assert shown.returncode == Exit.OK
    found = answer(qm(tmp_path, "config", "show", "limits", "--json"))
    assert set(found["limits_hash"]) == {"equity", "forex"}
    assert f"{found['limits_hash']['equity']} (equity)" in shown.stdout
    (doubt,) = found["doubts"]
    assert doubt.startswith("limits.max_position_notional = 20000: never binds")
    assert f"to be looked at: {doubt}" in " ".join(shown.stdout.split())
    signed = f'approved_by = "ann"\napproved_hash = "{found["limits_hash"]["equity"]}"\n'
    (tmp_path / "qm.toml").write_text((tmp_path / "qm.toml").read_text() + signed)
    again = answer(qm(tmp_path, "config", "show", "limits", "--json"))
    assert again["limits_hash"] == found["limits_hash"], "signing changes nothing that was signed"


def test_a_signature_without_a_name_is_refused(tmp_path: Path) -> None:
    done = qm(tmp_path, "config", "show", "--json", QM_LIMITS__APPROVED_HASH="0123456789abcdef")
    assert done.returncode == Exit.FAILED
    assert "a signature is a name and the hash that was signed" in answer(done)["error"]["problems"][0]["remedy"]
