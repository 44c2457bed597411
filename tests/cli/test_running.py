"""Orders to a platform that runs, and to one that hangs: accepted, watched, or fenced off and done without it (§15)."""

import os
import signal
from pathlib import Path

import pytest

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.domain.events import wire_name
from qmworkbench.domain.orders import PositionEffect
from qmworkbench.service import config as configuration
from qmworkbench.service import lease as leases
from qmworkbench.service.client import CoreApi, NotAnswering, NotRunning, Rejected, Unauthorised
from qmworkbench.service.direct_access import open_direct
from qmworkbench.service.offline import read_state
from qmworkbench.storage.fallback_file import read_fallback
from tests.cli.books import answer, book_in, platform_running, qm, run_day, wait_until_free


@pytest.mark.slow
def test_a_running_platform_takes_orders(tmp_path: Path) -> None:
    with platform_running(tmp_path) as process:
        with CoreApi(book_in(tmp_path)) as api:
            assert api.pid == process.pid
            assert api.health()["components"]
            symbol = api.snapshot()["positions"][0]["symbol"]
            with pytest.raises(Rejected, match="whole number"):
                api.events(-1)
        paused = qm(tmp_path, "pause", "--reason", "look", "--operator", "ann", "--json")
        assert paused.returncode == Exit.OK, paused.stderr
        assert answer(paused)["through"] == "platform"
        assert qm(tmp_path, "block", symbol, "--reason", "odd prints").returncode == Exit.OK
        assert qm(tmp_path, "note", "add", "seen from the desk", "--kind", "operator").returncode == Exit.OK
        compared = qm(tmp_path, "reconcile", "--json")
        assert compared.returncode == Exit.OK, compared.stdout + compared.stderr
        assert answer(compared)["through"] == "platform"
        drill = qm(tmp_path, "drill", "break", "--symbol", symbol, "--qty", "5")
        assert drill.returncode == Exit.FAILED, "a running platform's venue is not falsified"
        assert f"process {process.pid}" in drill.stderr
        with CoreApi(book_in(tmp_path)) as api:
            shown = api.snapshot()
        assert shown["trading_state"]["by"] == "ann"
        assert [block["symbol"] for block in shown["risk"]["blocked"]] == [symbol]
        liquidated = qm(tmp_path, "emergency", "--reason", "enough", "--wait", "60", "--json")
        assert liquidated.returncode == Exit.OK, liquidated.stderr
        found = answer(liquidated)
        assert (found["flat"], found["through"]) == (True, "platform")
        with CoreApi(book_in(tmp_path)) as api:
            assert api.snapshot()["positions"] == []
        address = book_in(tmp_path).api_json
        address.write_text(address.read_text().replace('"token":"', '"token":"not-'))
        with pytest.raises(Unauthorised), CoreApi(book_in(tmp_path)) as api:
            api.snapshot()


@pytest.mark.slow
def test_a_platform_that_hangs_is_fenced_off_and_everything_closed_without_it(tmp_path: Path) -> None:
    with platform_running(tmp_path) as process:
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(NotAnswering, match="did not answer"), CoreApi(book_in(tmp_path)) as api:
            api.health()
        offered = qm(tmp_path, "emergency", "--reason", "hangs")
        assert offered.returncode == Exit.FAILED
        assert "did not answer" in offered.stderr
        assert "--direct" in offered.stderr
        assert "--yes" in offered.stderr
        held = leases.holder_of(book_in(tmp_path).lease)
        assert held is not None
        done = qm(tmp_path, "emergency", "--reason", "hangs", "--direct", "--yes", "--wait", "1", "--json")
        assert done.returncode == Exit.NO_GO, "the simulated market stands still without the platform"
        found = answer(done)
        assert (found["flat"], found["through"], found["recorded"]) == (False, "direct", True)
        assert "fenced" in done.stderr
        assert process.wait(timeout=120) == -signal.SIGKILL
    fence = leases.fence_of(book_in(tmp_path).lease)
    assert fence is not None
    assert fence.reason == "hangs"
    config = configuration.load(cwd=tmp_path, environ={})
    with open_direct(config) as (broker, _record, _session):
        assert isinstance(broker, SimulatedBroker)
        working = broker.open_orders()
        held_now = {position.symbol for position in broker.positions()}
        assert {order.symbol for order in working} == held_now, "one close for each position, and nothing else"
        assert {order.position_effect for order in working} == {PositionEffect.CLOSE}
    names = [wire_name(record.event) for record in read_fallback(book_in(tmp_path).fallback).records]
    assert names[0] == "emergency.started"
    assert names.count("order.intended") == len(held_now) > 0
    run_day(tmp_path)
    state = read_state(config).state
    assert state.halt.state == "halted", "what comes back is halted"
    assert not state.positions, "the queued closes traded at the next bars"
    assert not book_in(tmp_path).fallback.exists(), "the fallback log was taken over, once"


def test_a_dead_platforms_address_is_told_from_a_running_one(tmp_path: Path) -> None:
    paths = book_in(tmp_path).create()
    with pytest.raises(NotRunning, match="qm day"):
        CoreApi(paths)
    address = '{{"url":"http://{}:9","token":"t","pid":1,"process_id":"p","started_at":"2018-03-02T14:30:00Z"}}'
    paths.api_json.write_text(address.format("127.0.0.1"))
    with pytest.raises(NotRunning, match="one that died"), CoreApi(paths) as api:
        api.health()
    paths.api_json.write_text(address.format("example.org"))
    with pytest.raises(NotRunning, match="not this machine"):
        CoreApi(paths)
    paths.api_json.write_text("{")
    with pytest.raises(NotRunning, match="is no address"):
        CoreApi(paths)
    paths.api_json.unlink()
    with leases.Lease.acquire(paths.lease, process_id="p", command="qm day --headless"), pytest.raises(NotAnswering):
        CoreApi(paths)
    wait_until_free(tmp_path)
