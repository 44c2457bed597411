"""A day of a book in PostgreSQL in a process of its own, as the one that runs it or as a standby.

    python -m tests.service.standby_process ROOT DSN primary NTH    kills itself at the NTH intended order
    python -m tests.service.standby_process ROOT DSN standby

The primary prints "open" and waits for a line before it goes on. The standby prints what it waits for, "recovered" once
the books agree again, and "held: …" with what entries wait for.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.reconciliation import RecoveryCompleted
from qmworkbench.service.headless import run_headless
from qmworkbench.service.platform import Platform
from qmworkbench.service.standby import wait_for_lapse
from qmworkbench.storage.stores import Store
from tests.service.day_process import all_good, cut_short, demo_day, mortal, plan_for


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: list[str]) -> None:
    root, dsn, role = Path(arguments[0]), arguments[1], arguments[2]
    plan = plan_for(root, cut_short(demo_day()), compute="one-pass", store=Store(kind="postgres", address=dsn))

    def runs(platform: Platform) -> None:
        say("open")
        sys.stdin.readline()
        mortal(platform, "recorded", "order.intended", int(arguments[3]))

    def takes_over(platform: Platform) -> None:
        def heard(seq: int, events: Sequence[Event]) -> None:
            if any(isinstance(event, RecoveryCompleted) for event in events):
                say("recovered")

        platform.bus.follow(heard)

    if role == "primary":
        run_headless(plan, all_good, on_open=runs)
        return
    taking_over = wait_for_lapse(plan, say=say)
    assert taking_over is not None
    result = run_headless(taking_over, all_good, on_open=takes_over)
    say(f"closed with {result.breaks} breaks")


if __name__ == "__main__":
    main(sys.argv[1:])
