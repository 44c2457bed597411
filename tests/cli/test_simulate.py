"""`qm simulate` as it is typed: seeds, one seed, a plan, and what it says of what cannot be run."""

import json
from pathlib import Path

from qmworkbench.simulation.mutants import planted
from qmworkbench.simulation.plan import drawn, dumps
from tests.cli.books import qm


def test_seeds_are_run_and_counted(tmp_path: Path) -> None:
    done = qm(tmp_path, "simulate", "--seeds", "1:4", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert told["seeds"] == 4
    assert told["violations"] == []
    assert told["sessions_per_s"] > 0
    assert told["marks_hit"]["order.fill.filled"] == 4
    assert "fault.bust" in told["marks_unhit"] or "fault.bust" in told["marks_hit"]


def test_one_seed_shows_everything_that_happened(tmp_path: Path) -> None:
    done = qm(tmp_path, "simulate", "--seed", "6", "--trace")
    assert done.returncode == 0
    assert "seed 6: holds" in done.stdout
    assert "SessionOpened" in done.stderr
    assert "send SubmitOrder" in done.stderr


def test_a_plan_is_run_again(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(dumps(drawn(6)))
    by_plan, by_seed = (
        qm(tmp_path, "simulate", *given, "--json") for given in (("--plan", str(file)), ("--seed", "6"))
    )
    assert json.loads(by_plan.stdout) == json.loads(by_seed.stdout)


def test_a_failing_seed_ends_with_its_small_plan_and_exit_code_1(tmp_path: Path) -> None:
    with planted("denial unrecorded"):
        done = qm(tmp_path, "simulate", "--seeds", "2:3", "--workers", "1", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["violations"][0]["invariant"] == 11
    assert '"strikes"' in done.stderr


def test_what_cannot_be_run_is_named(tmp_path: Path) -> None:
    for given, said in (
        (("--seeds", "many"), "--seeds 'many' is no range of seeds"),
        (("--seeds", "9:3"), "has no seed in it"),
        (("--plan", "nowhere.json"), "nowhere.json cannot be read"),
    ):
        done = qm(tmp_path, "simulate", *given)
        assert done.returncode == 2
        assert said in done.stderr
