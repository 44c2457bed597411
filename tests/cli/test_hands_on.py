"""A person's hand on a running platform: strategies stopped and restarted, orders and positions, resume (§10, §23)."""

from pathlib import Path
from typing import Any

import pytest

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.service.client import CoreApi
from tests.cli.books import answer, book_in, platform_running, qm


def snapshot(home: Path) -> dict[str, Any]:
    with CoreApi(book_in(home)) as api:
        return api.snapshot()


@pytest.mark.slow
def test_what_a_person_may_lay_hands_on(tmp_path: Path) -> None:
    with platform_running(tmp_path, boundary_s=0.5):
        held = snapshot(tmp_path)["positions"][0]
        symbol, name = held["symbol"], held["strategy_id"]
        told = qm(tmp_path, "strategy", "status", name)
        assert told.returncode == Exit.OK, told.stderr
        assert symbol in told.stdout
        assert "last evaluated" in told.stdout
        stopped = qm(tmp_path, "strategy", "stop", name, "--reason", "acts up", "--json")
        assert "entries blocked, exits running" in answer(stopped)["effect"]
        stands = qm(tmp_path, "strategy", "status", "--json")
        assert stands.returncode == Exit.NO_GO, f"one of them is stopped: {stands.stdout}"
        mine = next(run for run in answer(stands)["strategies"] if run["strategy_id"] == name)
        assert (mine["code"], mine["why"]) == ("operator_stop", "acts up")
        assert mine["approved_hash"] == mine["params_hash"]
        unknown = qm(tmp_path, "strategy", "restart", "nobody", "--reason", "x")
        assert "one of:" in unknown.stderr
        legs = [o for o in snapshot(tmp_path)["orders"] if o["open"] and o["symbol"] == symbol]
        if legs:
            leg = legs[0]["cl_ord_id"]
            assert qm(tmp_path, "order", "cancel", leg, "--reason", "by hand").returncode == Exit.OK
        nothing = qm(tmp_path, "order", "cancel", "no-such-order", "--reason", "by hand")
        assert nothing.returncode == Exit.NO_GO
        assert "is in this book" in nothing.stderr
        closed = qm(tmp_path, "close", symbol, "--strategy", name, "--reason", "enough of it", "--json")
        assert closed.returncode in (Exit.OK, Exit.NO_GO), closed.stderr
        assert closed.returncode == Exit.OK or "being closed already" in closed.stderr or "holds no" in closed.stderr


@pytest.mark.slow
def test_a_resume_says_first_how_each_line_stands_and_refuses_by_name(tmp_path: Path) -> None:
    with platform_running(tmp_path, boundary_s=0.5):
        assert qm(tmp_path, "pause", "--reason", "odd prints").returncode == Exit.OK
        refused = qm(tmp_path, "resume", "--reason", "go", "--incident", "odd prints", "--cause-understood")
        assert refused.returncode == Exit.NO_GO
        for line in ("broker state reconciled", "internal state repaired", "risk controls verified"):
            assert line in refused.stderr
        shown = snapshot(tmp_path)["trading_state"]
        assert shown["shown"] == "HALTED – entries blocked, exits running"
        assert [cause["code"] for cause in shown["causes"]] == ["operator_pause"]
        whole = ["--cause-understood", "--internal-repaired", "--risk-verified"]
        again = qm(tmp_path, "resume", "--reason", "go", "--incident", "odd prints", *whole, "--json")
        assert again.returncode == Exit.OK, again.stderr
        assert snapshot(tmp_path)["trading_state"]["state"] == "active"
