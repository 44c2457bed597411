"""A check and its evidence: the form every checklist line of the runbook takes (§5, §8, §17, §23)."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class CheckStatus(StrEnum):
    """`NOT_APPLICABLE` needs its reason in `detail`; it never counts as a pass that was looked at."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"


class Verdict(StrEnum):
    """What a checklist says as a whole. INCOMPLETE counts as NO-GO: what was not looked at is not green."""

    GO = "GO"
    NO_GO = "NO-GO"
    INCOMPLETE = "INCOMPLETE"

    @property
    def exit_code(self) -> int:
        return {Verdict.GO: 0, Verdict.NO_GO: 1, Verdict.INCOMPLETE: 2}[self]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a checklist with what was seen.

    `check_id` is stable ("preflight.max_daily_loss"); `section` cites the runbook ("§5 Safety Check") or the manifest
    ("M: Pre-Flight 3"). `looked_at` says where the value came from, `value` what it was, `expectation` what it should
    be, `threshold` and `threshold_source` the limit and who set it ("" where there is none). `confirmed_by` names the
    person or policy for what a machine cannot confirm, "" otherwise. `remedy` is for the operator at 2 AM and is
    required on anything but a pass.
    """

    check_id: str
    section: str
    title: str
    status: CheckStatus
    looked_at: str
    value: str
    expectation: str
    threshold: str = ""
    threshold_source: str = ""
    confirmed_by: str = ""
    detail: str = ""
    remedy: str = ""


def verdict_of(checks: Iterable[Check]) -> Verdict:
    """GO when nothing failed, INCOMPLETE when there was nothing to look at."""
    seen = list(checks)
    if not seen:
        return Verdict.INCOMPLETE
    return Verdict.NO_GO if any(check.status is CheckStatus.FAIL for check in seen) else Verdict.GO
