"""What a trading day is made from, gathered and checked before anything is opened (§4, §5)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from qmworkbench.analytics.signal_settings import DEFAULTS as SIGNAL_DEFAULTS
from qmworkbench.analytics.signal_settings import SignalSettings
from qmworkbench.domain.events.session import RunSpec, SessionOpened
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.safety import HaltPolicy, HaltSettings, ReconciliationSettings
from qmworkbench.domain.sessions import Environment
from qmworkbench.market.session import SessionData
from qmworkbench.service.approved_hash import approved_hash
from qmworkbench.service.book_lease import BEAT_TTL_S
from qmworkbench.service.code_version import code_version
from qmworkbench.service.config import Config
from qmworkbench.service.config_ownership import most_owned, shares_symbols
from qmworkbench.service.runs import ScheduleRefused, schedule
from qmworkbench.service.stores import bus_url, store_of
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.stores import SQLITE, Store
from qmworkbench.trading.scanner_settings import ScanSettings
from qmworkbench.venue.costs import VenueModel
from qmworkbench.venue.wire.address import VenueAddress

# The day's own clock starts this long before its first bar: what is done before the open is dated there.
PREPARATION: Final = timedelta(hours=1)


class DayRefused(Exception):
    """The day cannot run as it was asked for. The message says what stands in the way and the remedy."""


class AlreadyClosed(DayRefused):
    """The session has been run to its close; it never runs again."""


@dataclass(frozen=True, eq=False)
class DayPlan:
    """One trading day of one book. Money in `account_currency`.

    `compute` says how signals are computed, anew at each boundary or once for the whole day; `speed` is market
    seconds per wall second, None for as fast as possible. Neither changes a decision. `unattended`: human lines are
    signed by policy. `left_out`: instances that cannot run, `set_at`: where parameters are set (service/runs.py).
    `find_venue` says how a venue in a process of its own is reached, None where it is played in this one; it is asked
    when the day is opened, and raises NoBroker where nobody serves.
    `analytics` says when the signals of a running session speak. `approved_hash` looks up which parameters of an
    instance are approved at the moment it is asked, "" where that cannot be told. `standby`: this process has waited
    for another one's lease (`lapsed`: its last epoch and beat); what it takes over waits for a person. `beat_ttl_s`:
    service/book_lease.py.
    """

    book: str
    environment: Environment
    paths: BookPaths
    data: SessionData
    limits: Limits
    scan: ScanSettings
    runs: tuple[RunSpec, ...]
    venue_model: VenueModel
    account_currency: str
    initial_cash: Decimal
    config_hash: str
    max_candidates: int
    max_owned: int
    shared_symbols: bool = False
    unattended: bool = True
    compute: Literal["incremental", "one-pass"] = "incremental"
    speed: float | None = None
    analytics: SignalSettings = SIGNAL_DEFAULTS
    reconciliation: ReconciliationSettings = field(default_factory=ReconciliationSettings)
    halt_settings: HaltSettings = field(default_factory=HaltSettings)
    halt_policies: tuple[HaltPolicy, ...] = ()
    find_venue: Callable[[], VenueAddress | None] = lambda: None
    left_out: Mapping[str, str] = field(default_factory=dict)
    set_at: Mapping[str, str] = field(default_factory=dict)
    approved_hash: Callable[[str], str] = lambda instance_id: ""
    anchors: Path | None = None
    store: Store = SQLITE
    bus_url: str = ""
    standby: bool = False
    lapsed: tuple[int, int] | None = None
    beat_ttl_s: float = BEAT_TTL_S

    @property
    def session_id(self) -> str:
        """One trading day of a book has one id, whoever runs it and how often."""
        return f"{self.book}-{self.data.window.date.isoformat()}"

    @property
    def starts_at(self) -> datetime:
        """Where the day's own clock begins."""
        first = self.data.frames[0].as_of if self.data.frames else self.data.window.opens_at
        return min(first, self.data.window.opens_at) - PREPARATION

    def opened(self, at: datetime) -> SessionOpened:
        """The facts the session is decided with."""
        return SessionOpened(
            at=at,
            book=self.book,
            session_id=self.session_id,
            environment=self.environment,
            window=self.data.recorded_window(),
            account_currency=self.account_currency,
            code_version=code_version(),
            config_hash=self.config_hash,
            limits=self.limits,
            limits_hash=self.limits.content_hash,
            scan_settings=as_plain(self.scan),
            runs=self.runs,
            instruments=tuple(self.data.instruments[symbol] for symbol in self.data.universe.symbols),
            data_source=self.data.source,
            data_hash=self.data.data_hash,
            reference_hash=self.data.reference.content_hash,
            unattended=self.unattended,
            max_candidates=self.max_candidates,
            max_owned=self.max_owned,
            shared_symbols=self.shared_symbols,
            left_out=dict(self.left_out),
            reconciliation=self.reconciliation,
            halt_settings=self.halt_settings,
            halt_policies=self.halt_policies,
        )


def as_plain(settings: ScanSettings) -> dict[str, Any]:
    """Scan settings as plain data, as the journal keeps them."""
    plain = msgspec.to_builtins(settings)
    assert isinstance(plain, dict)
    return plain


def plan_of(config: Config, data: SessionData, *, fresh: bool = False) -> DayPlan:
    """The day that a configuration and its data make. `fresh`: of a book about to begin, in which nothing is approved.

    Raises DayRefused where its strategies cannot run.
    """
    market = market_of(data)
    feed, allocator = config.settings.feed, config.settings.allocator
    try:
        scheduled = schedule(config, market, data.universe.symbols, data.window.date, fresh=fresh)
    except ScheduleRefused as refused:
        raise DayRefused(str(refused)) from None
    return DayPlan(
        book=config.book,
        environment=config.environment,
        paths=config.paths,
        data=data,
        limits=config.limits(market),
        scan=config.scan(market),
        runs=scheduled.runs,
        left_out=scheduled.left_out,
        set_at=scheduled.set_at,
        venue_model=config.venue_model(),
        account_currency=config.settings.account_currency,
        initial_cash=config.settings.initial_cash,
        config_hash=config.config_hash,
        max_candidates=allocator.max_candidates,
        max_owned=most_owned(config, market, scheduled.runs),
        shared_symbols=shares_symbols(config.settings, market),
        analytics=config.analytics(),
        anchors=config.anchors,
        store=store_of(config),
        bus_url=bus_url(config),
        reconciliation=config.reconciliation(),
        halt_settings=config.halt(),
        halt_policies=config.halt_policies(),
        approved_hash=lambda instance_id: approved_hash(config, instance_id),
        compute=feed.compute,
        find_venue=config.wire,
        speed=None if feed.speed == "max" else feed.speed,
    )


def market_of(data: SessionData) -> AssetClass:
    """The market the session trades: that of its instruments, which share a calendar."""
    return data.instruments[data.universe.symbols[0]].asset_class
