"""What is seen once a session has been taken over: our books, the broker's, and the journal between them (§19)."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import msgspec

from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.chain import ChainBroken
from qmworkbench.domain.checks import Check
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import SymbolBlocked, SymbolUnblocked, TradingStateChanged
from qmworkbench.domain.events.market import AssignmentEnded, AssignmentMade, WatchState
from qmworkbench.domain.events.orders import FillRecorded, OrderIntended
from qmworkbench.domain.events.reconciliation import SessionEquitySet
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.domain.execution import BrokerSnapshot, ExecType
from qmworkbench.domain.orders import PositionEffect
from qmworkbench.domain.sessions import TradingState
from qmworkbench.operations.recovery import Pair, RecoveryEvidence
from qmworkbench.ports import Broker
from qmworkbench.service.recovery import SearchableJournal, session_events
from qmworkbench.storage.atomic import write_whole
from qmworkbench.trading.holdings import unsound
from qmworkbench.trading.state import State, position_key


class ProvenJournal(SearchableJournal, Protocol):
    """A journal that can prove its chain."""

    @property
    def head(self) -> tuple[int, str]: ...

    def verify(self) -> object: ...


def gather_recovery(state: State, broker: Broker, journal: ProvenJournal, radar: str = "") -> RecoveryEvidence:
    """Everything §19's acceptance criteria ask; reads broker and journal, changes nothing. `radar` says how the rebuilt
    radar compares, "" if alike.
    """
    read = snapshot(broker, state.day.first_cursor)
    story = [event for _, event in session_events(journal, state.day.session_id)]
    fills = [event for event in story if isinstance(event, FillRecorded)]
    whole = read if read.complete else None
    return RecoveryEvidence(
        account=_account(state, whole),
        positions=None if whole is None else _positions(state, whole),
        orders=None if whole is None else _orders(state, whole),
        in_doubt=tuple(o.cl_ord_id for o in state.working() if o.is_in_doubt and o.parent_id is None),
        watchlist=_contradictions(state),
        watched=len(state.day.watchlist),
        risk=_risk(state, story),
        chain_error=_chain_error(journal),
        records=journal.head[0],
        executions=None if whole is None else sum(e.exec_type is ExecType.TRADE for e in whole.executions),
        booked=len(fills),
        radar=radar,
    )


def _account(state: State, read: BrokerSnapshot | None) -> tuple[Pair, ...] | None:
    ours, theirs = state.account, read.account if read is not None else None
    if ours is None or theirs is None:
        return None
    return (
        Pair("cash", ours.cash, theirs.cash),
        Pair("equity", ours.equity, theirs.equity),
        Pair("realized P&L", state.day.realized_pnl, theirs.realized_pnl),
        Pair("fees", state.day.fees, theirs.fees),
    )


def _positions(state: State, read: BrokerSnapshot) -> tuple[Pair, ...]:
    theirs = {position.symbol: position.qty for position in read.positions}
    symbols = sorted({*theirs, *state.net})
    return tuple(Pair(symbol, state.net_qty(symbol), theirs.get(symbol)) for symbol in symbols)


def _orders(state: State, read: BrokerSnapshot) -> tuple[Pair, ...]:
    """Legs whose entry has not filled wait at the broker and are none of its open orders yet."""
    theirs: dict[str, Decimal] = {order.cl_ord_id: order.leaves_qty for order in read.open_orders}
    ours = {o.working_id or o.cl_ord_id: o.leaves_qty for o in state.working() if not o.is_in_doubt}
    return tuple(Pair(name, ours.get(name), theirs.get(name)) for name in sorted({*ours, *theirs}))


def _contradictions(state: State) -> tuple[str, ...]:
    held, day = set(state.held_symbols()), state.day
    found = []
    for symbol, item in day.watchlist.items():
        if item.state is WatchState.ENTERED and symbol not in held:
            found.append(f"{symbol} is entered, and nothing of it is held")
        if item.state is WatchState.ASSIGNED and symbol not in day.owners:
            found.append(f"{symbol} is assigned, and to nobody")
        if item.state is WatchState.FOUND and symbol in held:
            found.append(f"{symbol} is held, and its entry is not noted")
    return (*found, *unsound(state))


def _risk(state: State, story: Sequence[Event]) -> tuple[tuple[str, str, str], ...]:
    day = state.day
    opened = [event for event in story if isinstance(event, SessionOpened)]
    equity = [event.equity for event in story if isinstance(event, SessionEquitySet)]
    entries = [
        event
        for event in story
        if isinstance(event, OrderIntended) and event.request.position_effect is PositionEffect.OPEN
    ]
    changes = [event.after for event in story if isinstance(event, TradingStateChanged) and event.scope == "book"]
    pairs = [
        ("limits", day.limits_hash, opened[-1].limits_hash if opened else "none"),
        ("start equity", str(day.start_equity), str(equity[-1]) if equity else "None"),
        ("entries intended", str(day.entries_intended), str(len(entries))),
    ]
    if changes:
        pairs.append(("trading state", state.halt.state.value, TradingState(changes[-1]).value))
    return (*pairs, *_strategies(state, story), _owners(state, story), _blocked(state, story))


def _strategies(state: State, story: Sequence[Event]) -> list[tuple[str, str, str]]:
    """Instances whose own state was changed in this session."""
    last = {e.scope: e.after for e in story if isinstance(e, TradingStateChanged) and e.scope != "book"}
    return [
        (f"state of {name}", state.day.runs[name].state.value, TradingState(after).value)
        for name, after in sorted(last.items())
        if name in state.day.runs
    ]


def _owners(state: State, story: Sequence[Event]) -> tuple[str, str, str]:
    """Who owns which symbol, by what the story gave and took."""
    owned: dict[str, None] = {}
    for event in story:
        if isinstance(event, AssignmentMade):
            owned[position_key(event.strategy_id, event.symbol)] = None
        elif isinstance(event, AssignmentEnded):
            owned.pop(position_key(event.strategy_id, event.symbol), None)
    return "owned symbols", _named(state.day.assignments), _named(owned)


def _blocked(state: State, story: Sequence[Event]) -> tuple[str, str, str]:
    """Symbols that people blocked or unblocked in this session."""
    told: dict[str, bool] = {}
    for event in story:
        if isinstance(event, SymbolBlocked | SymbolUnblocked):
            told[event.symbol] = isinstance(event, SymbolBlocked)
    now = [symbol for symbol in told if symbol in state.blocked]
    return "blocked by people", _named(now), _named(symbol for symbol, blocked in told.items() if blocked)


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _chain_error(journal: ProvenJournal) -> str:
    try:
        journal.verify()
    except ChainBroken as error:
        return str(error)
    return ""


def keep_recovery(session_root: Path, checks: Sequence[Check]) -> Path:
    """Keep the acceptance checks of a recovery with its session; each recovery has its own file."""
    number = len(list(session_root.glob("recovery-*.json"))) + 1
    path = session_root / f"recovery-{number}.json"
    write_whole(path, msgspec.json.format(msgspec.json.encode(list(checks))))
    return path
