"""`qm up` and `qm watch`: a platform that stays, a standby where there can be one, a screen without a platform."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from qmworkbench.cli.exit_codes import Exit
from tests import servers
from tests.cli.books import ROOT, qm, wait_until_free


def started(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    line = "from qmworkbench.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", line, *arguments],
        cwd=home,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(running: "subprocess.Popen[str]", wanted: str) -> str:
    assert running.stderr is not None
    lines = []
    for line in running.stderr:
        lines.append(line)
        if wanted in line:
            return line
    raise AssertionError(f"it ended without {wanted!r}: {lines}")


def test_up_stays_after_the_close_until_it_is_ended(tmp_path: Path) -> None:
    running = started(tmp_path, "up", "--headless", "--speed", "max", "--symbols", "8", "--no-reports")
    try:
        said(running, "page and API stay until Ctrl-C")
        address = json.loads((tmp_path / "data/books/local/main/api.json").read_text())
        assert address["url"].startswith("http://127.0.0.1:")
        running.send_signal(signal.SIGINT)
        assert running.wait(120) == Exit.OK
    finally:
        running.kill()
        running.communicate()
    wait_until_free(tmp_path)


def test_a_standby_needs_a_book_that_others_can_reach(tmp_path: Path) -> None:
    done = qm(tmp_path, "up", "--standby", "--headless")
    assert done.returncode == Exit.NO_GO
    assert "lies in sqlite: a standby needs a book that several processes can reach" in " ".join(done.stderr.split())


def test_watch_says_what_it_sees_and_where_it_cannot_look(tmp_path: Path) -> None:
    lost = qm(tmp_path, "watch", "--headless", QM_SERVERS__REDIS="redis://127.0.0.1:1/0")
    assert lost.returncode == Exit.FAILED
    assert "Redis does not answer" in lost.stderr
    (tmp_path / "qm.toml").write_text(f'[servers]\nredis = "{servers.redis().url()}"\n')
    running = started(tmp_path, "watch", "--headless", "--book", "nobodys")
    try:
        assert "watching book nobodys of local, which no platform shows yet" in said(running, "watching book")
        assert (tmp_path / "data/watch/local/nobodys/api.json").exists()
        running.send_signal(signal.SIGTERM)
        assert running.wait(120) == Exit.OK
        assert not (tmp_path / "data/watch/local/nobodys/api.json").exists()
    finally:
        running.kill()
        running.communicate()
