"""What has changed since the book's last session: what it was opened with against what is in force now (§5, §8)."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from qmworkbench.domain.events.session import RunSpec, SessionOpened
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.limits import Limits
from qmworkbench.service.code_version import code_version
from qmworkbench.service.config import Config
from qmworkbench.service.config_ownership import MAX_OWNED, most_owned, shares_symbols
from qmworkbench.service.config_problems import shown
from qmworkbench.service.offline import BookEmpty, read_state
from qmworkbench.service.plan import as_plain
from qmworkbench.service.runs import schedule
from qmworkbench.storage.stores import open_reader
from qmworkbench.trading.state import State


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that is not what it was. "" stands for absent; `source` is where the present value comes from."""

    key: str
    before: str
    after: str
    source: str


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that changed since `session_id` was opened (book time)."""

    session_id: str
    opened_at: datetime
    changes: tuple[Change, ...]


# The id names the run, parameters are told one by one, and their hash changes with them.
_TOLD_OTHERWISE: Final = frozenset({"strategy_id", "params", "params_hash"})


def changes_since_last_session(config: Config) -> Changes:
    """Compare what is in force now with the book's last SessionOpened. Raises BookEmpty where there is none."""
    state = read_state(config).state
    opened = last_opened(config)
    market = market_of(opened)
    now = config.limits(market)
    changes = [
        *_limits(opened.limits, now, config),
        *_tables(f"scan.{market.value}", opened.scan_settings, as_plain(config.scan(market)), config),
        *_runs(opened.runs, _runs_now(config, opened)),
        *_blocked(opened, state, now),
        *_plain(opened, config),
    ]
    if not changes and opened.config_hash != config.config_hash:
        source = "venue, initial_cash, data.history_days or data.symbols"
        changes.append(Change(key="config_hash", before=opened.config_hash, after=config.config_hash, source=source))
    return Changes(session_id=opened.session_id, opened_at=opened.at, changes=tuple(changes))


def last_opened(config: Config) -> SessionOpened:
    """The newest session's opening. Raises BookEmpty."""
    with open_reader(config.paths) as reader:
        opened = [event for _, event in reader.session_events() if isinstance(event, SessionOpened)]
    if not opened:
        raise BookEmpty(f"book {config.book!r} has no session yet ({config.paths.root}): run one with `qm day`")
    return opened[-1]


def market_of(opened: SessionOpened) -> AssetClass:
    """The market a session traded: that of its instruments."""
    return opened.instruments[0].asset_class


def _runs_now(config: Config, opened: SessionOpened) -> tuple[RunSpec, ...]:
    """What the next session would run on the market and the universe of that one."""
    return schedule(config, market_of(opened), [instrument.symbol for instrument in opened.instruments]).runs


def _limits(before: Limits, after: Limits, config: Config) -> Iterator[Change]:
    for name in before.__struct_fields__:
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            key = f"limits.{name}"
            yield Change(key=key, before=shown(was), after=shown(now), source=config.source(key))


def _tables(section: str, before: Mapping[str, Any], after: Mapping[str, Any], config: Config) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            key = f"{section}.{name}"
            yield Change(
                key=key, before=shown(before.get(name)), after=shown(after.get(name)), source=config.source(key)
            )


def _runs(before: Iterable[RunSpec], after: Iterable[RunSpec]) -> Iterator[Change]:
    were, are = {run.strategy_id: run for run in before}, {run.strategy_id: run for run in after}
    for name in sorted(were.keys() | are.keys()):
        was, now = were.get(name), are.get(name)
        if was is None or now is None:
            told = [f"{run.definition_id} {run.version}" if run else "" for run in (was, now)]
            yield Change(key=f"strategies.{name}", before=told[0], after=told[1], source="strategies")
            continue
        for field in (name for name in RunSpec.__struct_fields__ if name not in _TOLD_OTHERWISE):
            pair = getattr(was, field), getattr(now, field)
            if pair[0] != pair[1]:
                yield Change(
                    key=f"strategies.{name}.{field}", before=shown(pair[0]), after=shown(pair[1]), source="strategies"
                )
        for field in dict.fromkeys((*was.params, *now.params)):
            if was.params.get(field) != now.params.get(field):
                yield Change(
                    key=f"strategies.{name}.params.{field}",
                    before=shown(was.params.get(field)),
                    after=shown(now.params.get(field)),
                    source="strategies",
                )


def _blocked(opened: SessionOpened, state: State, now: Limits) -> Iterator[Change]:
    """Symbols blocked on record since then; those of the limits are told with the limits."""
    configured = {*opened.limits.blocked_symbols, *now.blocked_symbols}
    for symbol, block in sorted(state.blocked.items()):
        if symbol not in configured and block.at >= opened.at:
            source = f"{block.by}: {block.reason}"
            yield Change(key=f"blocked.{symbol}", before="", after=block.scope.value, source=source)


def _plain(opened: SessionOpened, config: Config) -> Iterator[Change]:
    allocator = config.settings.allocator
    market = opened.instruments[0].asset_class
    shared = {True: "shared", False: "exclusive"}
    pairs: dict[str, tuple[object, object]] = {
        "environment": (opened.environment.value, config.environment.value),
        "account_currency": (opened.account_currency, config.settings.account_currency),
        "allocator.ownership": (
            shared[opened.shared_symbols],
            shared[shares_symbols(config.settings, market)],
        ),
        MAX_OWNED: (opened.max_owned, most_owned(config, market, opened.runs)),
        "allocator.max_candidates": (opened.max_candidates, allocator.max_candidates),
    }
    for key, (was, now) in pairs.items():
        if was != now:
            yield Change(key=key, before=shown(was), after=shown(now), source=config.source(key))
    if opened.code_version != code_version():
        yield Change(key="code", before=opened.code_version, after=code_version(), source="the checkout")
