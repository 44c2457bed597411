"""The session's life: opening, phases, services, preflight, runs, summary (§4, §6, §16)."""

from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.events.base import Event, Input
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import OrderStyle
from qmworkbench.domain.safety import HaltPolicy, HaltSettings, ReconciliationSettings
from qmworkbench.domain.sessions import Environment, Phase, SessionWindow


class RunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy instance as it will run: catalog id and version, parameters and their hash, its share of capital.

    `symbols` empty means any the allocator gives it; `flat_policy` is "at_close" or "carry". `budget_pct` is the share
    of session-start equity one position may use, `max_symbols` how many it may own at once. `entry_until_bar` is the
    last bar of the session (from 0) it enters on, None for no end of its own. `params_version` counts the approved
    changes of its parameters (0: as the catalog has them), `approved_by` signed the last one.
    """

    strategy_id: str
    definition_id: str
    version: str
    owner: str
    status: str
    asset_classes: tuple[str, ...]
    params: dict[str, Any]
    params_hash: str
    budget_pct: Decimal
    max_symbols: int
    flat_policy: str = "at_close"
    symbols: tuple[str, ...] = ()
    entry_until_bar: int | None = None
    params_version: int = 0
    approved_by: str = ""
    order_style: OrderStyle = OrderStyle()


class SessionOpened(Input, frozen=True, kw_only=True, tag="session.opened"):
    """The facts a session is decided with. No fact of the machine: host, pid and paths go to telemetry.

    `scan_settings` is ScanSettings as plain data. `instruments` are those of the universe, alphabetically.
    `data_source` says what is replayed ("file:NAME", "demo:SEED"), `data_hash` its content, "" if streamed.
    `shared_symbols`: several instances may own and hold one symbol beside each other; else a symbol has one owner.
    `left_out` are configured instances that could not run and why, by id. `halt_policies` are what an owner approved
    beforehand for conditions of §23; without one, liquidation is a person's command.
    """

    book: str
    session_id: str
    environment: Environment
    window: SessionWindow
    account_currency: str
    code_version: str
    config_hash: str
    limits: Limits
    limits_hash: str
    scan_settings: dict[str, Any]
    runs: tuple[RunSpec, ...]
    instruments: tuple[Instrument, ...]
    data_source: str
    data_hash: str
    reference_hash: str
    unattended: bool
    max_candidates: int = 20
    max_owned: int = 20
    shared_symbols: bool = False
    left_out: dict[str, str] = msgspec.field(default_factory=dict)
    reconciliation: ReconciliationSettings = ReconciliationSettings()
    halt_policies: tuple[HaltPolicy, ...] = ()
    halt_settings: HaltSettings = HaltSettings()


class PhaseEntered(Event, frozen=True, kw_only=True, tag="session.phase_entered"):
    """The session reached a phase; `condition` is what had to hold."""

    phase: Phase
    condition: str


class PhaseRefused(Event, frozen=True, kw_only=True, tag="session.phase_refused"):
    """A phase was asked for and its entry condition did not hold."""

    phase: Phase
    condition: str
    found: str


class PreflightRecorded(Input, frozen=True, kw_only=True, tag="session.preflight_recorded"):
    """A preflight's verdict; `phase` is "pre-start" or "pre-market", `failed` the check ids that failed."""

    phase: str
    verdict: Verdict
    checks_hash: str
    failed: tuple[str, ...] = ()
    confirmed_by: str = ""


class ServiceReady(Input, frozen=True, kw_only=True, tag="session.service_ready"):
    """A service of the startup order (§6) is up; `position` is its place in that order, from 1."""

    service: str
    position: int


class ServiceStopped(Input, frozen=True, kw_only=True, tag="session.service_stopped"):
    """A service of the stop order (§16) is down."""

    service: str
    position: int


class HealthObserved(Input, frozen=True, kw_only=True, tag="session.health_observed"):
    """What health said where a decision depends on it: the critical components that are not healthy (§7).

    `clock_skew_ms` is how far the machine's clock is from the broker's or a time server's, None where nobody told.
    """

    critical_down: tuple[str, ...]
    clock_skew_ms: int | None = None


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the auditor found: the rule that does not hold, of what, and the particulars."""

    rule: str
    subject: str
    detail: str


class AuditRecorded(Input, frozen=True, kw_only=True, tag="session.audit_recorded"):
    """The auditor walked the journal up to `seq`, apart from the kernel: sends, fills and cancels it `checked`, and
    what it found (§20 missing risk enforcement).
    """

    seq: int
    checked: int
    findings: tuple[AuditLine, ...] = ()


class RunStarted(Event, frozen=True, kw_only=True, tag="run.started"):
    """One strategy instance began its run."""

    run_id: str
    strategy_id: str
    params_hash: str


class RunEnded(Event, frozen=True, kw_only=True, tag="run.ended"):
    """Every run must reach this (M: Pre-Flight 4)."""

    run_id: str
    strategy_id: str
    reason: str
    trades: int


class SessionEnding(Input, frozen=True, kw_only=True, tag="session.ending"):
    """The market closed or the feed ended: time for §16."""

    reason: str


class SessionSummarized(Input, frozen=True, kw_only=True, tag="session.summarized"):
    """The summary that ends a session; `verdicts` by report name where they were made inside the session."""

    trades: int
    orders: int
    fills: int
    breaks: int
    net_pnl: Decimal
    recovered: bool


class SessionClosed(Event, frozen=True, kw_only=True, tag="session.closed"):
    """Nothing of this session is decided after this."""

    session_id: str
