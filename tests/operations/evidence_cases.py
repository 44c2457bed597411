"""Evidence of a day on which nothing is wrong: each test spoils the one thing it is about."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.domain.execution import Account
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.sessions import Environment
from qmworkbench.operations.evidence import (
    ApiSeen,
    Blocklist,
    BrokerSeen,
    BusSeen,
    ClockSeen,
    Credentials,
    DataSeen,
    Job,
    LeaseSeen,
    LimitsSeen,
    PageSeen,
    PreStartEvidence,
    PreviousSession,
    RetentionSeen,
    StoreSeen,
    StrategySeen,
)
from qmworkbench.operations.health import COMPONENTS
from qmworkbench.operations.lines import Signatures
from qmworkbench.operations.market_evidence import (
    AccountSeen,
    AlertsSeen,
    ComponentSeen,
    EmergencySeen,
    PreMarketEvidence,
    PreOpenSeen,
    ScanWindow,
)
from qmworkbench.operations.post_session_evidence import (
    Blocks,
    ClosedTrades,
    ExecutionPair,
    MoneyLine,
    OrderPair,
    PositionPair,
    PostSessionEvidence,
    Statement,
)
from qmworkbench.trading.phases import STARTUP_ORDER

LIMITS = Limits(blocked_symbols=("GME",))
HASH = LIMITS.content_hash
UNATTENDED_LOCAL = Signatures(environment=Environment.LOCAL, unattended=True)
LIMITS_SEEN = LimitsSeen(
    limits=LIMITS,
    limits_hash=HASH,
    sources={"max_daily_loss": "qm.toml:12"},
    equity=Decimal(100_000),
    currency="USD",
)
DATA = DataSeen(
    source="file:day.parquet",
    approved_sources=("file", "demo"),
    readable=True,
    session_date="2018-03-02",
    symbols=194,
    bars=75_518,
    boundaries=390,
    history_days=9,
    interval_s=60,
    radar_interval_s=60,
    latency_ms=42.0,
    data_hash="ab12",
)
BROKER = BrokerSeen(name="simulated venue", simulated=True, reachable=True, latency_ms=1.0)
STRATEGY = StrategySeen(
    instance_id="orb-1",
    strategy_id="opening_range",
    known=True,
    owner="desk",
    status="experimental",
    version="1",
    params_hash="p1",
    approved_hash="p1",
    needs_history_days=2,
    has_history_days=9,
)
ACCOUNT = Account(
    currency="USD",
    cash=Decimal(100_000),
    equity=Decimal(100_000),
    buying_power=Decimal(100_000),
    realized_pnl=Decimal(0),
    fees=Decimal(0),
    cursor=0,
    as_of=datetime(2018, 3, 2, 14, 0, tzinfo=UTC),
)


MONEY_LINE = MoneyLine(
    ref="sim-1",
    at="2018-03-02T15:00:00+00:00",
    what="trade",
    symbol="AAPL",
    said="sell 100 at 12.34",
    our_realized=Decimal("12.34"),
    their_realized=Decimal("12.34"),
    our_fee=Decimal("0.51"),
    their_fee=Decimal("0.51"),
    their_cash=Decimal("1233.49"),
)

PRE_OPEN = PreOpenSeen(
    wanted=True,
    intended_from="2018-03-02T13:30:00+00:00",
    intended_until="2018-03-02T14:30:00+00:00",
    window_from="2018-03-02T13:30:00+00:00",
    window_until="2018-03-02T14:30:00+00:00",
    used_from="2018-03-02T14:29:00+00:00",
    used_until="2018-03-02T14:30:00+00:00",
    looked_at=194,
    found=("OPK +9.1 %",),
)


def pre_start(**changes: Any) -> PreStartEvidence:
    """A headless local day before its start, with `changes` laid over it."""
    good = PreStartEvidence(
        environment=Environment.LOCAL,
        environment_source="default",
        signatures=UNATTENDED_LOCAL,
        session_id="2018-03-02",
        config_faults=(),
        credentials=Credentials(needed=False),
        data=DATA,
        broker=BROKER,
        page=PageSeen(wanted=False),
        live_armed=False,
        limits=LIMITS_SEEN,
        blocklist=Blocklist(configured=("GME",), in_force=("GME",)),
        bus=BusSeen(kind="in process", reachable=True),
        store=StoreSeen(kind="sqlite", journal_mode="wal", synchronous="FULL", verified=True, records=9, free_mb=9000),
        api=ApiSeen(served=True, starts=True, address="127.0.0.1:8412"),
        jobs=(Job(name="reports", expected=True, enabled=True),),
        lease=LeaseSeen(ours=True),
        previous=PreviousSession(),
        clock=ClockSeen(replay=True),
        retention=RetentionSeen(snapshots_days=30, logs_days=90, bars_days=365),
        strategies=(STRATEGY,),
    )
    return msgspec.structs.replace(good, **changes)


def components(**status: str) -> tuple[ComponentSeen, ...]:
    """The ten components, healthy but for those named."""
    critical = {"store", "execution_broker", "risk_manager", "execution"}
    return tuple(
        ComponentSeen(
            component=name,
            status=status.get(name, "healthy"),
            latency_ms=0.5,
            detail="" if name not in status else "as the test wants it",
            critical=name in critical,
        )
        for name in COMPONENTS
    )


def pre_market(**changes: Any) -> PreMarketEvidence:
    """The same day once it is up, with `changes` laid over it."""
    good = PreMarketEvidence(
        environment=Environment.LOCAL,
        signatures=UNATTENDED_LOCAL,
        session_id="2018-03-02",
        components=components(),
        services=STARTUP_ORDER,
        services_expected=STARTUP_ORDER,
        api=ApiSeen(served=True, starts=True, status_code=200, status="healthy", latency_ms=3.0),
        page=PageSeen(wanted=False),
        account=AccountSeen(account=ACCOUNT, expected_cash=Decimal(100_000), expected_source="the last session"),
        broker=BROKER,
        data=DATA,
        feed_state="good",
        positions=(),
        positions_expected=(),
        orders=(),
        orders_expected=(),
        reconciliation="clean",
        unresolved=(),
        blocklist=Blocklist(configured=("GME",), in_force=("GME",)),
        limits=LIMITS_SEEN,
        kernel_limits_hash=HASH,
        scan_settings={"min_price": 2.0},
        scan_changes=(),
        scan_window=ScanWindow(
            from_at="2018-03-02T14:35:00+00:00",
            until_at="2018-03-02T20:30:00+00:00",
            opens_at="2018-03-02T14:30:00+00:00",
            closes_at="2018-03-02T21:00:00+00:00",
        ),
        pre_open=PRE_OPEN,
        strategies=(STRATEGY,),
        runs=("orb-1",),
        alerts=AlertsSeen(channels=("log", "command center")),
        emergency=EmergencySeen(needed=("command",), paths={"command": 2.0}),
        clock=ClockSeen(replay=True),
    )
    return msgspec.structs.replace(good, **changes)


def ended(**changes: Any) -> PostSessionEvidence:
    """A session with one trade that both sides remember alike, with `changes` laid over it."""
    good = PostSessionEvidence(
        environment=Environment.LOCAL,
        session_id="2018-03-02",
        closed=True,
        phase="closed",
        reconciliation="clean",
        broker="simulated venue",
        orders=(
            OrderPair(
                cl_ord_id="qm-1",
                symbol="OPK",
                sent=True,
                our_status="filled",
                our_cum_qty=Decimal(100),
                their_status="filled",
                their_cum_qty=Decimal(100),
            ),
            OrderPair(cl_ord_id="qm-2", symbol="GME", sent=False, our_status="denied", our_cum_qty=Decimal(0)),
        ),
        executions=(ExecutionPair(exec_id="e1", symbol="OPK", ours="OPK buy 100 at 3", theirs="OPK buy 100 at 3"),),
        positions=(),
        money_lines=(MONEY_LINE,),
        statement=Statement(
            currency="USD",
            our_realized=Decimal("12.345"),
            their_realized=Decimal("12.345"),
            our_fees=Decimal("0.5"),
            their_fees=Decimal("0.5"),
            our_equity=Decimal("100011.845"),
            their_equity=Decimal("100011.845"),
        ),
        blocks=Blocks(updates=1, permanent=("GME",)),
        closed_trades=ClosedTrades(trades=1, net_pnl=Decimal("11.845"), from_fills=Decimal("11.845")),
        recommendations=0,
        recommendations_scheduled=True,
        journal_verified=True,
        records=1234,
        runs_open=(),
        runs=2,
        breaks=(),
        halts=(),
        findings=(),
        audited=4,
    )
    return msgspec.structs.replace(good, **changes)


CARRIED = PositionPair(symbol="USDJPY", our_qty=Decimal(1000), their_qty=Decimal(1000), carried=True)
