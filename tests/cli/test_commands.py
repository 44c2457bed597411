"""`qm` as it is typed: exit codes, the one JSON object, and errors that name thing, value and remedy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.books import qm, qm_process


def test_help_names_every_command_and_imports_nothing_heavy(tmp_path: Path) -> None:
    said = qm(tmp_path, "--help")
    assert said.returncode == 0, said.stderr
    for name in (
        "day preflight status why report nightly journal data config strategy drill version "
        "pause resume block unblock note reconcile emergency"
    ).split():
        assert f"  {name}" in said.stdout, name
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import sys, qmworkbench.cli.app; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    heavy = {"polars", "numpy", "fastapi", "pydantic", "papermill", "httpx", "rich.table"}
    assert not heavy & set(loaded.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("day", "--date", "soon"), 2, "'soon'"),
        (("day", "--stay", "--headless"), 2, "--stay"),
        (("day", "--book", "../out"), 2, "../out"),
        (("day", "--data", "missing.parquet"), 2, "missing.parquet"),
        (("day", "--date", "2024-03-09"), 2, "2024-03-09"),
        (("day", "--symbols", "100000"), 2, "100000"),
        (("day", "--environment", "moon"), 2, "moon"),
        (("day", "--config", "no.toml"), 2, "no.toml"),
        (("data", "check", "missing.parquet"), 1, "missing.parquet"),
        (("journal", "verify"), 2, "qm day"),
        (("journal", "tail", "--stream", "gossip"), 2, "gossip"),
        (("strategy", "card", "donchain"), 2, "donchian"),
        (("report", "nope"), 2, "there is no report 'nope'"),
        (("report", "trade_review"), 2, "qm day"),
        (("why", "ALTANT", "10:04"), 2, "qm day"),
        (("status",), 2, "qm day"),
        (("preflight", "--phase", "later"), 2, "later"),
    ],
)
def test_an_error_names_what_is_wrong_and_is_no_traceback(
    tmp_path: Path, arguments: tuple[str, ...], code: int, named: str
) -> None:
    said = qm(tmp_path, *arguments)
    assert said.returncode == code, said.stderr
    assert named in said.stderr + said.stdout
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "data").exists(), "a command that cannot run leaves nothing behind"


def test_a_failure_under_json_is_one_object(tmp_path: Path) -> None:
    said = qm(tmp_path, "day", "--data", "missing.parquet", "--headless", "--json")
    answer = json.loads(said.stdout)
    assert said.returncode == answer["exit_code"] == 2
    assert "missing.parquet" in answer["error"]["message"]


def test_a_setting_that_makes_no_sense_is_a_no_go_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "qm.toml").write_text("[limits]\nmax_orders = 3\n")
    said = qm(tmp_path, "preflight", "--json")
    answer = json.loads(said.stdout)
    assert (said.returncode, answer["verdict"]) == (1, "NO-GO")
    checks = answer["phases"]["pre-start"]["checks"]
    assert [check["looked_at"] for check in checks] == ["qm.toml:2"]


def test_config_says_where_a_value_came_from_and_hides_secrets(tmp_path: Path) -> None:
    secret = "a-token-nobody-may-read"
    said = qm(tmp_path, "config", "show", "--json", QM_BOOK="mine", QM_SERVICE__TOKEN=secret)
    settings = {row["key"]: row for row in json.loads(said.stdout)["settings"]}
    assert (settings["book"]["value"], settings["book"]["source"]) == ('"mine"', "env QM_BOOK")
    assert secret not in said.stdout + said.stderr


def test_data_check_tells_a_good_file_from_a_date_it_does_not_have(shared_data: Path, tmp_path: Path) -> None:
    file = str(shared_data / "us_equity_minute_2018.parquet")
    good = qm(tmp_path, "data", "check", file, "--date", "2018-03-02", "--json")
    assert (good.returncode, json.loads(good.stdout)["symbols"]) == (0, 194)
    bad = qm(tmp_path, "data", "check", file, "--date", "2019-03-01", "--json")
    assert (bad.returncode, json.loads(bad.stdout)["refused"]) == (1, True)


def test_a_pre_start_preflight_looks_without_running_a_day(tmp_path: Path) -> None:
    said = qm(tmp_path, "preflight", "--json")
    answer = json.loads(said.stdout)
    assert (said.returncode, answer["verdict"]) == (0, "GO"), said.stdout
    assert len(answer["phases"]["pre-start"]["checks"]) > 20
    assert qm(tmp_path, "status").returncode == 2, "no session was opened by looking"


def test_a_day_runs_once_and_again_alike_in_a_fresh_book(tmp_path: Path) -> None:
    day = ("day", "--headless", "--symbols", "12", "--no-reports", "--json")
    first = qm(tmp_path, *day)
    assert first.returncode == 0, first.stderr
    answer = json.loads(first.stdout.splitlines()[-1])
    assert list(answer) == [
        "session", "decision_head", "bars", "orders", "fills", "trades", "breaks", "net_pnl", "verdicts", "recovered",
        "session_s", "wall_s",
    ]  # fmt: skip
    assert set(answer["verdicts"]) == {"preflight", "post_session", "trade_review"}

    again = qm(tmp_path, *day, "--date", answer["session"].removeprefix("main-"))
    assert again.returncode == 1
    assert "--fresh" in json.loads(again.stdout)["error"]["message"]

    fresh = qm_process(tmp_path, *day, "--fresh", PYTHONHASHSEED="7")
    assert json.loads(fresh.stdout)["decision_head"] == answer["decision_head"]
    kept = tmp_path / "data" / "books" / "local" / "main.before-1"
    assert str(kept) in fresh.stderr
    verified = qm(tmp_path, "journal", "verify", str(kept), "--json")
    assert json.loads(verified.stdout)["heads"]["decisions"]["hash"] == answer["decision_head"]
    assert json.loads(qm(tmp_path, "status", "--json").stdout)["red"] is False
    assert qm(tmp_path, "why", "ALTANT", "10:04").returncode == 0
    told = json.loads(qm(tmp_path, "why", "ALTANT", "--json").stdout)
    assert told["evidence"]["day"]["stage"], "without a time it is the whole day"
    assert told["evidence"]["asked_at"] is None
    shown = qm(tmp_path, "status").stdout
    for signal in ("unusual slippage", "repeated failed entries", "systematic late exits", "unusual concentration"):
        assert signal in shown, signal
    following = qm(tmp_path, *day)
    assert json.loads(following.stdout)["session"] > answer["session"], "without a date the demo goes on"
