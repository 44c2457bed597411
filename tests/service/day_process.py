"""A whole headless day in a process of its own: what is killed, interrupted and run under other hash seeds.

    python day_process.py ROOT (--short | --file PATH DAY) [--one-pass] [--die decided|recorded WIRE_NAME NTH]

`--short` is a demo day whose market closes after SHORT boundaries.

`--die` kills the process (SIGKILL) at the NTH event of a wire name: `decided` before it is on record, `recorded` once
it is on disk and before anything follows from it. Prints "open", then the result as one JSON line; exit code 130
after a stop, 3 with the reason on stderr when the day is refused.
"""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec

from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.domain.events import Event, wire_name
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.sessions import Environment
from qmworkbench.market.bars import load_session
from qmworkbench.market.demo import demo_session
from qmworkbench.market.session import SessionData
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import DayPlan, DayRefused, market_of
from qmworkbench.service.platform import Platform, StopRequested
from qmworkbench.service.runs import default_runs
from qmworkbench.storage.paths import BookPaths
from qmworkbench.trading.scanner_settings import ScanSettings
from qmworkbench.venue.costs import costed

DEMO_DAY = date(2024, 3, 8)
DEMO_SEED = 7
DEMO_SYMBOLS = 60
SHORT = 120


def all_good(platform: Platform, phase: str) -> list[Check]:
    """A checklist that has nothing to say against the day."""
    return [check("test.nothing", CheckStatus.PASS)]


def check(check_id: str, status: CheckStatus) -> Check:
    return Check(
        check_id=check_id,
        section="test",
        title="a test's line",
        status=status,
        looked_at="nothing",
        value="nothing",
        expectation="nothing",
        remedy="run the test again",
    )


def plan_for(root: Path, data: SessionData, **changes: object) -> DayPlan:
    """A plan with the platform's usual settings for the data's market."""
    market = market_of(data)
    forex = market is AssetClass.FOREX
    book = str(changes.pop("book", "main"))
    settings: dict[str, object] = {
        "book": book,
        "environment": Environment.LOCAL,
        "paths": BookPaths.under(root, "local", book),
        "data": data,
        "limits": Limits(max_position_qty=None, max_trades_per_day=200) if forex else Limits(),
        "scan": ScanSettings.for_forex() if forex else ScanSettings(),
        "runs": default_runs(market),
        "venue_model": costed(),
        "account_currency": "USD",
        "initial_cash": Decimal(100_000),
        "config_hash": "test",
        "max_candidates": 20,
        "max_owned": 100 if forex else 20,
        "shared_symbols": forex,
    }
    return DayPlan(**(settings | changes))  # type: ignore[arg-type]


def demo_day(seed: int = DEMO_SEED) -> SessionData:
    """A small demo market that trades."""
    return demo_session(DEMO_DAY, seed, DEMO_SYMBOLS)


def cut_short(data: SessionData, boundaries: int = SHORT) -> SessionData:
    """The same day as if the market closed early."""
    early = [frame for frame in data.frames if frame.extended]
    frames = (*early, *data.regular_frames[:boundaries])
    return replace(data, frames=frames, window=replace(data.window, closes_at=frames[-1].as_of))


def mortal(platform: Platform, when: str, name: str, nth: int) -> None:
    """Let the process die at the nth event of a wire name."""
    journal, seen = platform.shell.journal, 0
    append = journal.append

    def dying(events: Sequence[Event]) -> int:
        nonlocal seen
        seen += sum(wire_name(event) == name for event in events)
        if seen >= nth:
            if when == "recorded":
                append(events)
                journal.sync()
            os.kill(os.getpid(), signal.SIGKILL)
        return append(events)

    journal.append = dying  # type: ignore[method-assign]


def main(arguments: list[str]) -> int:
    root = Path(arguments[0])
    if "--short" in arguments:
        data = cut_short(demo_day())
    else:
        at = arguments.index("--file")
        data = load_session(arguments[at + 1], date.fromisoformat(arguments[at + 2]))
    plan = plan_for(root, data, compute="one-pass" if "--one-pass" in arguments else "incremental")

    def opened(platform: Platform) -> None:
        print("open", flush=True)
        if "--die" in arguments:
            when, name, nth = arguments[arguments.index("--die") + 1 :][:3]
            mortal(platform, when, name, int(nth))

    try:
        result = run_headless(plan, all_good, on_open=opened)
    except StopRequested as stopped:
        print(stopped, file=sys.stderr)
        return 130
    except DayRefused as refused:
        print(refused, file=sys.stderr)
        return 3
    print(msgspec.json.encode(result).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
