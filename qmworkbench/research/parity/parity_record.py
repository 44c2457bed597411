"""What a recorded session did, lane by lane, so that a backtest can be held against it (M: layer 2).

A *lane* is one instance in one symbol: what a backtest simulates by itself. Everything here is read from the session's
events; bars and grids are those it was recorded with.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl

from qmworkbench.analytics.session_record import SessionRecord
from qmworkbench.domain.events import market, orders
from qmworkbench.domain.events.session import RunSpec
from qmworkbench.domain.orders import Leg
from qmworkbench.strategies.bars import SessionGrid

Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A position as it stood when the session's first bar began: signed `qty`, `px` paid on average, and its exits.

    `stop` and `target` are the levels that rest at the broker, None for none; `hold_left` how many boundaries are left
    until its time limit, None for no limit; `leaving` whether it was to be closed already. `legs` says what the orders
    that rest for it are.
    """

    strategy_id: str
    symbol: str
    qty: Decimal
    px: Decimal
    stop: Decimal | None = None
    target: Decimal | None = None
    trail_bps: int | None = None
    hold_left: int | None = None
    leaving: bool = False
    legs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RecordedDay:
    """A session on record with all a backtest of it needs.

    `bars` are its regular bars, `history` those of the sessions before (RAW_SCHEMA both), `grids` the sessions in date
    order, its own last. `carried` are the positions it began with.
    """

    record: SessionRecord
    bars: pl.DataFrame
    history: pl.DataFrame
    grids: tuple[SessionGrid, ...]
    carried: tuple[Carried, ...] = ()

    @property
    def grid(self) -> SessionGrid:
        """The session's own."""
        return self.grids[-1]


@dataclass(frozen=True, kw_only=True)
class RecordedTrade:
    """A round trip as its fills tell it, or one still open. Prices are averages by quantity, money account currency.

    `entry_at` and `exit_at` are closing times of the bars that held the first entry and the last exit fill; None where
    it was carried in, or is still open. `rate` is None where it had no fill in this session. `qty` is unsigned, `side`
    +1 or -1. `exit_spread`: its exit took several bars.
    """

    side: int
    qty: float
    entry_at: datetime | None
    entry_px: float
    exit_at: datetime | None
    exit_px: float | None
    exit_leg: str
    fees: float
    rate: float | None
    entry_orders: tuple[str, ...] = ()
    exit_orders: tuple[str, ...] = ()
    exit_spread: bool = False


@dataclass
class Lane:
    """One instance in one symbol. `owned` are spans (from after, until) of boundaries at which it was asked, an open
    end None; `budgets` what one position could cost since when. By boundary: `rows` what it was recorded to have said,
    `raised` its entry signals. By signal: `ignored`, `denials` with their `failed_rules`, `intents`.
    """

    strategy_id: str
    symbol: str
    owned: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    budgets: list[tuple[datetime, Decimal]] = field(default_factory=list)
    rows: dict[datetime, market.SignalRow] = field(default_factory=dict)
    raised: dict[datetime, market.SignalRaised] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    denials: dict[str, orders.OrderDenied] = field(default_factory=dict)
    failed_rules: dict[str, tuple[str, ...]] = field(default_factory=dict)
    intents: dict[str, orders.OrderIntended] = field(default_factory=dict)
    exits: list[orders.ExitRequested] = field(default_factory=list)
    trades: list[RecordedTrade] = field(default_factory=list)
    carried: Carried | None = None

    def is_owned(self, at: datetime) -> bool:
        """Whether the instance was asked about the symbol at the boundary `at`."""
        return any(since < at and (until is None or at <= until) for since, until in self.owned)

    def budget(self, at: datetime) -> Decimal | None:
        """What one position could cost at `at`, in account currency; None where nothing was assigned by then."""
        known = [budget for since, budget in self.budgets if since <= at]
        return known[-1] if known else None


@dataclass(frozen=True, eq=False)
class Lanes:
    """Every lane of a session, in order of instance and symbol, and what concerns all of them.

    `dropped` are boundaries whose computed frame came too late; `cancels` the reasons of cancels by order; `orders` the
    orders' rows by id.
    """

    by_key: dict[Key, Lane]
    dropped: frozenset[datetime]
    cancels: Mapping[str, str]
    orders: Mapping[str, Mapping[str, object]]
    boundaries: frozenset[datetime]


def lanes_of(day: RecordedDay) -> Lanes:
    """Read the lanes of a session from its record."""
    runs = {run.strategy_id: run for run in day.record.opened.runs}
    lanes = _Keyed()
    for run in runs.values():
        for symbol in run.symbols:
            lanes[run.strategy_id, symbol].owned.append((day.record.opened.at, None))
    walk = _Walk(lanes, runs)
    for event in day.record.events:
        walk.take(event)
    for carried in day.carried:
        lanes[carried.strategy_id, carried.symbol].carried = carried
    for key, trade in _trades(day, walk):
        lanes[key].trades.append(trade)
    for (name, _), lane in lanes.items():
        if name in runs and runs[name].symbols and len(lane.owned) > 1:
            # A pair known beforehand is asked about once it is assigned, like any other.
            lane.owned.pop(0)
    ours = {key: lane for key, lane in sorted(lanes.items()) if key[0] in runs}
    rows = {str(row["cl_ord_id"]): row for row in day.record["orders"].iter_rows(named=True)}
    return Lanes(ours, frozenset(walk.dropped), walk.cancels, rows, frozenset(walk.boundaries))


class _Keyed(dict[Key, Lane]):
    def __missing__(self, key: Key) -> Lane:
        self[key] = Lane(*key)
        return self[key]


class _Walk:
    """Hands each event to the lane it concerns."""

    def __init__(self, lanes: _Keyed, runs: Mapping[str, RunSpec]) -> None:
        self.dropped: set[datetime] = set()
        self.boundaries: set[datetime] = set()
        self.cancels: dict[str, str] = {}
        self.taken_back: set[str] = set()
        self._lanes, self._runs = lanes, runs
        self._signals: dict[str, Key] = {}
        self._rules: dict[str, tuple[str, ...]] = {}

    def take(self, event: object) -> None:
        match event:
            case market.BoundaryClosed():
                if not event.extended:
                    self.boundaries.add(event.at)
            case market.FrameComputed():
                for row in event.signals:
                    self._lanes[row.strategy_id, row.symbol].rows[event.as_of] = row
            case market.FrameDropped():
                self.dropped.add(event.as_of)
            case market.AssignmentMade():
                lane = self._lanes[event.strategy_id, event.symbol]
                lane.owned.append((event.at, None))
                lane.budgets.append((event.at, event.budget))
            case market.AssignmentEnded():
                lane = self._lanes[event.strategy_id, event.symbol]
                lane.owned = [(since, until or event.at) for since, until in lane.owned]
            case market.SignalRaised():
                self._signals[event.signal_id] = (event.strategy_id, event.symbol)
                if event.kind.startswith("entry"):
                    self._lanes[event.strategy_id, event.symbol].raised[event.at] = event
            case market.SignalIgnored():
                if event.signal_id in self._signals:
                    self._lanes[self._signals[event.signal_id]].ignored[event.signal_id] = event.reason
            case _:
                self._order(event)

    def _order(self, event: object) -> None:
        match event:
            case orders.RiskDecided() if not event.allowed:
                self._rules[event.cl_ord_id] = tuple(rule.code for rule in event.failed)
            case orders.OrderDenied() if event.leg is Leg.ENTRY:
                lane = self._lanes[event.strategy_id, event.request.symbol]
                lane.denials[event.signal_id] = event
                lane.failed_rules[event.signal_id] = self._rules.get(event.request.cl_ord_id, ())
            case orders.OrderIntended() if event.leg is Leg.ENTRY:
                self._lanes[event.strategy_id, event.request.symbol].intents[event.signal_id] = event
            case orders.ExitRequested():
                self._lanes[event.strategy_id, event.symbol].exits.append(event)
            case orders.CancelRequested():
                self.cancels[event.cl_ord_id] = event.reason
            case orders.FillReversed():
                self.taken_back.add(event.ref_exec_id)
            case _:
                pass


def _trades(day: RecordedDay, walk: _Walk) -> Iterator[tuple[Key, RecordedTrade]]:
    """Round trips from the fills, lane by lane, the open one last."""
    by_lane: dict[Key, list[dict[str, object]]] = defaultdict(list)
    for row in day.record["trade_fills"].iter_rows(named=True):
        if row["exec_id"] not in walk.taken_back:
            by_lane[str(row["strategy_id"]), str(row["symbol"])].append(row)
    carried = {(one.strategy_id, one.symbol): one for one in day.carried}
    for key, rows in by_lane.items():
        begun = carried.get(key)
        parts: list[dict[str, object]] = []
        for row in rows:
            parts.append(row)
            if row["qty_after"] == 0:
                yield key, _trade(parts, begun)
                parts, begun = [], None
        if parts or begun is not None:
            yield key, _trade(parts, begun)
    for key, begun in carried.items():
        if key not in by_lane:
            yield key, _trade([], begun)


def _trade(parts: list[dict[str, object]], carried: Carried | None) -> RecordedTrade:
    entries = [part for part in parts if part["is_entry"]]
    exits = [part for part in parts if not part["is_entry"]]
    told = [(_number(part, "qty"), _number(part, "px")) for part in entries]
    if carried is not None:
        told.insert(0, (float(abs(carried.qty)), float(carried.px)))
    qty = sum(units for units, _ in told)
    side = (1 if carried.qty > 0 else -1) if carried is not None else (1 if entries[0]["side"] == "buy" else -1)
    closed = bool(exits) and exits[-1]["qty_after"] == 0
    out = sum(_number(part, "qty") for part in exits)
    times = [part["at"] for part in exits]
    return RecordedTrade(
        side=side,
        qty=qty,
        entry_at=None if carried is not None else _time(entries[0]),
        entry_px=sum(units * px for units, px in told) / qty,
        exit_at=_time(exits[-1]) if closed else None,
        exit_px=sum(_number(part, "qty") * _number(part, "px") for part in exits) / out if closed else None,
        exit_leg=_leg(exits[-1], carried) if exits else "",
        fees=sum(_number(part, "fee") for part in parts),
        rate=_number(parts[-1], "rate") if parts else None,
        entry_orders=tuple(dict.fromkeys(str(part["cl_ord_id"]) for part in entries)),
        exit_orders=tuple(dict.fromkeys(str(part["cl_ord_id"]) for part in exits)),
        exit_spread=len(set(times)) > 1,
    )


def _leg(part: Mapping[str, object], carried: Carried | None) -> str:
    """What kind of order it was; one that rested since yesterday is not among this session's."""
    return str(part["leg"] or (carried.legs.get(str(part["cl_ord_id"]), "") if carried is not None else ""))


def _number(part: Mapping[str, object], name: str) -> float:
    value = part[name]
    assert isinstance(value, int | float), f"{name} of a fill is a number"
    return float(value)


def _time(part: Mapping[str, object]) -> datetime:
    at = part["at"]
    assert isinstance(at, datetime), "a fill has its time"
    return at


def closing(grid: SessionGrid, bar: int) -> datetime:
    """When bar number `bar` closes: what decisions, fills and frames of that bar are dated with."""
    return grid.opened_at(bar) + timedelta(seconds=grid.interval_s)
