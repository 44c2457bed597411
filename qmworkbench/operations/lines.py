"""A checklist line as it is asked, before anybody has looked: what turns a finding into a Check (§5, §8, §17)."""

from collections.abc import Iterable
from typing import Final

import msgspec

from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.domain.sessions import Environment

UNATTENDED: Final = "policy:unattended"
# Where nobody's money is at stake a policy may stand in for the person who is not there.
SIGNED_BY_POLICY: Final = frozenset({Environment.BACKTEST, Environment.LOCAL})


# What a line says was seen where nothing could be.
UNSEEN: Final = "could not be looked at"


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """What a person looked at because a machine cannot: which line, who, when (ISO, UTC) and what they saw."""

    check_id: str
    by: str
    at: str
    saw: str


class Signatures(msgspec.Struct, frozen=True, kw_only=True):
    """Who may answer for the lines that need a person: the confirmations given, or nobody (`unattended`)."""

    environment: Environment
    unattended: bool
    confirmations: tuple[Confirmation, ...] = ()

    def of(self, check_id: str) -> Confirmation | None:
        """The newest confirmation of a line, None where nobody has looked."""
        return next((c for c in reversed(self.confirmations) if c.check_id == check_id), None)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same about a line whatever is found: its id, where the runbook asks it, and the way out.

    `remedy` is used on every finding that is not a pass and does not bring its own.
    """

    check_id: str
    section: str
    title: str
    looked_at: str
    expectation: str
    remedy: str

    def found(
        self,
        status: CheckStatus,
        value: str,
        *,
        detail: str = "",
        remedy: str = "",
        threshold: str = "",
        threshold_source: str = "",
        looked_at: str = "",
        confirmed_by: str = "",
    ) -> Check:
        """The check that this line becomes with what was seen."""
        wanting = status in (CheckStatus.FAIL, CheckStatus.WARN)
        return Check(
            check_id=self.check_id,
            section=self.section,
            title=self.title,
            status=status,
            looked_at=looked_at or self.looked_at,
            value=value,
            expectation=self.expectation,
            threshold=threshold,
            threshold_source=threshold_source,
            confirmed_by=confirmed_by,
            detail=detail,
            remedy=(remedy or self.remedy) if wanting else "",
        )

    def judged(
        self,
        holds: bool,
        value: str,
        *,
        detail: str = "",
        remedy: str = "",
        threshold: str = "",
        threshold_source: str = "",
        looked_at: str = "",
    ) -> Check:
        """PASS when it holds, FAIL when it does not."""
        return self.found(
            CheckStatus.PASS if holds else CheckStatus.FAIL,
            value,
            detail=detail,
            remedy=remedy,
            threshold=threshold,
            threshold_source=threshold_source,
            looked_at=looked_at,
        )

    def warned(self, value: str, detail: str, *, remedy: str = "", looked_at: str = "") -> Check:
        """Worth knowing, and no reason to stay closed."""
        return self.found(CheckStatus.WARN, value, detail=detail, remedy=remedy, looked_at=looked_at)

    def not_applicable(self, why: str, *, value: str = "not looked at") -> Check:
        """Nothing to look at here, and why; it never counts as a pass."""
        return self.found(CheckStatus.NOT_APPLICABLE, value, detail=why)

    def not_looked_at(self, why: str) -> Check:
        """It should have been looked at and could not be: that is a failure, never a pass."""
        return self.found(CheckStatus.FAIL, UNSEEN, detail=why)

    def signed(self, check: Check, signatures: Signatures) -> Check:
        """A line that needs a person, after the machine has said all it can: only a pass is put to the signature.

        A confirmation counts with its name, time and what was seen. Without one, `policy:unattended` signs in
        backtest and local; paper and live are refused.
        """
        if check.status in (CheckStatus.FAIL, CheckStatus.NOT_APPLICABLE):
            return check
        given = signatures.of(self.check_id)
        if given is not None:
            saw = _joined(check.detail, f"{given.at}: {given.saw}")
            return msgspec.structs.replace(check, confirmed_by=given.by, detail=saw)
        if signatures.unattended and signatures.environment in SIGNED_BY_POLICY:
            return msgspec.structs.replace(check, confirmed_by=UNATTENDED)
        why = (
            f"{signatures.environment} is never signed by a policy"
            if signatures.unattended
            else "a person has to look at it"
        )
        return msgspec.structs.replace(
            check,
            status=CheckStatus.FAIL,
            detail=_joined(check.detail, f"not confirmed: {why}"),
            remedy=f"look at it, then confirm {self.check_id} with what you saw",
        )


def _joined(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second


def several(count: int, noun: str) -> str:
    """A count with its noun: "1 trade", "23 trades"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: Iterable[str], limit: int = 6) -> str:
    """Names as a phrase that stays short; "none" for none."""
    all_names = list(names)
    if not all_names:
        return "none"
    shown = ", ".join(all_names[:limit])
    return shown if len(all_names) <= limit else f"{shown} and {len(all_names) - limit} more"
