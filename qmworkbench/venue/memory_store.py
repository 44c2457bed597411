"""The venue's books in memory, for a replay: what `store.Store` keeps, with nothing to survive (§2 Backtesting)."""

from bisect import bisect_right
from copy import copy
from typing import Final

from qmworkbench.domain.execution import AccountActivity, ExecType, ExecutionReport
from qmworkbench.domain.instruments import Instrument
from qmworkbench.venue.bars import Print
from qmworkbench.venue.orders import VenueOrder
from qmworkbench.venue.records import (
    AccountRow,
    Batch,
    Booked,
    Entry,
    Holding,
    Quote,
    Rate,
    RoundTrips,
    Scheduled,
    StatementLine,
)

_MOVES_MONEY: Final = (ExecType.TRADE, ExecType.TRADE_CANCEL)


class MemoryStore:
    """`store.Store` without a file. What it is given it copies, and what it gives is a copy: books change in place."""

    data_version: Final = 0
    path: Final = ":memory:"

    def __init__(self) -> None:
        self._account: AccountRow | None = None
        self._orders: dict[str, VenueOrder] = {}
        self._open: set[str] = set()
        self._positions: dict[str, Holding] = {}
        self._marks: dict[str, Print] = {}
        self._rates: dict[str, Rate] = {}
        self._halts: dict[str, bool] = {}
        self._listings: dict[str, Instrument] = {}
        self._entries: list[Entry] = []
        self._entered: list[int] = []
        self._booked: list[Booked] = []
        self._booked_at: list[int] = []
        self._last_seq = 0
        self._first_ids: dict[str, str] = {}
        self._quotes: dict[str, Quote] = {}
        self._round_trips: dict[tuple[int, str], RoundTrips] = {}
        self._counters: dict[str, int] = {}
        self._scheduled: dict[int, Scheduled] = {}

    def close(self) -> None:
        """Nothing to give up."""

    def write(self, batch: Batch) -> None:
        """Take over what one operation changed."""
        if batch.account is not None:
            self._account = copy(batch.account)
        self._marks.update(batch.marks)
        self._rates.update(batch.rates)
        self._quotes.update(batch.quotes)
        for cl_ord_id, peak in batch.peaks.items():
            self._orders[cl_ord_id].peak_px = peak
        if not batch.binding:
            return
        for cl_ord_id, order in batch.orders.items():
            self._orders[cl_ord_id] = copy(order)
            if order.is_open or order.fills_late:
                self._open.add(cl_ord_id)
            else:
                self._open.discard(cl_ord_id)
            self._last_seq = max(self._last_seq, order.seq)
        for symbol, held in batch.positions.items():
            if held.qty:
                self._positions[symbol] = copy(held)
            else:
                self._positions.pop(symbol, None)
        self._halts.update(batch.halts)
        self._listings.update(batch.listings)
        self._entries += batch.entries
        self._entered += [entry.report.cursor for entry in batch.entries]
        for booked in batch.activities:
            self._booked.append(booked)
            self._booked_at.append(booked.activity.cursor)
        self._first_ids.update(batch.order_ids)
        self._round_trips.update({key: copy(trips) for key, trips in batch.round_trips.items()})
        self._counters.update(batch.counters)
        for item in batch.scheduled.values():
            if item.frames:
                self._scheduled[item.id] = item
            else:
                self._scheduled.pop(item.id, None)

    def account(self) -> AccountRow | None:
        """The account, None in books that have none yet."""
        return copy(self._account)

    def live_orders(self) -> list[VenueOrder]:
        """Open orders, and ended entries whose legs are open, by arrival."""
        alive = self._open | {self._orders[name].parent_id or "" for name in self._open}
        found = [self._orders[name] for name in alive if name in self._orders]
        return [copy(order) for order in sorted(found, key=lambda order: order.seq)]

    def order(self, cl_ord_id: str) -> VenueOrder | None:
        """Any order ever taken, by any client id it ever had."""
        return copy(self._orders.get(self._first_ids.get(cl_ord_id, cl_ord_id)))

    def knows(self, cl_ord_ids: list[str]) -> str | None:
        """The first of these ids that was ever used, None when all are new."""
        return next(
            (cl_ord_id for cl_ord_id in cl_ord_ids if cl_ord_id in self._orders or cl_ord_id in self._first_ids), None
        )

    def positions(self) -> list[Holding]:
        return [copy(self._positions[symbol]) for symbol in sorted(self._positions)]

    def marks(self) -> dict[str, Print]:
        return {symbol: self._marks[symbol] for symbol in sorted(self._marks)}

    def rates(self) -> list[Rate]:
        return [self._rates[currency] for currency in sorted(self._rates)]

    def halted(self) -> list[str]:
        return sorted(symbol for symbol, halted in self._halts.items() if halted)

    def quotes(self) -> dict[str, Quote]:
        """The last quote of every symbol that was ever quoted."""
        return {symbol: self._quotes[symbol] for symbol in sorted(self._quotes)}

    def round_trips(self) -> list[RoundTrips]:
        """What was opened and closed of a symbol, session by session."""
        return [copy(self._round_trips[key]) for key in sorted(self._round_trips)]

    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    def scheduled(self) -> list[Scheduled]:
        """What is still to happen by itself, oldest first."""
        return [self._scheduled[key] for key in sorted(self._scheduled)]

    def execution(self, exec_id: str) -> Entry | None:
        """A trade by its execution id, None when there was none."""
        trades = (entry for entry in self._entries if entry.report.exec_type is ExecType.TRADE and not entry.repeated)
        return next((entry for entry in trades if entry.report.exec_id == exec_id), None)

    def taken_back(self, exec_id: str) -> bool:
        """Whether a trade was busted."""
        return any(entry.report.ref_exec_id == exec_id for entry in self._entries)

    def last_cursor(self) -> int:
        return max(self._entered[-1] if self._entered else 0, self._booked_at[-1] if self._booked_at else 0)

    def last_seq(self) -> int:
        return self._last_seq

    def reports(self, after_cursor: int) -> list[ExecutionReport]:
        """What was reported after `after_cursor`, oldest first."""
        return [entry.report for entry in self._entries[bisect_right(self._entered, after_cursor) :]]

    def activities(self, after_cursor: int) -> list[AccountActivity]:
        """What was booked without an order after `after_cursor`, oldest first."""
        return [booked.activity for booked in self._booked[bisect_right(self._booked_at, after_cursor) :]]

    def statement(self, after_cursor: int) -> list[StatementLine]:
        """Every line of the account's statement after `after_cursor`, oldest first."""
        entries = self._entries[bisect_right(self._entered, after_cursor) :]
        lines = [_of_entry(entry) for entry in entries if entry.report.exec_type in _MOVES_MONEY and not entry.repeated]
        lines += [_of_activity(booked) for booked in self._booked[bisect_right(self._booked_at, after_cursor) :]]
        return sorted(lines, key=lambda line: line.cursor)

    def listings(self) -> dict[str, Instrument]:
        """The terms of every symbol ever held or ordered."""
        return {symbol: self._listings[symbol] for symbol in sorted(self._listings)}


def _of_entry(entry: Entry) -> StatementLine:
    said = entry.report
    return StatementLine(
        cursor=said.cursor,
        at=said.transact_time,
        what=said.exec_type.value,
        ref=said.exec_id,
        symbol=said.symbol,
        side=said.side.value,
        qty=said.last_qty,
        px=said.last_px,
        fee=-said.fee if said.exec_type is ExecType.TRADE_CANCEL else said.fee,
        realized_pnl=entry.realized_pnl,
        cash_delta=entry.cash_delta,
    )


def _of_activity(booked: Booked) -> StatementLine:
    told = booked.activity
    return StatementLine(
        cursor=told.cursor,
        at=told.transact_time,
        what=told.kind.value,
        ref=told.activity_id,
        symbol=told.symbol,
        realized_pnl=booked.realized_pnl,
        cash_delta=told.amount,
    )
