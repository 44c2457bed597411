"""What was seen once the platform is up and before the market opens, as values (§6, §7, §8, §23)."""

from decimal import Decimal
from typing import Any, Final

import msgspec

from qmworkbench.domain.execution import Account
from qmworkbench.domain.sessions import Environment
from qmworkbench.operations.evidence import (
    ApiSeen,
    Blocklist,
    BrokerSeen,
    ClockSeen,
    DataSeen,
    LimitsSeen,
    PageSeen,
    StrategySeen,
)
from qmworkbench.operations.lines import Signatures

# The feed's state before the session's first bars, where the last session's ended badly.
UNHEARD: Final = "not heard yet"


class ComponentSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A component's health (§7): status is healthy, degraded or failed."""

    component: str
    status: str
    latency_ms: float | None = None
    last_success: str = ""
    detail: str = ""
    critical: bool = False


class Holding(msgspec.Struct, frozen=True):
    """A position or a resting order, by name and signed quantity: what the broker has, or what we expect it to have."""

    name: str
    qty: Decimal


class AccountSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's statement against what our books expect. `expected_cash` None where no earlier session says.

    `leverage` bounds the buying power; `expected_source` says where the expectation comes from.
    """

    account: Account | None
    expected_cash: Decimal | None = None
    expected_source: str = ""
    leverage: Decimal = Decimal(1)
    detail: str = ""


class EmergencySeen(msgspec.Struct, frozen=True, kw_only=True):
    """How Emergency Liquidate & Halt was tried: `paths` that answered, in milliseconds, and why others did not.

    `needed` names the paths without which it cannot work at all.
    """

    needed: tuple[str, ...]
    paths: dict[str, float] = {}
    failed: dict[str, str] = {}


class AlertsSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts go. `missing` are kinds of §20 that nobody would hear of."""

    channels: tuple[str, ...]
    missing: tuple[str, ...] = ()
    detail: str = ""


class ScanWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The scanner's window within the session, ISO times; `from_at` after `until_at` leaves no time to scan."""

    from_at: str
    until_at: str
    opens_at: str
    closes_at: str
    source: str = "default"


class PreOpenSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The scan before the open: the window configured now and what the scan on record did, ISO times.

    `wanted` False: the configuration wants none. `window_from` and `window_until` bound the scan on record, "" where it
    never ran; `used_from` and `used_until` the bars it really looked at, "" where there were none. `found` names the
    best gappers.
    """

    wanted: bool
    intended_from: str = ""
    intended_until: str = ""
    window_from: str = ""
    window_until: str = ""
    used_from: str = ""
    used_until: str = ""
    looked_at: int = 0
    found: tuple[str, ...] = ()
    detail: str = ""


class PreMarketEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the pre-market phase looks at (§6 Startup Verification, §7, §8, §23).

    `reconciliation` is the result of the startup comparison, "" if none has completed. `scan_settings` are the
    settings in force, `scan_changes` what differs from the last session.
    """

    environment: Environment
    signatures: Signatures
    session_id: str
    components: tuple[ComponentSeen, ...]
    services: tuple[str, ...]
    services_expected: tuple[str, ...]
    api: ApiSeen
    page: PageSeen
    account: AccountSeen
    broker: BrokerSeen
    data: DataSeen
    feed_state: str
    positions: tuple[Holding, ...] | None
    positions_expected: tuple[Holding, ...]
    orders: tuple[Holding, ...] | None
    orders_expected: tuple[Holding, ...]
    reconciliation: str
    unresolved: tuple[str, ...]
    blocklist: Blocklist
    limits: LimitsSeen | None
    kernel_limits_hash: str
    scan_settings: dict[str, Any]
    scan_changes: tuple[str, ...]
    scan_window: ScanWindow
    pre_open: PreOpenSeen
    strategies: tuple[StrategySeen, ...]
    runs: tuple[str, ...]
    alerts: AlertsSeen
    emergency: EmergencySeen
    clock: ClockSeen
    trading_state: str = "active"
    halt_reason: str = ""
    decisions_waiting: tuple[str, ...] = ()
