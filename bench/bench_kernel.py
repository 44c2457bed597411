"""The kernel alone, on one core: execution reports and new intents a second, through every rule and watch there is.

A book of many symbols is opened and traded by hand: no venue, no disk. `kernel_acks` and `kernel_fills` are steps of
one report each, `kernel_reports` an order's life (one acknowledgement, two executions), `kernel_intents` entries that
are sized, judged by all risk rules and recorded. Beside each stands the machine's own limit for the same work in the
same run: writing what was decided as the journal has it, with nothing decided. Processor time counts, since the machine
may be busy with other things.
"""

import gc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import process_time
from typing import Any

from qmworkbench.domain.candidates import Candidate
from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.events import Event, Input, encode
from qmworkbench.domain.events.market import BoundaryClosed, FrameComputed, Mark, SignalRow
from qmworkbench.domain.events.orders import ExecutionReported, OrderIntended, SubmitObserved
from qmworkbench.domain.events.reconciliation import BrokerConnectionChanged, BrokerSnapshotObserved, Trigger
from qmworkbench.domain.events.session import HealthObserved, PreflightRecorded, RunSpec, ServiceReady, SessionOpened
from qmworkbench.domain.execution import Account, BrokerSnapshot, ExecType, ExecutionReport, SubmitOutcome
from qmworkbench.domain.instruments import us_equity
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import OrdStatus
from qmworkbench.domain.sessions import Environment, Phase, SessionWindow
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.phases import STARTUP_ORDER

OPEN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
SYMBOLS = tuple(f"S{n:03d}" for n in range(30))
D, ZERO = Decimal, Decimal(0)
ROUNDS = 40
LIMITS = Limits(
    max_trades_per_day=10**6,
    max_open_positions=10**4,
    max_submits_per_minute=10**6,
    max_position_qty=None,
    max_strategy_equity_pct=D(100),
    max_symbol_equity_pct=D(100),
)


def _opened() -> Kernel:
    """A session in its market phase, every symbol owned by the one instance, nothing ordered yet."""
    kernel, at = Kernel(), OPEN - timedelta(minutes=10)
    cash = D(10_000_000)
    account = Account(
        currency="USD",
        cash=cash,
        equity=cash,
        buying_power=cash,
        realized_pnl=ZERO,
        fees=ZERO,
        cursor=0,
        as_of=at,
    )
    go: dict[str, Any] = {"verdict": Verdict.GO, "checks_hash": "", "confirmed_by": "policy:unattended"}
    begin: list[Input] = [
        _session(at),
        BrokerConnectionChanged(at=at, connected=True, detail=""),
        PreflightRecorded(at=at, phase="pre-start", **go),
        *(ServiceReady(at=at, service=name, position=n) for n, name in enumerate(STARTUP_ORDER, start=1)),
        HealthObserved(at=at, critical_down=(), clock_skew_ms=0),
        BrokerSnapshotObserved(
            at=at,
            trigger=Trigger.STARTUP,
            snapshot=BrokerSnapshot(complete=True, cursor=0, as_of=at, account=account),
        ),
        PreflightRecorded(at=at, phase="pre-market", **go),
        *_boundary(1, signals=False),
    ]
    for given in begin:
        kernel.step(given)
    assert kernel.state.day.phase is Phase.MARKET_SESSION, kernel.state.day.phase
    assert len(kernel.state.day.owners) == len(SYMBOLS)
    return kernel


def _session(at: datetime) -> SessionOpened:
    window = SessionWindow(
        date="2026-03-02",
        opens_at=OPEN.isoformat(),
        closes_at=(OPEN + timedelta(hours=6.5)).isoformat(),
        interval_s=60,
        regular_boundaries=390,
        half_day=False,
    )
    run = RunSpec(
        strategy_id="bench-1",
        definition_id="bench",
        version="1",
        owner="bench",
        status="experimental",
        asset_classes=("equity",),
        params={},
        params_hash="0" * 16,
        budget_pct=D("0.5"),
        max_symbols=len(SYMBOLS),
    )
    return SessionOpened(
        at=at,
        book="bench",
        session_id="bench-2026-03-02",
        environment=Environment.LOCAL,
        window=window,
        account_currency="USD",
        code_version="bench",
        config_hash="",
        limits=LIMITS,
        limits_hash=LIMITS.content_hash,
        scan_settings={},
        runs=(run,),
        instruments=tuple(us_equity(symbol) for symbol in SYMBOLS),
        data_source="bench",
        data_hash="",
        reference_hash="",
        unattended=True,
        max_candidates=len(SYMBOLS),
        max_owned=len(SYMBOLS),
    )


def _boundary(number: int, *, signals: bool) -> tuple[BoundaryClosed, FrameComputed]:
    at = OPEN + timedelta(minutes=number)
    rows = tuple(
        SignalRow(
            strategy_id="bench-1", symbol=s, close=D("20.00"), entry_long=True, stop_px=D("19.00"), target_px=D("22.00")
        )
        for s in SYMBOLS
    )
    found = tuple(
        Candidate(
            symbol=s,
            rank=n,
            score=1.0,
            last=20.0,
            change=0.05,
            change_basis="open",
            rel_volume=2.0,
            dollar_volume=1e6,
            verdicts=(),
        )
        for n, s in enumerate(SYMBOLS, start=1)
    )
    frame = FrameComputed(
        at=at,
        as_of=at,
        frame_hash="0" * 16,
        radar_hash="",
        candidates=found,
        near_misses=(),
        signals=rows if signals else (),
        marks=tuple(Mark(symbol=s, px=D("20.00"), at=at) for s in SYMBOLS),
    )
    return BoundaryClosed(at=at, frame_hash="0" * 16, rows=len(SYMBOLS), boundary=number), frame


def _ordered() -> tuple[Kernel, list[OrderIntended], float, list[Event]]:
    """A kernel that has just ordered in every symbol: its intents, what deciding on them took, and all its events."""
    kernel = _opened()
    closed, frame = _boundary(2, signals=True)
    kernel.step(closed)
    gc.collect()
    began = process_time()
    events = kernel.step(frame)
    spent = process_time() - began
    intents = [event for event in events if isinstance(event, OrderIntended)]
    assert len(intents) == len(SYMBOLS), f"{len(intents)} of {len(SYMBOLS)} were allowed"
    for intent in intents:
        name = intent.request.cl_ord_id
        kernel.step(SubmitObserved(at=kernel.state.clock(), cl_ord_id=name, outcome=SubmitOutcome.SENT))
    return kernel, intents, spent, events


def _said(kernel: Kernel, intents: Sequence[OrderIntended]) -> tuple[list[ExecutionReported], list[ExecutionReported]]:
    """What a broker says of every order: an acknowledgement each, and two executions each."""
    at, cursor = kernel.state.clock(), 0
    acks, fills = [], []
    for turn in range(3):
        for n, intent in enumerate(intents):
            cursor += 1
            request, half = intent.request, intent.request.order_qty / 2
            first = turn == 0
            report = ExecutionReport(
                cursor=cursor,
                exec_id=f"bench-{cursor:08d}",
                exec_type=ExecType.NEW if first else ExecType.TRADE,
                cl_ord_id=request.cl_ord_id,
                order_id=f"b-{n}",
                symbol=request.symbol,
                side=request.side,
                ord_status=OrdStatus.ACCEPTED if first else OrdStatus.PARTIALLY_FILLED,
                order_qty=request.order_qty,
                cum_qty=turn * half,
                transact_time=at,
                avg_px=ZERO if first else D("20.01"),
                last_qty=ZERO if first else half,
                last_px=ZERO if first else D("20.01"),
                fee=ZERO if first else D("0.05"),
            )
            (acks if first else fills).append(ExecutionReported(at=at, report=report))
    return acks, fills


def _timed(act: Callable[[], object]) -> float:
    began = process_time()
    act()
    return process_time() - began


def _result(bench: str, count: int, ours: float, theirs: float, unit: str) -> dict[str, Any]:
    return {
        "bench": bench,
        "ours": round(count / ours),
        "unit": unit,
        "peer": "writing the same events in the journal's form, nothing decided",
        "theirs": round(count / theirs),
        "ratio": round(theirs / ours, 3),
    }


def run() -> list[dict[str, Any]]:
    """Reports a second by kind, and intents a second; the best of several rounds, each with a kernel of its own."""
    best: dict[str, tuple[float, float]] = {}

    def keep(name: str, ours: float, events: list[Event]) -> None:
        theirs = _timed(lambda: [encode(event) for event in events])
        before = best.get(name, (float("inf"), float("inf")))
        best[name] = (min(before[0], ours), min(before[1], theirs))

    for _ in range(ROUNDS):
        kernel, intents, spent, events = _ordered()
        keep("kernel_intents", spent, events)
        acks, fills = _said(kernel, intents)
        decided: dict[str, list[Event]] = {"kernel_acks": [], "kernel_fills": []}
        gc.collect()
        gc.freeze()
        took = {}
        for name, given in (("kernel_acks", acks), ("kernel_fills", fills)):
            out, step = decided[name], kernel.step
            began = process_time()
            for event in given:
                out += step(event)
            took[name] = process_time() - began
            keep(name, took[name], out)
        keep("kernel_reports", sum(took.values()), decided["kernel_acks"] + decided["kernel_fills"])
        gc.unfreeze()
        assert len(kernel.state.fills) == len(fills)
        assert len(kernel.state.positions) == len(SYMBOLS)
    each = len(SYMBOLS)
    counts = {"kernel_intents": each, "kernel_acks": each, "kernel_fills": 2 * each, "kernel_reports": 3 * each}
    units = {name: "intents/s" if name == "kernel_intents" else "reports/s" for name in counts}
    return [_result(name, counts[name], *best[name], units[name]) for name in counts]
