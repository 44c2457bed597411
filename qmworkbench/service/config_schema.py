"""Every setting there is, typed, with its default (§2, §5, §8). Limits, scan and venue are declared where used."""

import datetime as dt
import ipaddress
import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec
from pydantic import (
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from qmworkbench.analytics.signal_settings import SignalSettings
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.sessions import Environment
from qmworkbench.service.config_broker import BrokerSection
from qmworkbench.service.config_halt import HaltSection
from qmworkbench.service.config_keeping import ArchiveSection, RetentionSection
from qmworkbench.service.config_orders import OrdersSection
from qmworkbench.service.config_problems import refusal
from qmworkbench.service.config_reconciliation import ReconciliationSection
from qmworkbench.service.config_section import Section, read_value, section_of
from qmworkbench.service.config_servers import ServersSection, StoreSection
from qmworkbench.service.config_shorts import ShortsSection
from qmworkbench.service.redaction import SHORTEST_SECRET
from qmworkbench.trading.scanner_settings import ScanSettings
from qmworkbench.venue import costs
from qmworkbench.venue.financing import Financing

ENV_PREFIX: Final = "QM_"
_BOOK_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,99}")
_SHORTEST_TOKEN: Final = 16


_COSTED: Final = costs.costed()
if TYPE_CHECKING:  # made at run time, so that a type checker sees their base alone
    LimitsSection: TypeAlias = Section
    EquityScanSection: TypeAlias = Section
    ForexScanSection: TypeAlias = Section
    CostSection: TypeAlias = Section
    FinancingSection: TypeAlias = Section
    AnalyticsSection: TypeAlias = Section
else:
    LimitsSection = section_of(Limits, Limits())
    EquityScanSection = section_of(ScanSettings, ScanSettings())
    ForexScanSection = section_of(ScanSettings, ScanSettings.for_forex())
    CostSection = section_of(costs.CostSchedule, costs.CostSchedule())
    FinancingSection = section_of(Financing, Financing())
    AnalyticsSection = section_of(SignalSettings, SignalSettings())


class PathsSection(Section):
    """Where everything is written: books below `data`, reports below `reports`, and the signed heads of the journals
    below `anchors`, best on another disk (off: DATA/anchors). Relative to the file that says so.
    """

    data: Path = Path("data")
    reports: Path = Path("reports")
    anchors: Path | None = None


class DataSection(Section):
    """Which market data a session is made of: a Parquet file of the bar schema, or the demo market of `seed` where
    no file is named.

    `actions` names a table of splits, dividends, ticker changes and delistings (CSV or Parquet). `date` is the
    session's day ("off": the file's last). `history_days` sessions before it are read. `symbols` restricts the
    universe; an empty list takes all.
    """

    file: Path | None = None
    actions: Path | None = None
    date: dt.date | None = None
    seed: int = Field(default=7, ge=0)
    history_days: int = Field(default=10, ge=0, le=250)
    symbols: tuple[str, ...] = ()


class ScanSection(Section):
    """What the scanner looks for, market by market."""

    equity: EquityScanSection = Field(default_factory=EquityScanSection)
    forex: ForexScanSection = Field(default_factory=ForexScanSection)


class AllocatorSection(Section):
    """How many symbols may be owned at once over all strategies, and how many candidates are followed.

    `ownership`: a symbol has one owner at a time ("exclusive"), or as many as want it ("shared", and `max_owned` counts
    each); "off": exclusive for equities, shared for currency pairs. Where symbols are shared, `max_owned` not set is
    what the instances' own max_symbols add up to.
    """

    ownership: Literal["exclusive", "shared"] | None = None
    max_owned: int = Field(default=20, ge=1, le=1000)
    max_candidates: int = Field(default=20, ge=1, le=1000)


class StrategySection(Section):
    """One strategy instance: `strategy` names the catalog entry, `params` what differs from its approved values.

    `budget_pct` of session-start equity is what one position may use, `max_symbols` how many the instance may own at
    once. `symbols` restricts it to those, an empty list leaves the choice to the scanner. It runs in sessions of the
    markets that its strategy trades. `orders` says how its orders are made, at the market where nothing is set.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$", description="an id such as orb-1, of a-z 0-9 . _ -")
    strategy: str = Field(description="the id of a catalog entry")
    params: dict[str, Any] = Field(default_factory=dict)
    budget_pct: Decimal = Field(default=Decimal(10), gt=0, le=100)
    max_symbols: int = Field(default=6, ge=1, le=1000)
    symbols: tuple[str, ...] = ()
    orders: OrdersSection = Field(default_factory=OrdersSection)

    @field_validator("params", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        """Fractions in a file are read exactly; a strategy computes with floats."""
        if not isinstance(value, Mapping):
            return value
        return {key: float(inner) if isinstance(inner, Decimal) else inner for key, inner in value.items()}


class VenueSection(Section):
    """How the simulated venue fills and what it charges; `financing` is what pairs cost overnight, `shorts` what
    selling short takes, `day_trading_equity` what an account needs to day-trade freely (off: nothing is asked for).
    `model` says the numbers, single ones can be set beside it."""

    model: Literal["ideal", "costed"] = "costed"
    leverage: Decimal = Field(default=_COSTED.leverage, gt=0)
    day_trading_equity: Decimal | None = Field(default=None, gt=0)
    equity: CostSection
    forex: CostSection
    financing: FinancingSection
    shorts: ShortsSection = Field(default_factory=ShortsSection)

    @model_validator(mode="before")
    @classmethod
    def _terms_of_the_model(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        model = costs.ideal() if given.get("model") == "ideal" else _COSTED
        terms = {kind.value: msgspec.structs.asdict(schedule) for kind, schedule in model.schedules.items()}
        terms["financing"] = msgspec.structs.asdict(model.financing)
        return _laid_over(msgspec.to_builtins(terms, builtin_types=(Decimal,)), given)


class ServiceSection(Section):
    """The Core API: on this machine alone. Port 0 takes a free one; without a `token` each process makes its own."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    token: SecretStr = SecretStr("")

    @field_validator("host")
    @classmethod
    def _on_this_machine(cls, host: str) -> str:
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise refusal(
                "would let other machines give orders", 'give a loopback address: "127.0.0.1", "::1" or "localhost"'
            )
        return host

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr) -> SecretStr:
        if token.get_secret_value() and len(token.get_secret_value()) < max(_SHORTEST_TOKEN, SHORTEST_SECRET):
            raise refusal(
                f"is shorter than {_SHORTEST_TOKEN} characters",
                "give a longer one, or none and each process makes its own",
            )
        return token


class FeedSection(Section):
    """How bars are played: at so many times the market's speed, or "max"; signals by boundary or in one pass."""

    speed: Annotated[float, Field(gt=0)] | Literal["max"] = "max"
    compute: Literal["incremental", "one-pass"] = "incremental"


class ReportsSection(Section):
    """Whether a session makes its reports when it ends."""

    enabled: bool = True


# The sources of the load in progress: pydantic-settings asks the class for them, a load has its own.
SOURCES: ContextVar[tuple[PydanticBaseSettingsSource, ...]] = ContextVar("SOURCES", default=())


class Settings(BaseSettings):
    """The whole configuration. `initial_cash` is in `account_currency`; `strategies` "off": the market's usual ones.

    `owners` lists the people who sign parameter changes for an owner of the catalog.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    environment: Environment = Environment.LOCAL
    book: str = "main"
    account_currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="three capital letters such as USD")
    initial_cash: Decimal = Field(default=Decimal(100_000), gt=0)
    paths: PathsSection = Field(default_factory=PathsSection)
    data: DataSection = Field(default_factory=DataSection)
    limits: LimitsSection = Field(default_factory=LimitsSection)
    scan: ScanSection = Field(default_factory=ScanSection)
    allocator: AllocatorSection = Field(default_factory=AllocatorSection)
    strategies: tuple[StrategySection, ...] | None = None
    owners: dict[str, tuple[str, ...]] = {}
    venue: VenueSection = Field(default_factory=lambda: VenueSection.model_validate({}))
    broker: BrokerSection = Field(default_factory=BrokerSection)
    service: ServiceSection = Field(default_factory=ServiceSection)
    feed: FeedSection = Field(default_factory=FeedSection)
    halt: HaltSection = Field(default_factory=HaltSection)
    reconciliation: ReconciliationSection = Field(default_factory=ReconciliationSection)
    analytics: AnalyticsSection = Field(default_factory=AnalyticsSection)
    retention: RetentionSection = Field(default_factory=RetentionSection)
    archive: ArchiveSection = Field(default_factory=ArchiveSection)
    reports: ReportsSection = Field(default_factory=ReportsSection)
    servers: ServersSection = Field(default_factory=ServersSection)
    store: StoreSection = Field(default_factory=StoreSection)

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        return read_value(value, cls.model_fields[str(info.field_name)].annotation)

    @field_validator("book")
    @classmethod
    def _names_a_directory(cls, book: str) -> str:
        if not _BOOK_NAME.fullmatch(book):
            raise refusal(
                "cannot name a directory", "use letters, digits and . _ = + -, starting with a letter or digit"
            )
        return book

    @field_validator("owners", mode="before")
    @classmethod
    def _people(cls, value: Any) -> Any:
        """Names by owner; one name may stand without a list, and a variable holds the table as JSON."""
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError as error:
                raise refusal(f"is not a table in JSON ({error})", _OWNERS_LIKE) from None
        if not isinstance(value, Mapping):
            raise refusal("is not a table", _OWNERS_LIKE)
        people = {name: [given] if isinstance(given, str) else given for name, given in value.items()}
        for name, given in people.items():
            if not isinstance(given, list | tuple) or not given or not all(_is_name(person) for person in given):
                raise refusal(f'names nobody under "{name}"', _OWNERS_LIKE)
        return people

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return SOURCES.get()


_OWNERS_LIKE: Final = 'list people by owner, such as "equities desk" = ["ada", "grace"]'


def _is_name(person: Any) -> bool:
    return isinstance(person, str) and bool(person.strip()) and person.isprintable()


def _laid_over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, table by table."""
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _laid_over(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return merged
