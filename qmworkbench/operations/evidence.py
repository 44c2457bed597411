"""What was seen before the platform starts, as values: the only thing the preflight judges (§5; M: Pre-Flight).

Gathered by the service (service/evidence.py). None means that it could not be looked at, never that all is well;
where something does not exist in an environment, a field says so.
"""

from decimal import Decimal

import msgspec

from qmworkbench.domain.limits import Limits
from qmworkbench.domain.sessions import Environment
from qmworkbench.operations.lines import Signatures


class ConfigFault(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that cannot be used; `source` is where it was set, with its line where there is one."""

    key: str
    value: str
    source: str
    problem: str
    remedy: str


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """`fingerprint` names the key without showing it; `belongs_to` is the environment it is for, "" if unknown."""

    needed: bool
    fingerprint: str = ""
    belongs_to: str = ""
    detail: str = ""


class DataFault(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of the data file. `severity` is refuse, quarantine or note."""

    code: str
    severity: str
    rows: int
    message: str
    remedy: str


class DataSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The session's market data as it was opened.

    `latency_ms` is the time to its first bar, `interval_s` its bar interval, `radar_interval_s` how often the radar
    looks. `source` is "file:NAME" or "demo:SEED"; `readable` False means that no session can be made of it, and the
    faults say why.
    """

    source: str
    approved_sources: tuple[str, ...]
    readable: bool
    session_date: str = ""
    symbols: int = 0
    bars: int = 0
    boundaries: int = 0
    half_day: bool = False
    history_days: int = 0
    interval_s: int = 0
    radar_interval_s: int = 0
    latency_ms: float | None = None
    data_hash: str = ""
    faults: tuple[DataFault, ...] = ()


class BrokerSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The execution broker: which one, whether it plays with real money, and whether it answered."""

    name: str
    simulated: bool
    reachable: bool
    latency_ms: float | None = None
    detail: str = ""


class StoreSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The journal's store as its writing connection answers, and the chain as it was walked.

    `verified` None: not walked; `records` counts decisions. `anchor` is what holding it against its signed head found.
    `free_mb` is what the disk has left, None if unknown.
    """

    kind: str
    journal_mode: str = ""
    synchronous: str = ""
    reachable: bool = True
    verified: bool | None = None
    records: int = 0
    anchor: str = ""
    free_mb: int | None = None
    detail: str = ""


class BusSeen(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is "in process" or "redis"."""

    kind: str
    reachable: bool
    detail: str = ""


class ApiSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The Core API. Before the start: whether it could be built and its address bound. Before the market: what
    GET /api/health answered (`status_code`, `status`). `served` False: this process serves none, `detail` says why.
    """

    served: bool
    starts: bool = False
    address: str = ""
    status_code: int | None = None
    status: str = ""
    latency_ms: float | None = None
    detail: str = ""


class PageSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The command center. `wanted` False in a headless run; `shown_mode` is the environment it would show."""

    wanted: bool
    loads: bool | None = None
    shown_mode: str = ""
    address: str = ""
    detail: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A background job and whether it runs as configured."""

    name: str
    expected: bool
    enabled: bool
    detail: str = ""


class LeaseSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the book: `ours`, or `holder` ("" if nobody). `leftovers` are processes of an earlier session."""

    ours: bool
    holder: str = ""
    leftovers: tuple[str, ...] = ()
    detail: str = ""


class PreviousSession(msgspec.Struct, frozen=True, kw_only=True):
    """The book's last session. `resuming` True: it is the one being started, after a crash.

    `open_runs` never reached RUN_ENDED. `unresolved` are breaks that no reconciliation has settled.
    """

    session_id: str = ""
    closed: bool = True
    resuming: bool = False
    open_runs: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()
    decisions_waiting: tuple[str, ...] = ()
    trading_state: str = "active"
    halt_reason: str = ""
    alerts: tuple[str, ...] = ()
    gaps: int = 0


class ClockSeen(msgspec.Struct, frozen=True, kw_only=True):
    """`offset_ms` against a time source; None in a replay (`replay`), whose clock is the bars', or if none answered."""

    replay: bool
    offset_ms: float | None = None
    source: str = ""


class RetentionSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How many days are kept, and where that was set. 0 would keep nothing."""

    snapshots_days: int
    logs_days: int
    bars_days: int
    source: str = "default"


class StrategySeen(msgspec.Struct, frozen=True, kw_only=True):
    """One scheduled strategy instance: its catalog entry, and its parameters against the approved ones.

    `changed` lists parameters that differ from the approved set as "name: approved → running (where set)".
    `params_version` counts the changes proposed for it, 0 the catalog's own set; `approved_by` signed the version in
    force, `approved_on` (ISO date), for sessions from `effective_from` on; all "" for version 0.
    `proposals` are changes that wait for a signature, `coming` those signed for a later session. `pending` is a
    promotion that waits for an answer, "" if none. `needs_history_days` against `has_history_days`.
    `left_out`: why it does not run in this session although it was configured, "" if it does. `unrecorded`: what
    an earlier session ran with and the ledger does not know, "" if it agrees. `unexamined`: why the look-ahead
    examination on record does not count for the code that is here, "" if it does or if the status needs none.
    """

    instance_id: str
    strategy_id: str
    known: bool
    owner: str = ""
    status: str = ""
    version: str = ""
    params_hash: str = ""
    approved_hash: str = ""
    changed: tuple[str, ...] = ()
    params_version: int = 0
    approved_by: str = ""
    approved_on: str = ""
    effective_from: str = ""
    proposals: tuple[str, ...] = ()
    coming: tuple[str, ...] = ()
    pending: str = ""
    needs_history_days: int = 0
    has_history_days: int = 0
    fits_market: bool = True
    left_out: str = ""
    unexamined: str = ""
    unrecorded: str = ""
    detail: str = ""


class LimitsSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The Risk Manager's limits with their hash and, by name, where each value was set.

    `equity` is what the account is worth as far as known before the start, None otherwise. `before` are those of the
    book's last session, None where there was none.
    """

    limits: Limits
    limits_hash: str
    sources: dict[str, str] = {}
    equity: Decimal | None = None
    currency: str = ""
    before: Limits | None = None

    def source(self, name: str) -> str:
        return self.sources.get(name, "default")


class Blocklist(msgspec.Struct, frozen=True, kw_only=True):
    """Symbols blocked by the limits, those blocked for good on record, and those in force."""

    configured: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    in_force: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Blocked somewhere and not in force: the one thing that must never be."""
        wanted = dict.fromkeys((*self.configured, *self.recorded))
        return tuple(symbol for symbol in wanted if symbol not in self.in_force)


class PreStartEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the pre-start phase looks at (§5; M: Pre-Flight)."""

    environment: Environment
    environment_source: str
    signatures: Signatures
    session_id: str
    config_faults: tuple[ConfigFault, ...]
    credentials: Credentials
    data: DataSeen
    broker: BrokerSeen
    page: PageSeen
    live_armed: bool
    limits: LimitsSeen | None
    blocklist: Blocklist
    bus: BusSeen
    store: StoreSeen
    api: ApiSeen
    jobs: tuple[Job, ...]
    lease: LeaseSeen
    previous: PreviousSession
    clock: ClockSeen
    retention: RetentionSeen
    strategies: tuple[StrategySeen, ...]
