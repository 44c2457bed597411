"""make: its targets, the environment it brings, and what `clean` leaves alone.

The real Makefile and scripts run in a small checkout whose lock is empty, so that nothing is downloaded.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.checkout import ROOT

TARGETS = [
    "help",
    "day",
    "test",
    "check",
    "sweep",
    "kill",
    "crashes",
    "takeover",
    "mutants",
    "simulate",
    "bench",
    "lab",
    "clean",
    "distclean",
]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")


def _run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as from a shell: without what a make above this test left in the environment."""
    ours = ("MAKE", "MFLAGS", "PYTHON", "ARGS", "WORKERS")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=inherited | environment,
    )


def _make(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return _run(folder, "make", *words, **environment)


def _tools(folder: Path, **scripts: str) -> str:
    """A PATH with the usual small tools and nothing else, but for the scripts given by name."""
    folder.mkdir()
    for name in (
        "make",
        "sh",
        "awk",
        "cat",
        "chmod",
        "cksum",
        "dirname",
        "grep",
        "mkdir",
        "mv",
        "rm",
        "sed",
        "sleep",
    ):
        found = shutil.which(name)
        assert found, f"this test needs {name}"
        (folder / name).symlink_to(found)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def _checkout(folder: Path) -> Path:
    """A checkout with the real Makefile and scripts, an empty lock, and a `qm` that repeats its words."""
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "requirements.lock").write_text("# nothing\n")
    (folder / "qmworkbench").mkdir()
    (folder / "qmworkbench/__init__.py").write_text("")
    (folder / "qmworkbench/cli.py").write_text("import sys\n\n\ndef main():\n    print('qm', *sys.argv[1:])\n")
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return _checkout(tmp_path / "checkout")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout after its first `make setup`, with pip alone."""
    folder = _checkout(tmp_path_factory.mktemp("made") / "checkout")
    path = _tools(folder.parent / "tools", python3=f'exec "{sys.executable}" "$@"')
    done = _make(folder, "setup", PATH=path)
    assert done.returncode == 0, done.stderr
    return folder


def _quick_python(made: Path) -> str:
    """A python3 like this one, whose `-m venv` copies one that was made before instead of unpacking pip again."""
    copied = (
        "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], symlinks=True, "
        "ignore=shutil.ignore_patterns('.made-from', 'qm', 'qmworkbench.pth'))"
    )
    return (
        f'if [ "$1 $2" = "-m venv" ]; then exec "{sys.executable}" -c "{copied}" "{made / ".venv"}" "$3"; fi\n'
        f'exec "{sys.executable}" "$@"'
    )


def test_help_is_the_default_and_names_every_target(checkout: Path, tmp_path: Path) -> None:
    told = _make(checkout, PATH=_tools(tmp_path / "tools"))
    assert told.returncode == 0, told.stderr
    lines = [line.split(maxsplit=2) for line in told.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["make", target] for target in TARGETS]
    assert all(line[2] for line in lines)
    assert not (checkout / ".venv").exists()


def test_the_first_make_brings_the_environment_and_the_next_leaves_it(made: Path) -> None:
    stamp = made / ".venv/.made-from"
    before = stamp.stat()
    assert not (made / ".venv.lock").exists()
    asked = _make(made, "day", "ARGS=--data x.parquet --headless")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.splitlines()[-1] == "qm day --data x.parquet --headless"
    assert "making .venv" not in asked.stderr
    assert (stamp.stat().st_ino, stamp.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_qm_runs_from_any_folder(made: Path, tmp_path: Path) -> None:
    asked = subprocess.run([made / ".venv/bin/qm", "status"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert asked.stdout == "qm status\n", asked.stderr


@pytest.mark.parametrize(
    ("mistake", "spoil"),
    [
        ("killed before its end", lambda folder: (folder / ".venv/.made-from").unlink()),
        ("of another lock", lambda folder: (folder / "requirements.lock").write_text("# something else\n")),
        ("with its interpreter gone", lambda folder: (folder / ".venv/bin/python").unlink()),
        (
            "of another place",
            lambda folder: (folder / ".venv/.made-from").write_text("/elsewhere\n0 0\nlayout 1\n"),
        ),
    ],
)
def test_a_venv_that_is_not_right_is_made_anew(
    made: Path, tmp_path: Path, mistake: str, spoil: Callable[[Path], object]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made, folder, symlinks=True)
    (folder / ".venv/.made-from").write_text((made / ".venv/.made-from").read_text().replace(str(made), str(folder)))
    (folder / ".venv/lib/leftover").write_text("of the old one")
    spoil(folder)
    done = _make(folder, "day", PATH=_tools(tmp_path / "tools", python3=_quick_python(made)))
    assert done.returncode == 0, f"{mistake}: {done.stderr}"
    assert "making .venv" in done.stderr
    assert done.stdout.splitlines()[-1] == "qm day"
    assert not (folder / ".venv/lib/leftover").exists()


def test_a_lock_left_by_a_killed_make_is_taken_over(made: Path, tmp_path: Path) -> None:
    gone = subprocess.Popen(["sleep", "60"])
    gone.send_signal(signal.SIGKILL)
    gone.wait()
    folder = tmp_path / "copy"
    shutil.copytree(made, folder, symlinks=True)
    (folder / ".venv/.made-from").unlink()
    (folder / ".venv.lock").mkdir()
    (folder / ".venv.lock/pid").write_text(f"{gone.pid}\n")
    done = _make(folder, "setup", PATH=_tools(tmp_path / "tools", python3=_quick_python(made)))
    assert done.returncode == 0, done.stderr
    assert not (folder / ".venv.lock").exists()


OLD_PYTHON = 'case "$2" in *version_info*) exit 1 ;; *) echo 3.9.6 ;; esac'


def test_an_old_python_is_refused_by_version_and_remedy(checkout: Path, tmp_path: Path) -> None:
    done = _make(checkout, "day", PATH=_tools(tmp_path / "tools", python3=OLD_PYTHON))
    assert done.returncode != 0
    assert "needs Python 3.11 to 3.14; found version: 3.9.6" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr
    assert "brew install" in done.stderr
    assert not (checkout / ".venv").exists()


def test_no_python_is_told_apart_from_an_old_one(checkout: Path, tmp_path: Path) -> None:
    done = _make(checkout, "test", PATH=_tools(tmp_path / "tools"))
    assert done.returncode != 0
    assert "found no python3 on PATH" in done.stderr


def test_a_chosen_python_that_is_too_old_is_named(checkout: Path, tmp_path: Path) -> None:
    tools = _tools(tmp_path / "tools", python3=f'exec "{sys.executable}" "$@"', python39=OLD_PYTHON)
    done = _make(checkout, "day", f"PYTHON={tools}/python39", PATH=tools)
    assert done.returncode != 0
    assert f"PYTHON={tools}/python39: found version: 3.9.6" in done.stderr


def test_a_newer_python_on_the_path_is_found_behind_an_old_python3(made: Path, checkout: Path, tmp_path: Path) -> None:
    scripts = {"python3": OLD_PYTHON, "python3.12": _quick_python(made)}
    done = _make(checkout, "setup", PATH=_tools(tmp_path / "tools", **scripts))
    assert done.returncode == 0, done.stderr
    assert "python3.12" in done.stderr


def test_a_python_without_venv_is_told_with_its_remedy(checkout: Path, tmp_path: Path) -> None:
    crippled = f'[ "$1" != -m ] || {{ echo no ensurepip >&2; exit 1; }}; exec "{sys.executable}" "$@"'
    done = _make(checkout, "setup", PATH=_tools(tmp_path / "tools", python3=crippled))
    assert done.returncode != 0
    assert "no ensurepip" in done.stderr
    assert "apt-get install python3-venv" in done.stderr
    assert ".venv is not complete; run make again" in done.stderr


def test_uv_does_it_when_it_is_there_and_pip_when_uv_fails(made: Path, checkout: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    uv = f'echo "$@" >>"{asked}"; [ "$1" = --version ] && echo "uv 9.9"; [ "$1" != pip ]'
    done = _make(checkout, "setup", PATH=_tools(tmp_path / "tools", python3=_quick_python(made), uv=uv))
    assert done.returncode == 0, done.stderr
    assert "pip install --quiet --python" in asked.read_text()
    assert "--require-hashes -r requirements.lock" in asked.read_text()
    assert "uv could not (see above); trying with pip" in done.stderr


def test_clean_keeps_what_cannot_be_made_again(checkout: Path) -> None:
    def write(name: str) -> Path:
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        return path

    kept = [
        write("data/books/paper/alpaca/journal.sqlite"),
        write("data/books/live/alpaca/journal.sqlite"),
        write("data/archive/environment=paper/book=alpaca/sessions.parquet"),
        write("data/README.md"),
        write("reports/README.md"),
        write("reports/2018-03-02/alpaca/preflight.html"),
        write("reports/2018-03-02/twin/preflight.html"),
        write("data/books/paper/twin/journal.sqlite"),
        write("qm.toml"),
    ]
    removed = [
        write("data/books/local/demo/journal.sqlite"),
        write("data/archive/environment=local/book=demo/sessions.parquet"),
        write("data/books/local/twin/journal.sqlite"),
        write("data/books/backtest/week/journal.sqlite"),
        write("reports/2018-03-02/demo/preflight.html"),
        write("reports/2018-03-05/week/trade_review.html"),
        write("qmworkbench/__pycache__/x.pyc"),
        write(".mypy_cache/x"),
    ]
    cleaned = _make(checkout, "clean")
    assert cleaned.returncode == 0, cleaned.stderr
    assert [path for path in kept if not path.exists()] == []
    assert [path for path in removed if path.exists()] == []
    assert not (checkout / "reports/2018-03-05").exists()


def test_ci_runs_the_check_and_the_tests_and_ends_with_the_tests(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "Makefile").write_text("check:\n\t@echo checked\ntest:\n\t@echo tested; echo CI=$$CI\n")
    ran = _run(tmp_path, "bash", ".ci/run")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["checked", "tested", "CI=true"]
    (tmp_path / "Makefile").write_text("check:\n\t@false\ntest:\n\t@echo tested\n")
    ran = _run(tmp_path, "bash", ".ci/run")
    assert ran.returncode != 0
    assert "tested" not in ran.stdout
