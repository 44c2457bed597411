"""Parameter changes of a book: proposed, approved, withdrawn and shown, against its catalog, ledger and sessions (§3).

A change is never in force in a session that is open: the one after the session opened last is the first to run it.
"""

import getpass
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from qmworkbench.domain.events.session import RunSpec, SessionOpened
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.service.auth import operator_name
from qmworkbench.service.config import Config
from qmworkbench.service.config_diff import last_opened, market_of
from qmworkbench.service.config_problems import nearest
from qmworkbench.service.offline import BookEmpty
from qmworkbench.service.runs import Published, approved_set, instances, ledger_of, published, running_set
from qmworkbench.storage.approvals import LedgerWriter
from qmworkbench.storage.stores import begun, open_reader
from qmworkbench.strategies import catalog, changes
from qmworkbench.strategies.approvals import (
    Approvals,
    Approved,
    ApprovedSet,
    ParameterChange,
    Proposed,
    Version,
    Withdrawn,
    differences,
)
from qmworkbench.strategies.changes import Act, ApprovalRefused, Calendar, Owners, Subject
from qmworkbench.strategies.definition import StrategyDefinition, StrategyInstance
from qmworkbench.strategies.parameters import ParameterError, Params, Value

_LISTED = 12


class UnknownInstance(LookupError):
    """No strategy instance of that id in this book; the message lists those there are and the nearest."""


@dataclass(frozen=True)
class InstanceView:
    """An instance as the next session finds it. `running` None: `fault` says why it cannot run."""

    instance: StrategyInstance
    definition: StrategyDefinition
    approved: ApprovedSet
    running: dict[str, Value] | None
    pending: Version | None
    fault: str = ""

    @property
    def differences(self) -> tuple[ParameterChange, ...]:
        """What runs against what is approved."""
        return () if self.running is None else differences(self.approved.params, self.running)

    @property
    def running_hash(self) -> str:
        return "" if self.running is None else self.definition.hash(self.running)

    @property
    def as_approved(self) -> bool:
        return self.running_hash == self.approved.hash


class Desk:
    """One book's parameter changes: what is approved, and the acts that change it.

    Raises StorageRefused where ledger or journal cannot be used.
    """

    def __init__(self, config: Config, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._config, self._now = config, now
        self._ledger = ledger_of(config)
        try:
            self._opened: SessionOpened | None = last_opened(config) if begun(config.paths) else None
        except BookEmpty:
            self._opened = None

    # --- looking ----------------------------------------------------------------------------------------------

    def approvals(self) -> Approvals:
        """Everything on record."""
        return self._ledger.approvals()

    def calendar(self) -> Calendar:
        """The session opened last and the date of the one after it; empty for a book without any."""
        opened = self._opened
        if opened is None:
            return Calendar()
        last = date.fromisoformat(opened.window.date)
        following = SessionCalendar(opened.instruments[0].calendar).next_session(last)
        return Calendar(session_id=opened.session_id, session=opened.window.date, next_session=following.isoformat())

    def instances(self) -> dict[str, StrategyInstance]:
        """Every instance that this book can run, by id: its own market's first, then the other's."""
        found: dict[str, StrategyInstance] = {}
        for market in self._markets():
            for instance in instances(self._config, market, self._symbols(market)):
                found.setdefault(instance.instance_id, instance)
        return found

    def views(self) -> list[InstanceView]:
        """Every instance of the market this book trades as the next session finds it, in order of strategy and id; of
        every market where no session has been opened yet.
        """
        approvals, known = self.approvals(), self._published()
        market = market_of(self._opened) if self._opened is not None else None
        mine = [one for one in self.instances().values() if market in (None, one.asset_class)]
        views = [self._view(instance, approvals, known) for instance in mine]
        return sorted(views, key=lambda view: (view.definition.strategy_id, view.instance.instance_id))

    def view(self, instance_id: str) -> InstanceView:
        """One instance as the next session finds it. Raises UnknownInstance."""
        return self._view(self._instance(instance_id), self.approvals(), self._published())

    def named(self, name: str) -> list[str]:
        """The instances that a name means: one by its id, past ones too, or every one of a strategy of the catalog.

        Raises UnknownInstance.
        """
        known = self.instances()
        if name not in known and name in catalog.catalog():
            found = sorted(one.instance_id for one in known.values() if one.strategy_id == name)
            if found:
                return found
        if name not in known and name not in self.approvals().instances and not self.sessions([name])[name]:
            self._instance(name)
        return [name]

    def sessions(self, instance_ids: Sequence[str]) -> dict[str, list[tuple[str, RunSpec]]]:
        """What each session of the book ran these instances with, oldest first: the session's date and the run."""
        found: dict[str, list[tuple[str, RunSpec]]] = {name: [] for name in instance_ids}
        if not begun(self._config.paths):
            return found
        with open_reader(self._config.paths) as reader:
            opened = [event for _, event in reader.session_events() if isinstance(event, SessionOpened)]
        for event in opened:
            for run in event.runs:
                if run.strategy_id in found:
                    found[run.strategy_id].append((event.window.date, run))
        return found

    # --- acting -----------------------------------------------------------------------------------------------

    def propose(self, instance_id: str, values: Params, *, by: str | None, reason: str) -> Proposed:
        """Put new values forward. Raises ParameterError, ApprovalRefused, UnknownInstance, OperatorUnknown."""
        with self._acting(instance_id, by, reason) as (ledger, subject, act):
            record = changes.propose(ledger.approvals, subject, values, act)
            ledger.append(record)
        return record

    def propose_as_configured(self, instance_id: str, *, by: str | None, reason: str) -> Proposed:
        """Put forward what runs now, edits of the configuration included."""
        with self._acting(instance_id, by, reason) as (ledger, subject, act):
            record = changes.propose_as_configured(ledger.approvals, subject, act)
            ledger.append(record)
        return record

    def approve(self, instance_id: str, number: int, *, by: str, reason: str = "") -> Approved:
        """Sign a version, for the next session."""
        with self._acting(instance_id, by, reason) as (ledger, subject, act):
            record = changes.approve(ledger.approvals, subject, number, act, self.calendar(), self.owners)
            ledger.append(record)
        return record

    def withdraw(self, instance_id: str, number: int | None, *, by: str | None, reason: str) -> Withdrawn:
        """Take a version back before it runs; without a number the pending one, or the newest signed."""
        with self._acting(instance_id, by, reason) as (ledger, subject, act):
            record = changes.withdraw(ledger.approvals, subject, number, act, self.calendar(), self.owners)
            ledger.append(record)
        return record

    def revert(self, instance_id: str, number: int, *, by: str, reason: str) -> tuple[Proposed, Approved]:
        """Go back to an earlier set, signed at once: both records or none."""
        with self._acting(instance_id, by, reason) as (ledger, subject, act):
            put = changes.revert(ledger.approvals, subject, number, act)
            then = Approvals((*ledger.approvals.records, put))
            signed = changes.approve(then, subject, put.version, act, self.calendar(), self.owners)
            ledger.append(put, signed)
        return put, signed

    @property
    def owners(self) -> Owners:
        """Who may sign for whom."""
        return Owners(environment=self._config.environment, people=self._config.settings.owners)

    # --- inside -----------------------------------------------------------------------------------------------

    @contextmanager
    def _acting(self, instance_id: str, by: str | None, reason: str) -> Iterator[tuple[LedgerWriter, Subject, Act]]:
        instance = self._instance(instance_id)
        act = Act(by=operator_name(by), login=_login(), at=self._now(), reason=reason.strip())
        with self._ledger.writing() as ledger:
            yield ledger, self._subject(instance), act

    def _instance(self, instance_id: str) -> StrategyInstance:
        known = self.instances()
        if instance_id in known:
            return known[instance_id]
        if instance_id in self._config.left_out:
            why = "; ".join(map(str, self._config.left_out[instance_id]))
            raise ApprovalRefused(f"{instance_id} cannot run as it is configured: {why}", "correct that first")
        close = nearest(instance_id, sorted(known))
        some = sorted(known)[:_LISTED]
        more = f" and {len(known) - len(some)} more" if len(known) > len(some) else ""
        hint = f"; did you mean {close}?" if close else ""
        raise UnknownInstance(
            f"no strategy instance {instance_id!r} in book {self._config.book!r} ({', '.join(some)}{more}){hint}"
        )

    def _subject(self, instance: StrategyInstance) -> Subject:
        definition = catalog.get(instance.strategy_id)
        return Subject(
            instance_id=instance.instance_id,
            definition=definition,
            configured=definition.parameters(instance.params),
            published=self._published().get((instance.instance_id, instance.strategy_id), {}),
        )

    def _view(self, instance: StrategyInstance, approvals: Approvals, known: Published) -> InstanceView:
        approved = approved_set(instance, known, approvals)
        running, fault = None, ""
        try:
            running = running_set(instance, approved)
        except ParameterError as error:
            fault = str(error)
        return InstanceView(
            instance=instance,
            definition=catalog.get(instance.strategy_id),
            approved=approved,
            running=running,
            pending=approvals.pending(instance.instance_id),
            fault=fault,
        )

    def _published(self) -> Mapping[tuple[str, str], Params]:
        return {
            key: params for market in AssetClass for key, params in published(market, self._symbols(market)).items()
        }

    def _markets(self) -> list[AssetClass]:
        own = [market_of(self._opened)] if self._opened is not None else []
        return [*own, *(market for market in AssetClass if market not in own)]

    def _symbols(self, market: AssetClass) -> Sequence[str]:
        """The universe of the session opened last, where it traded that market; else the pairs of the catalog."""
        if self._opened is None or market_of(self._opened) is not market:
            return catalog.MAJOR_PAIRS
        return [instrument.symbol for instrument in self._opened.instruments]


def parsed(definition: StrategyDefinition, given: Sequence[str]) -> dict[str, Value]:
    """`name=value` as typed, each value in its parameter's own type where it can be read so.

    What cannot be read, and names there are none of, are left for the definition to refuse. Raises ApprovalRefused.
    """
    values: dict[str, Value] = {}
    specs = {spec.name: spec for spec in definition.parameter_specs}
    for text in given:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not name or not value:
            raise ApprovalRefused(f"{text!r} sets nothing", "give changes as name=value, such as entry_bars=40")
        if name in values:
            raise ApprovalRefused(f"{name} is given twice", "give each parameter once")
        values[name] = _read(value, specs[name].approved) if name in specs else value
    return values


def _read(text: str, like: Value) -> Value:
    if isinstance(like, str):
        return text
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
