"""§19's six criteria: each passes on what a good recovery leaves, and fails on the one thing it is about."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.operations.recovery import Pair, RecoveryEvidence, recovery_checks

GOOD = RecoveryEvidence(
    account=(Pair("cash", Decimal("99000.10"), Decimal("99000.10")), Pair("fees", Decimal(3), Decimal(3))),
    positions=(Pair("XON", Decimal(283), Decimal(283)),),
    orders=(Pair("qm-1", Decimal(283), Decimal(283)),),
    in_doubt=(),
    watchlist=(),
    watched=4,
    risk=(("limits", "abc", "abc"), ("entries intended", "3", "3")),
    chain_error="",
    records=500,
    executions=6,
    booked=6,
)


def judged(**changes: Any) -> dict[str, Check]:
    return {check.check_id: check for check in recovery_checks(msgspec.structs.replace(GOOD, **changes))}


def test_a_good_recovery_passes_all_six() -> None:
    checks = judged()
    assert list(checks) == [
        f"recovery.{name}" for name in ("account", "positions", "orders", "watchlist", "risk", "continuity")
    ]
    assert verdict_of(checks.values()) is Verdict.GO
    assert all(check.section.startswith("§19") and check.value for check in checks.values())


@pytest.mark.parametrize(
    ("criterion", "changes", "says"),
    [
        ("account", {"account": (Pair("cash", Decimal("1.00"), Decimal("1.01")),)}, "ours 1.00"),
        ("account", {"account": None}, "no statement"),
        ("account", {"account": (Pair("cash", None, Decimal(1)),)}, "ours none"),
        ("positions", {"positions": (Pair("XON", Decimal(283), None),)}, "the broker's none"),
        ("positions", {"positions": (Pair("XON", None, Decimal(-5)),)}, "the broker's -5"),
        ("positions", {"positions": None}, "could not be read"),
        ("orders", {"orders": (Pair("qm-1", Decimal(1), Decimal(2)),)}, "qm-1"),
        ("orders", {"in_doubt": ("qm-7",)}, "in doubt: qm-7"),
        ("orders", {"orders": None}, "could not be read"),
        ("watchlist", {"watchlist": ("XON is entered, and nothing of it is held",)}, "XON is entered"),
        ("risk", {"risk": (("limits", "abc", "abd"),)}, "limits: the state says abc, the journal abd"),
        ("continuity", {"chain_error": "record 7 was changed"}, "record 7"),
        ("continuity", {"executions": 7}, "7 fills of the session, 6 are booked"),
        ("continuity", {"executions": None}, "could not be read"),
    ],
)
def test_each_criterion_fails_on_what_it_is_about_and_no_other_does(
    criterion: str, changes: dict[str, Any], says: str
) -> None:
    checks = judged(**changes)
    failed = [check for check in checks.values() if check.status is CheckStatus.FAIL]
    assert [check.check_id for check in failed] == [f"recovery.{criterion}"]
    assert says in failed[0].detail
    assert failed[0].remedy


def test_a_fraction_of_a_cent_is_no_difference() -> None:
    assert (
        judged(account=(Pair("cash", Decimal("1.000"), Decimal("1.009")),))["recovery.account"].status
        is CheckStatus.PASS
    )


def test_another_radar_is_worth_knowing_and_no_reason_to_stay_closed() -> None:
    check = judged(radar="the radar rebuilt differs")["recovery.continuity"]
    assert (check.status, check.detail) == (CheckStatus.WARN, "the radar rebuilt differs")
