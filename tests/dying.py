"""A process that is killed at its n-th change of a file: nothing of it is cleaned up, and the instant is no accident.

What is written outside of Python is not seen; the instants around it are.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

KILLED = -signal.SIGKILL
_CHANGES = frozenset({"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "sqlite3.connect"})


class Death:
    """Kills this process before the `instant`-th change of a file; counts them until then (0: never)."""

    def __init__(self, instant: int) -> None:
        self.instant = instant
        self.seen = 0
        sys.dont_write_bytecode = True
        sys.addaudithook(self.look)

    def look(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        reads = event == "sqlite3.connect" and "mode=ro" in str(arguments[0])
        if (event in _CHANGES or writes) and not reads:
            self.seen += 1
            if self.seen == self.instant:
                os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], object], instant: int) -> tuple[int, int]:
    """How a process ended that did the work until `instant`, KILLED where it did not come to an end; and how many
    changes it made in all, 0 where it was killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            death = Death(instant)
            work()
            os.write(writing, str(death.seen).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    told = os.read(reading, 64)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), int(told) if told else 0


def spread(changes: int, instants: int) -> list[int]:
    """So many instants from the first change to the last."""
    return sorted({1 + (changes - 1) * n // (instants - 1) for n in range(instants)})
