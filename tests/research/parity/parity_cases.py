"""Sessions on record in memory, for comparisons with their backtests: whole days of the kernel, without a disk."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

from qmworkbench.analytics.session_record import record_of
from qmworkbench.domain.commands import Command
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.domain.events.session import RunSpec, SessionOpened
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.sessions import Environment
from qmworkbench.market.bars import load_session
from qmworkbench.market.session import SessionData
from qmworkbench.research.parity.parity_record import Carried, RecordedDay
from qmworkbench.service.frames import raw_bars
from qmworkbench.service.parity_book import carried_in
from qmworkbench.service.replay import Replay
from qmworkbench.service.runs import default_runs, run_spec
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.strategies import catalog
from qmworkbench.strategies.bars import RAW_SCHEMA
from qmworkbench.strategies.definition import StrategyInstance
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State
from qmworkbench.venue.costs import ideal
from tests.service.day_process import demo_day, plan_for

# Nothing stands in the way of a trade: what is left to differ is the fill model.
UNBOUND = Limits(
    max_daily_loss=Decimal(10**9),
    max_position_qty=None,
    max_position_notional=Decimal(10**9),
    max_position_equity_pct=Decimal(100),
    max_trades_per_day=100_000,
    max_open_positions=100_000,
    max_strategy_equity_pct=Decimal(100),
    max_submits_per_minute=100_000,
    stale_quote_s=86_400,
    entry_cutoff_min=0,
)


def every_strategy() -> tuple[RunSpec, ...]:
    """One run of each strategy of the catalog, in shares, each free to own what the scanner finds."""
    return tuple(
        run_spec(
            StrategyInstance(
                instance_id=f"{name}-x",
                strategy_id=name,
                asset_class=AssetClass.EQUITY,
                capital_fraction=Decimal("0.1"),
                max_symbols=20,
            )
        )
        for name in catalog.ids()
    )


def equities(root: Path, data: SessionData, **changes: object) -> list[RecordedDay]:
    """A day of shares in the ideal venue, with every strategy and no limit that binds; `changes` to the plan."""
    usual: dict[str, object] = {"runs": every_strategy(), "limits": UNBOUND, "max_owned": 400, "shared_symbols": True}
    return replayed(root, [data], **(usual | changes))


def forex(root: Path, shared: Path, days: Sequence[date], **changes: object) -> list[RecordedDay]:
    """Days of nine pairs in the ideal venue, one after another on one book."""
    file = shared / "forex_hourly_9pairs_2015_2018.parquet"
    runs = default_runs(AssetClass.FOREX)
    usual: dict[str, object] = {"runs": runs, "limits": UNBOUND, "max_owned": 400}
    return replayed(root, [load_session(file, day) for day in days], **(usual | changes))


def replayed(
    root: Path,
    days: Sequence[SessionData],
    *,
    act: Callable[[int, State], Command | None] = lambda boundary, state: None,
    **changes: object,
) -> list[RecordedDay]:
    """The days as they are on record. `act` is asked after each boundary whether a person gives a command."""
    usual: dict[str, object] = {
        "venue_model": ideal(),
        "environment": Environment.BACKTEST,
        "compute": "one-pass",
    }
    plans = [plan_for(root, data, **(usual | changes)) for data in days]
    instruments = {name: one for plan in plans for name, one in plan.data.instruments.items()}
    journal = MemoryJournal(book="main")
    count = 0

    def closed(_: object) -> None:
        nonlocal count
        count += 1
        given = act(count, replay.shell.state)
        if given is not None:
            replay.shell.decide(
                CommandReceived(
                    at=replay.shell.now(), command_id=f"c{count}", command=given, operator="grace", origin="test"
                )
            )

    with Replay(plans[0], instruments.values(), journal=journal, on_boundary=closed) as replay:
        for plan in plans:
            replay.session(plan)
    events = [event for _, event in journal.read()]
    begins = [at for at, event in enumerate(events) if isinstance(event, SessionOpened)]
    found = []
    for at, (first, plan) in enumerate(zip(begins, plans, strict=True)):
        until = begins[at + 1] if at + 1 < len(begins) else len(events)
        found.append(recorded(plan.data, events[:first], events[first:until]))
    return found


def recorded(data: SessionData, before: Sequence[Event], events: Sequence[Event]) -> RecordedDay:
    """A session from its data and events; `before` are the book's earlier ones."""
    carried: tuple[Carried, ...] = carried_in(fold(list(before), State()), events)
    return RecordedDay(
        record=record_of(events),
        bars=raw_bars(data),
        history=data.warmup.select(list(RAW_SCHEMA)),
        grids=data.grids(),
        carried=carried,
    )


def with_events(day: RecordedDay, events: Sequence[Event]) -> RecordedDay:
    """The same bars under another record."""
    return replace(day, record=record_of(events))


__all__ = ["UNBOUND", "demo_day", "equities", "every_strategy", "forex", "recorded", "replayed", "with_events"]
