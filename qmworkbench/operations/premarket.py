"""Pre-market validation: account, exposure, settings, alerts, the emergency control (§8, §23)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from qmworkbench.domain.checks import Check
from qmworkbench.domain.numbers import CENT, cents
from qmworkbench.operations.lines import Line, listed, several
from qmworkbench.operations.manifest_items import parameters_check, strategies_ready
from qmworkbench.operations.market_evidence import Holding, PreMarketEvidence
from qmworkbench.operations.prestart import blocked_list

_SECTION: Final = "§8 Pre-Market Validation"

BUYING_POWER = Line(
    check_id="premarket.buying_power",
    section=_SECTION,
    title="Buying power is right",
    looked_at="the broker's statement",
    expectation="above zero, and no more than equity times the account's leverage",
    remedy="compare with the broker's own page; an account that is restricted must not trade",
)
EQUITY_AND_CASH = Line(
    check_id="premarket.equity_and_cash",
    section=_SECTION,
    title="Equity and cash are right",
    looked_at="the broker's statement against our books",
    expectation="equity is cash plus positions, and cash is what our books left it at",
    remedy="look for transfers, fees or dividends since the last session; then record what you found",
)
NO_UNEXPECTED_POSITIONS = Line(
    check_id="premarket.positions",
    section=f"{_SECTION}; §23",
    title="No unexpected position is open",
    looked_at="the broker's positions against expected carries",
    expectation="exactly what was carried",
    remedy="find out whose it is before trading; `qm reconcile` shows both sides",
)
NO_UNEXPECTED_ORDERS = Line(
    check_id="premarket.orders",
    section=f"{_SECTION}; §6; §23",
    title="No unexpected order is resting",
    looked_at="the broker's open orders against expected ones",
    expectation="exactly the resting exits of carried positions",
    remedy="cancel it at the broker if nobody knows it; then reconcile",
)
BLOCKED_LIST = Line(
    check_id="premarket.blocked_list",
    section=_SECTION,
    title="The blocked list is right",
    looked_at="blocks in force in the running session",
    expectation="every symbol of the limits and every permanent block",
    remedy="block it now with `qm block`; report why it was missing",
)
SCANNER_SETTINGS = Line(
    check_id="premarket.scanner_settings",
    section=_SECTION,
    title="The scanner settings are right",
    looked_at="settings in force against the last session's",
    expectation="as intended; changes are known",
    remedy="correct the scan section of qm.toml",
)
STRATEGY_PARAMETERS = Line(
    check_id="premarket.strategy_parameters",
    section=_SECTION,
    title="The strategy parameters are right",
    looked_at="parameter hash of each run against the approved one",
    expectation="the approved set, or a difference somebody knows of",
    remedy="remove the parameters from qm.toml, or have the owner approve them",
)
STRATEGIES_READY = Line(
    check_id="premarket.strategies_ready",
    section="M: Pre-Flight 5",
    title="The scheduled strategies are ready",
    looked_at="catalog, promotions, history",
    expectation="known, of a status this environment takes, nothing pending",
    remedy="see which one is not, and either complete it or take it out of the schedule",
)
ALERTS_ENABLED = Line(
    check_id="premarket.alerts",
    section=_SECTION,
    title="Alerts are enabled",
    looked_at="where each kind of alert goes",
    expectation="every kind of §20 reaches a screen or a person",
    remedy="enable the missing kinds; an alert nobody hears is none",
)
EMERGENCY_READY = Line(
    check_id="premarket.emergency",
    section=f"{_SECTION}; §23",
    title="Emergency Liquidate & Halt is available",
    looked_at="its command path, tried without effect",
    expectation="each way to trigger it answers",
    remedy="do not trade without it: repair the failing path",
)
SCAN_WINDOW = Line(
    check_id="premarket.scan_window",
    section=f"{_SECTION} (scheduled scanning)",
    title="Scanning uses the intended time window",
    looked_at="scan window within the session's hours",
    expectation="a window inside the session, with time in it",
    remedy="correct scan.window_open_min and window_close_min in qm.toml",
)
PRE_OPEN_SCAN = Line(
    check_id="premarket.pre_open_scan",
    section=f"{_SECTION} (scheduled scanning)",
    title="The scan before the open used its window",
    looked_at="the window it used against the configured one",
    expectation="scanned, over bars inside the configured window and no others",
    remedy="correct scan.pre_open_from_min and pre_open_until_min in qm.toml, then start the day again",
)
ACTIVE = Line(
    check_id="premarket.trading_state",
    section="§23 Safe To Start; M: Pre-Flight 1",
    title="Nothing holds trading back",
    looked_at="trading state and required decisions",
    expectation="active, no decision waiting",
    remedy="answer the open decision; leave a halt with `qm resume` once a reconciliation has passed",
)


def market_checks(seen: PreMarketEvidence) -> list[Check]:
    """§8, and what §23 asks beyond it."""
    return [
        _buying_power(seen),
        _equity_and_cash(seen),
        _expected(NO_UNEXPECTED_POSITIONS, seen.positions, seen.positions_expected, "held by the broker"),
        _expected(NO_UNEXPECTED_ORDERS, seen.orders, seen.orders_expected, "resting at the broker"),
        blocked_list(BLOCKED_LIST, seen.blocklist),
        _scanner_settings(seen),
        parameters_check(STRATEGY_PARAMETERS, seen.strategies, seen.environment, seen.signatures),
        strategies_ready(STRATEGIES_READY, seen.strategies, seen.environment),
        _alerts(seen),
        _emergency(seen),
        _scan_window(seen),
        _pre_open(seen),
        _active(seen),
    ]


def _buying_power(seen: PreMarketEvidence) -> Check:
    account = seen.account.account
    if account is None:
        return BUYING_POWER.not_looked_at("the account summary did not load")
    most = account.equity * seen.account.leverage
    value = f"{account.buying_power:,.2f} {account.currency}"
    holds = 0 < account.buying_power <= most + CENT
    check = BUYING_POWER.judged(
        holds,
        value,
        threshold=f"{most:,.2f} {account.currency}",
        threshold_source=f"equity × leverage {seen.account.leverage}",
    )
    return BUYING_POWER.signed(check, seen.signatures)


def _equity_and_cash(seen: PreMarketEvidence) -> Check:
    account = seen.account.account
    if account is None:
        return EQUITY_AND_CASH.not_looked_at("the account summary did not load")
    value = f"equity {account.equity:,.2f}, cash {account.cash:,.2f} {account.currency}"
    # Foreign positions are marked at rates that move within the statement: a cent for each side is allowed.
    apart = account.equity - account.cash - account.positions_value
    if abs(apart) > CENT and abs(account.equity - account.cash - account.unrealized_pnl) > CENT:
        return EQUITY_AND_CASH.judged(False, value, detail=f"equity is {cents(apart):+,} off cash plus positions")
    expected = seen.account.expected_cash
    if expected is None:
        detail = "no earlier session of this book to compare with"
        return EQUITY_AND_CASH.signed(EQUITY_AND_CASH.judged(True, value, detail=detail), seen.signatures)
    moved = account.cash - expected
    check = EQUITY_AND_CASH.judged(
        abs(moved) <= CENT,
        value,
        threshold=f"cash {cents(expected):,}",
        threshold_source=seen.account.expected_source,
        detail="" if abs(moved) <= CENT else f"cash moved by {cents(moved):+,} outside our sessions",
    )
    return EQUITY_AND_CASH.signed(check, seen.signatures)


def _expected(line: Line, found: Sequence[Holding] | None, expected: Sequence[Holding], where: str) -> Check:
    if found is None:
        return line.not_looked_at("the broker was not read whole")
    theirs, ours = _by_name(found), _by_name(expected)
    odd = [
        f"{name}: {theirs.get(name, Decimal(0))} {where}, {ours.get(name, Decimal(0))} expected"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    ]
    value = f"{len(theirs)} {where}" if theirs else f"none {where}"
    return line.judged(not odd, value, detail="; ".join(odd[:6]) or (f"as expected: {listed(ours)}" if ours else ""))


def _by_name(holdings: Sequence[Holding]) -> dict[str, Decimal]:
    return {holding.name: holding.qty for holding in holdings}


def _scanner_settings(seen: PreMarketEvidence) -> Check:
    shown = ", ".join(f"{name} {_plain(value)}" for name, value in seen.scan_settings.items())
    if seen.scan_changes:
        check = SCANNER_SETTINGS.warned(shown, f"changed since the last session: {listed(seen.scan_changes)}")
    else:
        check = SCANNER_SETTINGS.judged(bool(seen.scan_settings), shown or "none in force")
    return SCANNER_SETTINGS.signed(check, seen.signatures)


def _plain(value: object) -> str:
    if value is None:
        return "off"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return str(value)


def _alerts(seen: PreMarketEvidence) -> Check:
    alerts = seen.alerts
    value = f"to {listed(alerts.channels)}" if alerts.channels else "nowhere"
    missing = f"nobody would hear of {listed(alerts.missing)}" if alerts.missing else alerts.detail
    return ALERTS_ENABLED.judged(bool(alerts.channels) and not alerts.missing, value, detail=missing)


def _emergency(seen: PreMarketEvidence) -> Check:
    tried = seen.emergency
    value = ", ".join(f"{name} {ms:.1f} ms" for name, ms in tried.paths.items()) or "no path answered"
    failed = "; ".join(f"{name}: {why}" for name, why in tried.failed.items())
    missing = [name for name in tried.needed if name not in tried.paths]
    if failed and tried.paths and not missing:
        return EMERGENCY_READY.warned(value, f"another path failed: {failed}")
    untried = f"not tried: {listed(missing)}" if missing and not failed else failed
    return EMERGENCY_READY.judged(bool(tried.paths) and not missing, value, detail=untried)


def _scan_window(seen: PreMarketEvidence) -> Check:
    window = seen.scan_window
    value = f"{window.from_at} to {window.until_at} UTC"
    inside = window.opens_at <= window.from_at < window.until_at <= window.closes_at
    check = SCAN_WINDOW.judged(
        inside,
        value,
        threshold=f"{window.opens_at} to {window.closes_at}",
        threshold_source=f"calendar; {window.source}",
    )
    return SCAN_WINDOW.signed(check, seen.signatures)


def _pre_open(seen: PreMarketEvidence) -> Check:
    scan = seen.pre_open
    if not scan.wanted:
        return PRE_OPEN_SCAN.not_applicable("the scan settings ask for none", value="off")
    intended = f"{scan.intended_from} to {scan.intended_until} UTC"
    if not scan.window_from:
        return PRE_OPEN_SCAN.judged(False, "it did not run", threshold=intended, threshold_source="configuration")
    same = (scan.window_from, scan.window_until) == (scan.intended_from, scan.intended_until)
    inside = not scan.used_from or scan.window_from <= scan.used_from <= scan.used_until <= scan.window_until
    used = f"bars of {scan.used_from} to {scan.used_until}" if scan.used_from else "no bars in the window"
    value = f"{used}, {several(scan.looked_at, 'symbol')}; {listed(scan.found)}"
    wrong = "" if same else f"it was scanned over {scan.window_from} to {scan.window_until}"
    return PRE_OPEN_SCAN.judged(
        same and inside, value, threshold=intended, threshold_source="configuration", detail=wrong or scan.detail
    )


def _active(seen: PreMarketEvidence) -> Check:
    if seen.decisions_waiting:
        return ACTIVE.judged(
            False, f"{several(len(seen.decisions_waiting), 'decision')} waiting", detail=listed(seen.decisions_waiting)
        )
    if seen.trading_state != "active":
        # Entries are blocked by the state itself; exits of what is carried need the session to run.
        return ACTIVE.warned(seen.trading_state, seen.halt_reason or "no reason on record")
    return ACTIVE.judged(True, "active, no decision waiting")
