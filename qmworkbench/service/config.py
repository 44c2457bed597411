"""The configuration: defaults, qm.toml, environment, flags; every value knows where it came from (§5 Environment and
Safety Check).

`load` answers with a Config or raises ConfigRefused with everything that is wrong; `check` hands the same problems
back as data.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import SecretStr

from qmworkbench.analytics.signal_settings import SignalSettings
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.safety import HaltPolicy, HaltSettings, ReconciliationSettings
from qmworkbench.domain.sessions import Environment
from qmworkbench.service.config_halt import halt_policies, halt_settings
from qmworkbench.service.config_ownership import ownership_problems
from qmworkbench.service.config_problems import ConfigProblem, ConfigRefused, as_checks, dotted, shown
from qmworkbench.service.config_reading import canonical, leaves, place, read
from qmworkbench.service.config_rules import (
    cost_schedule,
    environment_problems,
    plain,
    value_problems,
)
from qmworkbench.service.config_schema import Settings
from qmworkbench.service.config_sources import (
    FILE_NAME,
    LOCAL_NAME,
    Layer,
    environment_layer,
    file_layer,
    find_file,
    flag_layer,
)
from qmworkbench.service.config_strategies import left_out_of, strategy_problems
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.retention_rules import Retention
from qmworkbench.trading.scanner_settings import ScanSettings
from qmworkbench.venue.costs import VenueModel
from qmworkbench.venue.financing import Financing
from qmworkbench.venue.wire.address import VenueAddress

__all__ = ["Config", "ConfigProblem", "ConfigRefused", "Flags", "Provenance", "as_checks", "check", "load"]

Flags = Mapping[str, tuple[Any, str]]
"""Settings given on the command line: dotted key -> (value, the flag as typed)."""

FOREX_TRADES_PER_DAY: Final = 200

# What a decision can depend on. Where things are written, how fast bars are played and what is kept cannot change
# one.
_DECISIVE: Final = (
    "account_currency",
    "initial_cash",
    "limits",
    "scan",
    "allocator",
    "strategies",
    "venue",
    "reconciliation",
    "halt",
    "analytics",
)


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as `qm config show` prints it.

    `value` is masked where secret; `source` is "default", a file and line, "env NAME" or "flag --NAME".
    """

    key: str
    value: str
    source: str


class Config:
    """A configuration that was found sound, as the values the platform works with. Built by `load` and `check`.

    `settings` holds every section as written; the methods turn sections into the values of other rooms. `left_out`:
    strategy instances that cannot run and which the environment goes on without, by id, with what is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        layers: Sequence[Layer],
        directory: Path,
        left_out: Mapping[str, tuple[ConfigProblem, ...]] | None = None,
    ) -> None:
        self.settings = settings
        self.left_out = dict(left_out or {})
        self._layers = tuple(layers)
        self._directory = directory

    @property
    def environment(self) -> Environment:
        return self.settings.environment

    @property
    def book(self) -> str:
        return self.settings.book

    @property
    def paths(self) -> BookPaths:
        """Where this book lives; nothing is created by asking."""
        return BookPaths.under(self.resolved("paths.data"), self.environment.value, self.book)

    @property
    def anchors(self) -> Path:
        """Where this book's head is signed and kept, outside the book."""
        own = self.settings.paths.anchors is not None
        below = self.resolved("paths.anchors") if own else self.resolved("paths.data") / "anchors"
        return below / self.environment.value / f"{self.book}.jsonl"

    @property
    def archive(self) -> str:
        """Where closed sessions are archived to: a directory, or an object store's address."""
        place = self.settings.archive.place
        if place is None:
            return str(self.resolved("paths.data") / "archive")
        return place if "://" in place else str(self.resolved("archive.place"))

    @property
    def reports_directory(self) -> Path:
        """Where reports are written, by date and book."""
        return self.resolved("paths.reports")

    @property
    def data_file(self) -> Path | None:
        """The market data file or bar store; None: the demo market. A bare name that is no file is one on the shelf."""
        named = self.settings.data.file
        if named is None:
            return None
        from qmworkbench.service.data_shelf import Shelf

        path = self.resolved("data.file")
        return Shelf(self.resolved("paths.data")).meant(named, path) or path

    @property
    def actions_file(self) -> Path | None:
        """The table of corporate actions; None where there is none."""
        return None if self.settings.data.actions is None else self.resolved("data.actions")

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were read, weakest first; empty where there were none."""
        return tuple(layer.file for layer in self._layers if layer.file is not None)

    def limits(self, market: AssetClass) -> Limits:
        """The Risk Manager's limits. A count of shares says nothing of currency units: there it applies only if set.
        Pairs trade around the clock, each by several instances: there the usual count of trades is larger.
        """
        values = plain(self.settings.limits)
        usual = {"max_position_qty": None, "max_trades_per_day": FOREX_TRADES_PER_DAY}
        if market is AssetClass.FOREX:
            values |= {name: limit for name, limit in usual.items() if self.source(f"limits.{name}") == "default"}
        return Limits(**values)

    def scan(self, market: AssetClass) -> ScanSettings:
        """What the scanner looks for in this market."""
        scan = self.settings.scan
        return ScanSettings(**plain(scan.forex if market is AssetClass.FOREX else scan.equity))

    def venue_model(self) -> VenueModel:
        """How the simulated venue fills and charges."""
        venue = self.settings.venue
        terms = {AssetClass.EQUITY: venue.equity, AssetClass.FOREX: venue.forex}
        schedules = {kind: cost_schedule(plain(section)) for kind, section in terms.items()}
        financing = Financing(**plain(venue.financing))
        return VenueModel(
            name=venue.model,
            leverage=venue.leverage,
            schedules=schedules,
            financing=financing,
            borrowing=venue.shorts.borrowing(),
            short_margin=venue.shorts.short_margin(),
            shorting_enabled=venue.shorts.enabled,
            locates=venue.shorts.located(),
            day_trading_equity=venue.day_trading_equity,
        )

    def reconciliation(self) -> ReconciliationSettings:
        """When the broker is asked, and what is concluded from its answers."""
        return ReconciliationSettings(**plain(self.settings.reconciliation))

    def halt(self) -> HaltSettings:
        """How long trouble may last before it halts the book."""
        return halt_settings(self.settings.halt)

    def halt_policies(self) -> tuple[HaltPolicy, ...]:
        """What an owner approved beforehand: the conditions for which the book liquidates by itself."""
        return halt_policies(self.settings.halt)

    def wire(self) -> VenueAddress | None:
        """How the venue of this book is reached where it is a process of its own; None where it is played here.

        Raises NoBroker where it is not served.
        """
        broker = self.settings.broker
        if broker.kind == "simulated":
            return None
        from qmworkbench.brokers.select import served_address  # with it come the broker and the venue

        return served_address(
            broker.url,
            key_id=broker.key_id,
            secret=broker.secret.get_secret_value(),
            token=broker.token.get_secret_value(),
            db_path=self.paths.venue,
        )

    def served(self) -> VenueAddress | None:
        """The venue of this book where a process serves it now: as it says beside its file, else as the settings do."""
        from qmworkbench.venue.wire.address import read_note

        noted = read_note(self.paths.venue)
        return self.wire() if noted is None and self.settings.broker.url else noted

    def analytics(self) -> SignalSettings:
        """When the four signals of a running session speak."""
        return SignalSettings(**plain(self.settings.analytics))

    def retention(self) -> Retention:
        """How long a session's bulk is kept."""
        return Retention(days=dict(self.settings.retention))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value in use, for redaction; never to be printed."""
        held = (value for _, value in leaves(self.settings) if isinstance(value, SecretStr))
        return tuple(secret.get_secret_value() for secret in held if secret.get_secret_value())

    def source(self, key: str) -> str:
        """Where the setting at dotted `key` was set: "default", "qm.toml:12", "env QM_BOOK", "flag --book"."""
        return place(self._layers, tuple(key.split(".")))

    def resolved(self, key: str) -> Path:
        """A path setting made absolute. What a file says is relative to that file, a flag or variable to the working
        directory, a
        default to where the nearest qm.toml lies or, without one, to the working directory."""
        value: Any = self.settings
        for part in key.split("."):
            value = getattr(value, part)
        path = tuple(key.split("."))
        base = next((layer.directory for layer in reversed(self._layers) if layer.has(path)), self._directory)
        return Path(os.path.normpath(base / Path(value).expanduser()))

    def provenance(self) -> list[Provenance]:
        """Every setting with its value and where that came from, in the order of the sections."""
        return [
            Provenance(key=dotted(path), value=shown(value), source=place(self._layers, path))
            for path, value in leaves(self.settings)
        ]

    def decisive(self) -> dict[str, Any]:
        """The settings a decision can depend on, as plain data: what config_hash covers."""
        chosen = {name: canonical(getattr(self.settings, name)) for name in _DECISIVE}
        return chosen | {
            "history_days": self.settings.data.history_days,
            "symbols": sorted(self.settings.data.symbols),
        }

    @property
    def config_hash(self) -> str:
        """16 hex digits over `decisive()`: equal values give the same hash, however and wherever they were written."""
        return hashlib.sha256(msgspec.json.encode(self.decisive(), order="deterministic")).hexdigest()[:16]


def load(
    *,
    flags: Flags | None = None,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Config:
    """The configuration in force; the arguments are those of `check`. Raises ConfigRefused with all that is wrong."""
    config, problems = check(flags=flags, file=file, environ=environ, cwd=cwd)
    if config is None:
        raise ConfigRefused(problems)
    return config


def check(
    *,
    flags: Flags | None = None,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> tuple[Config | None, tuple[ConfigProblem, ...]]:
    """The configuration and no problems, or None and every problem there is.

    `file` is read instead of the nearest qm.toml; without it QM_CONFIG may name one. Beside a qm.toml that was
    found, a qm.local.toml is laid over it: the place for what belongs to one machine, secrets above all. `environ`
    and `cwd` are the process's own if not given.
    """
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    try:
        files, directory = _file_layers(file, environ, cwd)
    except ConfigRefused as refused:
        return None, refused.problems
    environment, problems = environment_layer(Settings, environ, cwd)
    layers = [*files, environment, flag_layer(Settings, flags or {}, cwd)]
    settings, found = read(layers)
    problems += found
    if settings is not None:
        problems += environment_problems(settings, layers)
        problems += value_problems(settings, layers)
        faulty = [*strategy_problems(settings, layers), *ownership_problems(settings, layers)]
        left_out = left_out_of(settings, faulty)
        # Where the configuration is refused anyway, everything that is wrong with it is told at once.
        problems += faulty if problems or not left_out else []
    if settings is None or problems:
        return None, tuple(sorted(problems, key=_reading_order))
    return Config(settings, layers, directory, left_out), ()


def _reading_order(problem: ConfigProblem) -> tuple[str, int]:
    """By file, then by line, as a person works through them."""
    name, _, line = problem.source.rpartition(":")
    return (name, int(line)) if line.isdigit() else (problem.source, 0)


def _file_layers(file: Path | None, environ: Mapping[str, str], cwd: Path) -> tuple[list[Layer], Path]:
    """The files to read, weakest first, and the directory that default paths are relative to."""
    if file is None and environ.get("QM_CONFIG"):
        file = Path(environ["QM_CONFIG"])
    if file is not None:
        layer = file_layer(Settings, cwd / file, shown_as=str(file))
        return [layer], layer.directory
    found = find_file(cwd)
    if found is None:
        return [], cwd
    beside = [found.parent / name for name in (FILE_NAME, LOCAL_NAME)]
    return [file_layer(Settings, path) for path in beside if path.is_file()], found.parent
