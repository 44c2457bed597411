"""The preflight: both phases' checklists over what was seen, and the manifest's five items (§5-§8, §23; M: Pre-Flight).

Pure: the service gathers the evidence (service/evidence.py), these rules judge it. *Pre-start* gates the startup,
*pre-market* the release of entries.
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, overload

import msgspec

from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.operations.evidence import PreStartEvidence
from qmworkbench.operations.health import health_checks
from qmworkbench.operations.manifest_items import manifest_checks
from qmworkbench.operations.market_evidence import PreMarketEvidence
from qmworkbench.operations.premarket import market_checks
from qmworkbench.operations.prestart import environment_checks, safety_checks
from qmworkbench.operations.prestart_system import data_checks, system_checks
from qmworkbench.operations.startup import startup_checks


class PreflightPhase(StrEnum):
    """As recorded in the journal (PreflightRecorded.phase)."""

    PRE_START = "pre-start"
    PRE_MARKET = "pre-market"


class ManifestItem(msgspec.Struct, frozen=True, kw_only=True):
    """One of the manifest's five, with the checks of both phases that answer it."""

    number: int
    title: str
    check_ids: tuple[str, ...]


FIVE_ITEMS: Final = (
    ManifestItem(
        number=1,
        title="Control summary is green: runs fresh, no gaps, nothing stale",
        check_ids=(
            "preflight.control_summary",
            "preflight.journal_verified",
            "premarket.trading_state",
            "startup.runs",
            "startup.data_broker",
        ),
    ),
    ManifestItem(
        number=2,
        title="Broker accounts are reachable, the API answers",
        check_ids=("preflight.broker_reachable", "startup.api_health", "health.account_summary"),
    ),
    ManifestItem(
        number=3,
        title="The store is durable as configured (SQLite: WAL, synchronous FULL)",
        check_ids=("preflight.store_durable",),
    ),
    ManifestItem(
        number=4,
        title="No run is left from the last session",
        check_ids=("preflight.residual_runs", "preflight.previous_session"),
    ),
    ManifestItem(
        number=5,
        title="The scheduled strategies are ready, nothing unresolved",
        check_ids=(
            "preflight.strategies_ready",
            "preflight.open_questions",
            "premarket.strategies_ready",
            "health.reconciled",
        ),
    ),
)


@overload
def preflight(phase: PreflightPhase, evidence: PreStartEvidence) -> list[Check]: ...


@overload
def preflight(phase: PreflightPhase, evidence: PreMarketEvidence) -> list[Check]: ...


def preflight(phase: PreflightPhase, evidence: PreStartEvidence | PreMarketEvidence) -> list[Check]:
    """The phase's checklist, line by line. Raises TypeError when the evidence is the other phase's."""
    if phase is PreflightPhase.PRE_START and isinstance(evidence, PreStartEvidence):
        return [
            *environment_checks(evidence),
            *safety_checks(evidence),
            *system_checks(evidence),
            *data_checks(evidence),
            *manifest_checks(evidence),
        ]
    if phase is PreflightPhase.PRE_MARKET and isinstance(evidence, PreMarketEvidence):
        return [*startup_checks(evidence), *health_checks(evidence), *market_checks(evidence)]
    raise TypeError(f"the {phase} preflight was given {type(evidence).__name__}: gather the evidence of its own phase")


_WORST_FIRST: Final = (CheckStatus.FAIL, CheckStatus.WARN, CheckStatus.PASS, CheckStatus.NOT_APPLICABLE)


def item_status(item: ManifestItem, checks: Sequence[Check]) -> CheckStatus | None:
    """The worst of an item's checks among those made so far, None when none was."""
    statuses = {check.status for check in checks if check.check_id in item.check_ids}
    return next((status for status in _WORST_FIRST if status in statuses), None)


class PreflightRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One preflight as it is kept beside the session: its checks are what PreflightRecorded.checks_hash covers.

    `seconds` is how long gathering and judging took; the manifest allows 90. `taken_at` is ISO, UTC.
    """

    phase: PreflightPhase
    session_id: str
    environment: str
    taken_at: str
    seconds: float
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the checks that failed."""
        return tuple(check.check_id for check in self.checks if check.status is CheckStatus.FAIL)

    @property
    def confirmed_by(self) -> str:
        """Who signed the lines that need a person; several are joined, "" where none needed one."""
        return ", ".join(dict.fromkeys(check.confirmed_by for check in self.checks if check.confirmed_by))


def checks_hash(checks: Sequence[Check]) -> str:
    """16 hex digits over which lines were judged and which failed: the same on every machine.

    Values, warnings and what does not apply here are left out on purpose: a latency or a free port is a fact of the
    machine, and the decisions' hash must depend on the inputs alone. `evidence_hash` covers the rest.
    """
    decided = [(check.check_id, check.status is CheckStatus.FAIL) for check in checks]
    return hashlib.sha256(msgspec.json.encode(decided)).hexdigest()[:16]


def evidence_hash(checks: Sequence[Check]) -> str:
    """16 hex digits over everything that was seen: names this one preflight on this one machine."""
    return hashlib.sha256(msgspec.json.encode(list(checks))).hexdigest()[:16]
