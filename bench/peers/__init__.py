"""Peers to measure against, each in an environment of its own so that its dependencies never meet ours."""

import json
import subprocess
import sys
import venv
from hashlib import sha256
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent / ".environments"


def _environment(name: str) -> Path:
    """The peer's interpreter, made from its lock on first use and again when the lock changes."""
    lock = HERE / f"{name}.lock"
    home = ENVIRONMENTS / f"{name}-{sha256(lock.read_bytes()).hexdigest()[:12]}"
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    ready = home / ".ready"
    if not ready.exists():
        venv.create(home, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", lock]
        subprocess.run(install, check=True, capture_output=True)
        ready.touch()
    return python


def nautilus(bars: int = 75_518) -> dict[str, Any]:
    """nautilus_trader 1.221 over `bars` minute bars: one symbol, one strategy, no journal. Its own JSON report."""
    ran = subprocess.run(
        [_environment("nautilus"), HERE / "nautilus_session.py", str(bars)], check=True, capture_output=True, text=True
    )
    report: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return report
