"""The preflight: a clean day is GO, and each single fault turns exactly its own line."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.sessions import Environment
from qmworkbench.operations.evidence import (
    ApiSeen,
    Blocklist,
    BrokerSeen,
    BusSeen,
    ClockSeen,
    ConfigFault,
    Credentials,
    DataFault,
    Job,
    LeaseSeen,
    LimitsSeen,
    PageSeen,
    PreStartEvidence,
    PreviousSession,
    RetentionSeen,
    StoreSeen,
)
from qmworkbench.operations.lines import UNATTENDED, Confirmation, Signatures
from qmworkbench.operations.market_evidence import (
    AccountSeen,
    AlertsSeen,
    EmergencySeen,
    Holding,
    PreMarketEvidence,
    PreOpenSeen,
    ScanWindow,
)
from qmworkbench.operations.preflight import (
    FIVE_ITEMS,
    PreflightPhase,
    PreflightRecord,
    checks_hash,
    evidence_hash,
    item_status,
    preflight,
)
from tests.operations.evidence_cases import (
    ACCOUNT,
    BROKER,
    DATA,
    HASH,
    LIMITS,
    LIMITS_SEEN,
    PRE_OPEN,
    STRATEGY,
    components,
    pre_market,
    pre_start,
)

PRE_START, PRE_MARKET = PreflightPhase.PRE_START, PreflightPhase.PRE_MARKET
CLEAN = frozenset({CheckStatus.PASS, CheckStatus.NOT_APPLICABLE})
replace = msgspec.structs.replace


def failed(checks: list[Check]) -> list[str]:
    return [check.check_id for check in checks if check.status is CheckStatus.FAIL]


def warned(checks: list[Check]) -> list[str]:
    return [check.check_id for check in checks if check.status is CheckStatus.WARN]


def the(checks: list[Check], check_id: str) -> Check:
    return next(check for check in checks if check.check_id == check_id)


def test_a_clean_unattended_local_day_is_go_and_says_who_signed() -> None:
    before, market = preflight(PRE_START, pre_start()), preflight(PRE_MARKET, pre_market())
    for checks in (before, market):
        assert verdict_of(checks) is Verdict.GO
        assert {check.status for check in checks} <= CLEAN
        assert len({check.check_id for check in checks}) == len(checks)
    assert the(before, "preflight.max_daily_loss").confirmed_by == UNATTENDED
    assert the(market, "premarket.scanner_settings").confirmed_by == UNATTENDED


def test_what_does_not_exist_here_says_why_and_is_no_pass() -> None:
    checks = preflight(PRE_START, pre_start())
    for check_id, word in (("preflight.redis", "in process"), ("preflight.postgresql", "sqlite")):
        check = the(checks, check_id)
        assert check.status is CheckStatus.NOT_APPLICABLE
        assert word in check.detail


def test_no_check_without_its_remedy_and_no_pass_with_one() -> None:
    spoiled = preflight(PRE_START, pre_start(previous=PreviousSession(alerts=("P1 feed",)), limits=None))
    for check in spoiled:
        wanting = check.status in (CheckStatus.FAIL, CheckStatus.WARN)
        assert bool(check.remedy) is wanting, check


@dataclass(frozen=True)
class Case:
    """`change` spoils one thing; `fails` are the lines that must fail, `warns` those that must warn, and no others."""

    name: str
    change: dict[str, Any]
    fails: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()
    says: str = ""


def _limits(**changes: Any) -> LimitsSeen:
    limits = Limits(**({"blocked_symbols": ("GME",)} | changes))
    return LimitsSeen(limits=limits, limits_hash=limits.content_hash, equity=Decimal(100_000), currency="USD")


FAULT = ConfigFault(
    key="limits.max_daly_loss", value="5", source="qm.toml:7", problem="is not a setting", remedy="did you mean …"
)
QUARANTINED = DataFault(code="negative_price", severity="quarantine", rows=3, message="3 rows", remedy="check the sign")
REFUSED = DataFault(code="naive_timestamp", severity="refuse", rows=0, message="no zone", remedy="say which zone")

BEFORE = [
    Case("unknown key", {"config_faults": (FAULT,)}, ("preflight.configuration",), says="qm.toml:7"),
    Case(
        "no limits",
        {"limits": None},
        (
            "preflight.max_daily_loss",
            "preflight.max_position_size",
            "preflight.max_trades",
            "preflight.limits_approved",
            "preflight.data_latency",
        ),
    ),
    Case("no credentials", {"credentials": Credentials(needed=True)}, ("preflight.credentials",)),
    Case(
        "another environment's key",
        {"credentials": Credentials(needed=True, fingerprint="PK…7F", belongs_to="live")},
        ("preflight.credentials",),
        says="live",
    ),
    Case("provider not approved", {"data": replace(DATA, source="rumour:x")}, ("preflight.data_provider",)),
    Case("a real broker", {"broker": replace(BROKER, simulated=False)}, ("preflight.execution_broker",)),
    Case("broker silent", {"broker": replace(BROKER, reachable=False)}, ("preflight.broker_reachable",)),
    Case("page of another mode", {"page": PageSeen(wanted=True, shown_mode="live")}, ("preflight.mode_shown",)),
    Case("armed by accident", {"live_armed": True}, ("preflight.live_intent",)),
    Case(
        "loss limit beyond equity", {"limits": _limits(max_daily_loss=Decimal(100_000))}, ("preflight.max_daily_loss",)
    ),
    Case(
        "loss limit very wide", {"limits": _limits(max_daily_loss=Decimal(20_000))}, (), ("preflight.max_daily_loss",)
    ),
    Case("no trade allowed", {"limits": _limits(max_trades_per_day=0)}, (), ("preflight.max_trades",)),
    Case(
        "size beyond equity",
        {"limits": _limits(max_position_notional=Decimal(200_000))},
        (),
        ("preflight.max_position_size",),
    ),
    Case(
        "a share of equity that binds before the amount",
        {"limits": _limits(max_daily_loss_pct=Decimal("0.5"))},
        (),
        ("preflight.max_daily_loss",),
    ),
    Case(
        "size that the share of equity never allows",
        {"limits": _limits(max_position_notional=Decimal(15_001))},
        (),
        ("preflight.max_position_size",),
        says="never binds",
    ),
    Case(
        "limits that nobody signed so",
        {"limits": _limits(approved_by="ann", approved_hash="0123456789abcdef")},
        ("preflight.limits_approved",),
        says="ann signed 0123456789abcdef",
    ),
    Case(
        "limits changed under the old version",
        {"limits": replace(_limits(), before=Limits(max_trades_per_day=31, blocked_symbols=("GME",)))},
        (),
        ("preflight.limits_approved",),
        says="max_trades_per_day 31 -> 30",
    ),
    Case("a block is lost", {"blocklist": Blocklist(recorded=("AMC",))}, ("preflight.blocked_list",), says="AMC"),
    Case("redis away", {"bus": BusSeen(kind="redis", reachable=False)}, ("preflight.redis",)),
    Case(
        "postgres away",
        {"store": StoreSeen(kind="postgresql", synchronous="on", reachable=False, verified=True)},
        ("preflight.postgresql",),
    ),
    Case(
        "rollback journal",
        {"store": StoreSeen(kind="sqlite", journal_mode="delete", synchronous="FULL", verified=True)},
        ("preflight.store_durable",),
        says="delete",
    ),
    Case(
        "fast but forgetful",
        {"store": StoreSeen(kind="sqlite", journal_mode="wal", synchronous="NORMAL", verified=True)},
        ("preflight.store_durable",),
    ),
    Case(
        "edited journal",
        {"store": StoreSeen(kind="sqlite", journal_mode="wal", synchronous="FULL", verified=False, detail="record 7")},
        ("preflight.journal_verified",),
        says="record 7",
    ),
    Case(
        "journal not walked",
        {"store": StoreSeen(kind="sqlite", journal_mode="wal", synchronous="FULL")},
        ("preflight.journal_verified",),
    ),
    Case(
        "disk full",
        {"store": StoreSeen(kind="sqlite", journal_mode="wal", synchronous="FULL", verified=True, free_mb=3)},
        ("preflight.disk_space",),
    ),
    Case("port taken", {"api": ApiSeen(served=True, detail="address in use")}, ("preflight.api_starts",)),
    Case("job off", {"jobs": (Job(name="reports", expected=True, enabled=False),)}, ("preflight.background_jobs",)),
    Case("held elsewhere", {"lease": LeaseSeen(ours=False, holder="process 12")}, ("preflight.no_stuck_processes",)),
    Case("left over", {"lease": LeaseSeen(ours=True, leftovers=("process 9",))}, ("preflight.no_stuck_processes",)),
    Case("slow data", {"data": replace(DATA, latency_ms=200_000.0)}, ("preflight.data_latency",)),
    Case("rows set aside", {"data": replace(DATA, faults=(QUARANTINED,))}, (), ("preflight.data_usable",)),
    Case(
        "file refused",
        {"data": replace(DATA, readable=False, latency_ms=None, faults=(REFUSED,))},
        ("preflight.data_usable", "preflight.data_latency", "preflight.radar_timing"),
    ),
    Case("clock off", {"clock": ClockSeen(replay=False, offset_ms=900.0, source="ntp")}, ("preflight.clock",)),
    Case("clock behind", {"clock": ClockSeen(replay=False, offset_ms=-501.0, source="ntp")}, ("preflight.clock",)),
    Case("clock unknown", {"clock": ClockSeen(replay=False)}, ("preflight.clock",)),
    Case("radar at another pace", {"data": replace(DATA, radar_interval_s=300)}, ("preflight.radar_timing",)),
    Case(
        "nothing kept",
        {"retention": RetentionSeen(snapshots_days=0, logs_days=1, bars_days=1)},
        ("preflight.retention",),
    ),
    Case("gaps", {"previous": PreviousSession(gaps=2)}, ("preflight.control_summary",)),
    Case("halted book", {"previous": PreviousSession(trading_state="reducing")}, (), ("preflight.control_summary",)),
    Case(
        "session left open",
        {"previous": PreviousSession(session_id="2018-03-01", closed=False, open_runs=("2018-03-01/orb-1",))},
        ("preflight.previous_session", "preflight.residual_runs"),
    ),
    Case(
        "break left open",
        {"previous": PreviousSession(unresolved=("OPK position",))},
        (),
        ("preflight.open_questions",),
    ),
    Case("nothing scheduled", {"strategies": ()}, ("preflight.strategies_ready",)),
    Case("unknown strategy", {"strategies": (replace(STRATEGY, known=False),)}, ("preflight.strategies_ready",)),
    Case("retired", {"strategies": (replace(STRATEGY, status="retired"),)}, ("preflight.strategies_ready",)),
    Case("promotion pending", {"strategies": (replace(STRATEGY, pending="gate 2"),)}, ("preflight.strategies_ready",)),
    Case("wrong market", {"strategies": (replace(STRATEGY, fits_market=False),)}, ("preflight.strategies_ready",)),
    Case("thin history", {"strategies": (replace(STRATEGY, has_history_days=1),)}, (), ("preflight.strategies_ready",)),
]

MARKET = [
    Case("service missing", {"services": ("config", "store")}, ("startup.services",), says="bus"),
    Case("services out of order", {"services": tuple(reversed(pre_market().services))}, ("startup.services",)),
    Case("api down", {"api": ApiSeen(served=True)}, ("startup.api_health",)),
    Case("api unhealthy", {"api": ApiSeen(served=True, status_code=503, status="failed")}, ("startup.api_health",)),
    Case(
        "api degraded", {"api": ApiSeen(served=True, status_code=200, status="degraded")}, (), ("startup.api_health",)
    ),
    Case("page down", {"page": PageSeen(wanted=True, loads=False)}, (), ("startup.page",)),
    Case(
        "no account",
        {"account": AccountSeen(account=None)},
        (
            "health.account_summary",
            "premarket.buying_power",
            "premarket.equity_and_cash",
        ),
    ),
    Case("feed stale", {"feed_state": "stale"}, ("startup.data_broker",)),
    Case("feed stale at the last session's end", {"feed_state": "not heard yet"}, ()),
    Case("data down", {"components": components(market_data="failed")}, ("startup.data_broker", "health.all_green")),
    Case("analytics slow", {"components": components(analytics="degraded")}, (), ("health.all_green",)),
    Case("scanner down", {"components": components(scanner="degraded")}, ("startup.scanner",), ("health.all_green",)),
    Case(
        "broker away",
        {"components": components(execution_broker="failed")},
        (
            "health.execution_broker",
            "health.all_green",
        ),
    ),
    Case(
        "risk degraded",
        {"components": components(risk_manager="degraded")},
        (
            "health.risk_manager",
            "health.all_green",
        ),
    ),
    Case("component silent", {"components": components()[1:]}, ("health.all_green",), says="api"),
    Case(
        "other limits in the kernel",
        {"kernel_limits_hash": "feed"},
        ("health.risk_manager",),
        says="not the configured",
    ),
    Case("not reconciled", {"reconciliation": ""}, ("health.reconciled",)),
    Case("incomplete", {"reconciliation": "incomplete"}, ("health.reconciled",)),
    Case("repaired", {"reconciliation": "repaired"}, (), ("health.reconciled",)),
    Case("unresolved", {"unresolved": ("OPK",)}, ("health.reconciled",)),
    Case("no run", {"runs": ()}, ("startup.runs",)),
    Case("clock off", {"clock": ClockSeen(replay=False, offset_ms=1e6, source="ntp")}, ("health.clock",)),
    Case(
        "more buying power than leverage",
        {"account": AccountSeen(account=replace(ACCOUNT, buying_power=Decimal(400_000)))},
        ("premarket.buying_power",),
    ),
    Case(
        "no buying power",
        {"account": AccountSeen(account=replace(ACCOUNT, buying_power=Decimal(0)))},
        ("premarket.buying_power",),
    ),
    Case(
        "equity does not add up",
        {"account": AccountSeen(account=replace(ACCOUNT, cash=Decimal(90_000)))},
        ("premarket.equity_and_cash",),
    ),
    Case(
        "cash moved overnight",
        {"account": AccountSeen(account=ACCOUNT, expected_cash=Decimal(99_000), expected_source="2018-03-01")},
        ("premarket.equity_and_cash",),
        says="1,000.00",
    ),
    Case("stray position", {"positions": (Holding("OPK", Decimal(5)),)}, ("premarket.positions",), says="OPK: 5"),
    Case("carry is gone", {"positions_expected": (Holding("OPK", Decimal(5)),)}, ("premarket.positions",)),
    Case("positions unread", {"positions": None}, ("premarket.positions",)),
    Case("stray order", {"orders": (Holding("x-1", Decimal(5)),)}, ("premarket.orders",)),
    Case("scanner changed", {"scan_changes": ("min_price 2 → 1",)}, (), ("premarket.scanner_settings",)),
    Case(
        "parameters differ",
        {"strategies": (replace(STRATEGY, params_hash="p2", changed=("bars: 15 → 5 (qm.toml:31)",)),)},
        (),
        ("premarket.strategy_parameters",),
        says="qm.toml:31",
    ),
    Case("nobody hears", {"alerts": AlertsSeen(channels=())}, ("premarket.alerts",)),
    Case("half deaf", {"alerts": AlertsSeen(channels=("log",), missing=("max_daily_loss",))}, ("premarket.alerts",)),
    Case(
        "no emergency",
        {"emergency": EmergencySeen(needed=("command",), failed={"command": "refused"})},
        ("premarket.emergency",),
    ),
    Case(
        "the needed path failed",
        {"emergency": EmergencySeen(needed=("command",), paths={"api": 1.0}, failed={"command": "no"})},
        ("premarket.emergency",),
    ),
    Case("emergency not tried", {"emergency": EmergencySeen(needed=("command",))}, ("premarket.emergency",)),
    Case(
        "one path of two",
        {"emergency": EmergencySeen(needed=("command",), paths={"command": 1.0}, failed={"direct": "no"})},
        (),
        ("premarket.emergency",),
    ),
    Case(
        "no time to scan",
        {"scan_window": ScanWindow(from_at="15", until_at="14", opens_at="13", closes_at="20")},
        ("premarket.scan_window",),
    ),
    Case(
        "scan before the open",
        {"scan_window": ScanWindow(from_at="12", until_at="14", opens_at="13", closes_at="20")},
        ("premarket.scan_window",),
    ),
    Case("no scan before the open is wanted", {"pre_open": PreOpenSeen(wanted=False)}, ()),
    Case(
        "the scan before the open never ran",
        {"pre_open": replace(PRE_OPEN, window_from="", window_until="", used_from="", used_until="")},
        ("premarket.pre_open_scan",),
    ),
    Case(
        "scanned over another window than configured",
        {"pre_open": replace(PRE_OPEN, window_from="2018-03-02T12:30:00+00:00")},
        ("premarket.pre_open_scan",),
    ),
    Case(
        "scanned bars outside its window",
        {"pre_open": replace(PRE_OPEN, used_until="2018-03-02T14:31:00+00:00")},
        ("premarket.pre_open_scan",),
    ),
    Case("scanned an empty window", {"pre_open": replace(PRE_OPEN, used_from="", used_until="")}, ()),
    Case("decision waiting", {"decisions_waiting": ("liquidate?",)}, ("premarket.trading_state",)),
    Case("halted", {"trading_state": "halted", "halt_reason": "emergency"}, (), ("premarket.trading_state",)),
    Case("blocked symbol free", {"blocklist": Blocklist(configured=("GME",))}, ("premarket.blocked_list",)),
]


@pytest.mark.parametrize(
    ("phase", "make", "case"),
    [pytest.param(PRE_START, pre_start, case, id=f"pre-start: {case.name}") for case in BEFORE]
    + [pytest.param(PRE_MARKET, pre_market, case, id=f"pre-market: {case.name}") for case in MARKET],
)
def test_one_fault_turns_its_own_line_and_no_other(
    phase: PreflightPhase, make: Callable[..., PreStartEvidence | PreMarketEvidence], case: Case
) -> None:
    checks = preflight(phase, make(**case.change))  # type: ignore[call-overload]
    assert sorted(failed(checks)) == sorted(case.fails)
    assert sorted(warned(checks)) == sorted(case.warns)
    assert verdict_of(checks) is (Verdict.NO_GO if case.fails else Verdict.GO)
    turned = [check for check in checks if check.check_id in (*case.fails, *case.warns)]
    assert case.says in " ".join(f"{check.value} {check.detail}" for check in turned)


def test_a_session_being_resumed_is_no_residue() -> None:
    previous = PreviousSession(session_id="2018-03-02", closed=False, resuming=True, open_runs=("2018-03-02/orb-1",))
    assert failed(preflight(PRE_START, pre_start(previous=previous))) == []


@pytest.mark.parametrize("environment", [Environment.PAPER, Environment.LIVE])
def test_paper_and_live_are_never_signed_by_a_policy(environment: Environment) -> None:
    nobody = Signatures(environment=environment, unattended=True)
    seen = pre_start(
        environment=environment,
        signatures=nobody,
        broker=BrokerSeen(name="alpaca", simulated=False, reachable=True),
        credentials=Credentials(needed=True, fingerprint="k", belongs_to=environment.value),
        live_armed=environment is Environment.LIVE,
        strategies=(replace(STRATEGY, status="live-approved"),),
    )
    unsigned = failed(preflight(PRE_START, seen))
    assert "preflight.environment" in unsigned
    assert "preflight.max_daily_loss" in unsigned
    given = tuple(
        Confirmation(check_id=name, by="ada", at="2018-03-02T13:00:00Z", saw="as agreed") for name in unsigned
    )
    signed = preflight(PRE_START, replace(seen, signatures=replace(nobody, unattended=False, confirmations=given)))
    assert failed(signed) == []
    assert the(signed, "preflight.environment").confirmed_by == "ada"
    assert "as agreed" in the(signed, "preflight.environment").detail


def test_a_person_cannot_sign_away_what_the_machine_saw() -> None:
    sure = Confirmation(check_id="preflight.execution_broker", by="ada", at="t", saw="all good")
    signatures = Signatures(environment=Environment.LOCAL, unattended=False, confirmations=(sure,))
    seen = pre_start(signatures=signatures, broker=replace(BROKER, simulated=False))
    assert "preflight.execution_broker" in failed(preflight(PRE_START, seen))


def test_paper_takes_only_approved_strategies_and_parameters() -> None:
    someone = Signatures(environment=Environment.PAPER, unattended=False)
    seen = pre_market(environment=Environment.PAPER, signatures=someone)
    assert "premarket.strategies_ready" in failed(preflight(PRE_MARKET, seen))
    tuned = replace(STRATEGY, status="paper-approved", params_hash="p2")
    seen = pre_market(environment=Environment.PAPER, signatures=someone, strategies=(tuned,))
    checks = preflight(PRE_MARKET, seen)
    assert "premarket.strategies_ready" not in failed(checks)
    assert the(checks, "premarket.strategy_parameters").status is CheckStatus.FAIL


def test_the_other_phases_evidence_is_refused() -> None:
    with pytest.raises(TypeError, match="gather the evidence of its own phase"):
        preflight(PRE_START, pre_market())  # type: ignore[arg-type]


def test_the_five_items_name_checks_that_exist_and_take_the_worst() -> None:
    checks = [*preflight(PRE_START, pre_start()), *preflight(PRE_MARKET, pre_market())]
    made = {check.check_id for check in checks}
    assert [item.number for item in FIVE_ITEMS] == [1, 2, 3, 4, 5]
    assert all(set(item.check_ids) <= made for item in FIVE_ITEMS)
    assert item_status(FIVE_ITEMS[2], checks) is CheckStatus.PASS
    spoiled = preflight(PRE_START, pre_start(previous=PreviousSession(session_id="x", closed=False)))
    assert item_status(FIVE_ITEMS[3], spoiled) is CheckStatus.FAIL
    assert item_status(FIVE_ITEMS[0], []) is None


def test_the_hash_in_the_decisions_knows_no_fact_of_the_machine() -> None:
    fast, slow = (preflight(PRE_START, pre_start(data=replace(DATA, latency_ms=ms))) for ms in (1.0, 2.0))
    assert checks_hash(fast) == checks_hash(slow)
    assert evidence_hash(fast) != evidence_hash(slow)
    late = preflight(PRE_START, pre_start(data=replace(DATA, latency_ms=1e9)))
    assert checks_hash(late) != checks_hash(fast)


def test_a_record_tells_verdict_failures_and_signatures_and_survives_json() -> None:
    record = PreflightRecord(
        phase=PRE_START,
        session_id="2018-03-02",
        environment="local",
        taken_at="2018-03-02T13:00:00Z",
        seconds=0.1,
        checks=tuple(preflight(PRE_START, pre_start(live_armed=True))),
    )
    assert (record.verdict, record.failed) == (Verdict.NO_GO, ("preflight.live_intent",))
    assert record.confirmed_by == UNATTENDED
    assert msgspec.json.decode(msgspec.json.encode(record), type=PreflightRecord) == record


# --- properties --------------------------------------------------------------------------------------------------

_STATUSES = st.sampled_from(list(CheckStatus))


def _check(status: CheckStatus) -> Check:
    return Check(check_id="x", section="", title="", status=status, looked_at="", value="", expectation="")


@given(st.lists(_STATUSES, max_size=12))
def test_any_failure_is_no_go_and_nothing_looked_at_is_incomplete(statuses: list[CheckStatus]) -> None:
    verdict = verdict_of([_check(status) for status in statuses])
    if not statuses:
        assert verdict is Verdict.INCOMPLETE
    elif CheckStatus.FAIL in statuses:
        assert verdict is Verdict.NO_GO
    else:
        assert verdict is Verdict.GO


@given(st.lists(st.sampled_from(BEFORE), max_size=6, unique_by=lambda case: case.name))
def test_faults_together_never_hide_one_another(cases: list[Case]) -> None:
    change: dict[str, Any] = {}
    kept = []
    for case in cases:
        if change.keys().isdisjoint(case.change):
            change |= case.change
            kept.append(case)
    checks = preflight(PRE_START, pre_start(**change))
    for case in kept:
        assert set(case.fails) <= set(failed(checks))
    assert {check.check_id for check in checks} == {check.check_id for check in preflight(PRE_START, pre_start())}


@given(st.decimals(min_value=1, max_value=10**7, places=2), st.decimals(min_value=1, max_value=10**7, places=2))
def test_a_daily_loss_that_cannot_bite_never_passes(loss: Decimal, equity: Decimal) -> None:
    seen = LimitsSeen(limits=replace(LIMITS, max_daily_loss=loss), limits_hash=HASH, equity=equity, currency="USD")
    status = the(preflight(PRE_START, pre_start(limits=seen)), "preflight.max_daily_loss").status
    if loss >= equity:
        assert status is CheckStatus.FAIL
    else:
        assert status is (CheckStatus.WARN if loss / equity > Decimal("0.1") else CheckStatus.PASS)


@given(
    st.dictionaries(st.sampled_from("ABCDE"), st.integers(-3, 3)),
    st.dictionaries(st.sampled_from("ABCDE"), st.integers(-3, 3)),
)
def test_positions_pass_exactly_when_both_sides_are_the_same(theirs: dict[str, int], ours: dict[str, int]) -> None:
    seen = pre_market(
        positions=tuple(Holding(name, Decimal(qty)) for name, qty in theirs.items()),
        positions_expected=tuple(Holding(name, Decimal(qty)) for name, qty in ours.items()),
    )
    status = the(preflight(PRE_MARKET, seen), "premarket.positions").status
    assert status is (CheckStatus.PASS if theirs == ours else CheckStatus.FAIL)


def test_limits_seen_are_what_the_cases_say() -> None:
    assert LIMITS_SEEN.limits_hash == LIMITS.content_hash


def _approved(limits: LimitsSeen) -> tuple[CheckStatus, str, str]:
    checks = preflight(PRE_START, pre_start(limits=limits))
    check = the(checks, "preflight.limits_approved")
    return check.status, check.value, check.detail


def test_signed_limits_pass_as_signed_and_a_change_under_a_new_version_is_told() -> None:
    seen = _limits()
    signed = replace(seen, limits=replace(seen.limits, approved_by="ann", approved_hash=seen.limits_hash))
    assert _approved(signed)[0] is CheckStatus.PASS
    assert _approved(signed)[1] == f"version 1, {seen.limits_hash}, signed by ann"
    newer = replace(seen, limits=replace(seen.limits, version=2), before=replace(seen.limits, max_open_positions=9))
    status, value, detail = _approved(newer)
    assert status is CheckStatus.PASS
    assert value.startswith("version 2, ")
    assert value.endswith(", signed by nobody")
    assert detail == "changed since the last session: max_open_positions 9 -> 10"
    assert _approved(replace(seen, before=seen.limits))[2] == "as in the last session"
    assert _approved(seen)[2] == "the book's first session"
