"""Several symbols on one account: how much each entry takes, and which are refused (FILLS §5).

The size of a position moves no fill (a unit is stopped out where a thousand are), so the round trips of each symbol are
known beforehand; they are walked in time beside the others', sized and paid from one account. What cannot be paid, or
has no place, is refused and told; the symbol goes on from there without it. At one open entries are served by rank, and
what leaves at that open pays for none of them. Only an entry that turns a position round may spend what the close of
that very position brings.
"""

import heapq
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from qmworkbench.research.fills.decisions import whole_lots
from qmworkbench.research.fills.fill_kernel import costs_of, events_of, rows_of, scratch
from qmworkbench.research.fills.fill_walk import CODE, ENTRY_LONG, ROW
from qmworkbench.research.fills.tape import Decisions, Fills, Floats, Ints, Phase, Reason, Tape, Terms
from qmworkbench.research.fills.trip_walk import (
    ENDED_BY,
    ENTERED,
    ENTRY_PX,
    EXIT_PX,
    LEFT,
    LEFT_PHASE,
    LEFT_REASON,
    RESUMES,
    STATUS,
    TAKEN,
    room,
    trips_of,
)

Simulate = Callable[[Tape, Decisions, Terms], Fills]
_PHASES: Final = 4  # more than there are, so that an instant is a time and a phase in one number
_NEVER: Final = 2**62
_NOTHING: Final = 1e-9


class AllocationDiffers(RuntimeError):
    """The engine filled other entries, or other sizes, than the account had paid for."""


@dataclass(frozen=True)
class Sizing:
    """How many whole units an entry takes.

    `kind` "equity": `amount` is the share of the session's starting equity that all positions together may cost; each
    of `positions` places gets its part, in units of the deciding close. "cash": `amount` of currency a position.
    "units": `amount` units. "all_in": whatever is free at the fill, in units of the fill's own price, fees paid.
    `positions`: the most that may be held at once, None for as many as there are symbols.
    """

    kind: Literal["equity", "cash", "units", "all_in"] = "equity"
    amount: float = 0.95
    positions: int | None = None

    def __post_init__(self) -> None:
        if self.kind == "equity" and not 0 < self.amount <= 1:
            raise ValueError(f"sizing: {self.amount} of the equity; give a share above 0 and at most 1")
        if self.kind in ("cash", "units") and not self.amount > 0:
            raise ValueError(f"sizing: {self.amount} {self.kind} a position; give more than 0")
        if self.positions is not None and self.positions < 1:
            raise ValueError(f"sizing: {self.positions} positions at once; give 1 or more")

    def described(self) -> str:
        """In words, for a result."""
        told = {
            "equity": f"{self.amount:.0%} of the session's starting equity over the places",
            "cash": f"{self.amount:,.2f} a position",
            "units": f"{self.amount:,.0f} units a position",
            "all_in": "all that is free, at the fill's price",
        }[self.kind]
        return f"{told}, {self.positions} at once" if self.positions else told


@dataclass(frozen=True, eq=False)
class Prospect:
    """One symbol that may trade: bars, decisions, and what its instrument asks for.

    `margin_rate` is the share of the notional that an open position binds, `lot` the step of its quantities. `rank` by
    row: at one open the larger is served first, ties by symbol. `base_us` by row: the start of the trading day whose
    starting equity sizes an entry decided there, in microseconds of UTC.
    """

    tape: Tape
    decisions: Decisions
    rank: Floats
    base_us: Ints
    lot: float = 1.0
    least: float = 1.0
    margin_rate: float = 1.0


@dataclass(frozen=True)
class Refusal:
    """An entry that was decided and not taken: `row` its decision, `needed` and `free` in currency, 0 where it is not
    money that was wanting."""

    symbol: str
    row: int
    ts_us: int
    why: Literal["cash", "positions", "size"]
    needed: float
    free: float


@dataclass(frozen=True, eq=False)
class Allocation:
    """What came of it, symbol by symbol in the order given: decisions with their sizes, and the fills they lead to."""

    decisions: tuple[Decisions, ...]
    fills: tuple[Fills, ...]
    refused: tuple[Refusal, ...]


class _Trip(NamedTuple):
    """A round trip: `event` is its entry's; `at`, `out_at` are instants, `out_at` beyond all where it is still held."""

    event: int
    decided: int
    entered: int
    at: int
    side: int
    px: float
    out_at: int
    out_px: float
    turns: bool  # opened by the fill that closed the one before


def allocate(
    prospects: Sequence[Prospect], sizing: Sizing, cash: float, terms: Terms, simulate: Simulate
) -> Allocation:
    """Size and pay every entry from one account of `cash`, in order of time; `simulate` then makes the fills.

    An entry that is not taken has the size 0. Raises AllocationDiffers where the engine fills other than was reserved.
    """
    account = _Account(prospects, sizing, cash, terms)
    account.serve()
    sized = tuple(replace(symbol.prospect.decisions, qty=symbol.qty) for symbol in account.symbols)
    fills = tuple(simulate(p.tape, d, terms) for p, d in zip(prospects, sized, strict=True))
    for symbol, done in zip(account.symbols, fills, strict=True):
        symbol.demand_taken(done)
    return Allocation(sized, fills, tuple(sorted(account.refused, key=lambda r: (r.ts_us, r.symbol))))


class _Symbol:
    """One symbol's events and trips, and how far it has come."""

    def __init__(self, prospect: Prospect, terms: Terms) -> None:
        self.prospect = prospect
        tape, decisions = prospect.tape, prospect.decisions
        unit = replace(decisions, qty=np.ones(len(tape)), reverse=False)
        events = events_of(tape, unit)
        told = room(events)
        trips_of(rows_of(tape), events, costs_of(terms, unit), scratch(1), told)
        self.event_rows: list[int] = events.what[ROW].tolist()
        self.long = (events.what[CODE] & ENTRY_LONG) > 0
        self.what: list[list[int]] = told.what.tolist()
        self.px: list[list[float]] = told.px.tolist()
        self.qty = np.zeros(len(tape))
        self.taken: list[tuple[int, float]] = []

    def next(self, event: int) -> _Trip | None:
        """The first trip that begins with this event or a later one."""
        status = self.what[STATUS]
        while event < len(status):
            if status[event] == TAKEN:
                return self.trip(event, turns=False)
            event += 1
        return None

    def trip(self, event: int, *, turns: bool) -> _Trip:
        tape, what = self.prospect.tape, self.what
        entered, left = what[ENTERED][event], what[LEFT][event]
        out_at = _instant(tape, left, what[LEFT_PHASE][event]) if left < len(tape) else _NEVER
        return _Trip(
            event=event,
            decided=self.event_rows[event],
            entered=entered,
            at=_instant(tape, entered, Phase.OPEN),
            side=1 if self.long[event] else -1,
            px=self.px[ENTRY_PX][event],
            out_at=out_at,
            out_px=self.px[EXIT_PX][event],
            turns=turns,
        )

    def after(self, trip: _Trip) -> _Trip | None:
        """The trip that follows one that was made."""
        event, what = trip.event, self.what
        turned = what[ENDED_BY][event]
        opposed = self.prospect.decisions.reverse and what[LEFT_REASON][event] == Reason.OPPOSITE_ENTRY
        if opposed and what[STATUS][turned] == TAKEN:
            return self.trip(turned, turns=True)
        resumes = what[RESUMES][event]
        if resumes >= len(self.prospect.tape):
            return None
        return self.next(bisect_left(self.event_rows, resumes, lo=event + 1))

    def demand_taken(self, done: Fills) -> None:
        """The fills enter where and with what was reserved for them, and nowhere else (FILLS §5)."""
        after = np.cumsum(done.qty)
        opened = (np.abs(after) > _NOTHING) & (np.sign(after) != np.sign(np.round(after - done.qty, 9)))
        filled = list(zip(done.at[opened].tolist(), np.abs(after[opened]).tolist(), strict=True))
        alike = [row for row, _ in filled] == [row for row, _ in self.taken] and np.allclose(
            [qty for _, qty in filled], [qty for _, qty in self.taken], rtol=1e-9, atol=0
        )
        if not alike:
            raise AllocationDiffers(
                f"{self.prospect.tape.symbol}: the engine entered {len(filled)} times and {len(self.taken)} entries "
                "were paid for, or other sizes; this is a fault of the engine, not of the strategy"
            )


class _Account:
    def __init__(self, prospects: Sequence[Prospect], sizing: Sizing, cash: float, terms: Terms) -> None:
        self.symbols = [_Symbol(prospect, terms) for prospect in prospects]
        self.sizing, self.terms = sizing, terms
        self.places = sizing.positions or len(prospects)
        self.cash = cash  # what was brought in and earned, open positions at cost
        self.base = cash
        self.base_us = -1
        self.bound: dict[int, float] = {}  # symbol -> what its position binds
        self.held: dict[int, tuple[float, _Trip]] = {}
        self.leaving: list[tuple[int, int]] = []  # (instant, symbol)
        self.queue: list[tuple[int, float, str, int, _Trip]] = []  # (instant, -rank, name, symbol, trip)
        self.refused: list[Refusal] = []

    def serve(self) -> None:
        for number, symbol in enumerate(self.symbols):
            self._enqueue(number, symbol.next(0))
        while self.queue:
            instant, _, _, number, trip = heapq.heappop(self.queue)
            self._rebase(int(self.symbols[number].prospect.base_us[trip.decided]))
            self._leave_before(instant)
            self._serve(number, trip)

    def _enqueue(self, number: int, trip: _Trip | None) -> None:
        if trip is not None:
            prospect = self.symbols[number].prospect
            rank = -float(prospect.rank[trip.decided])
            heapq.heappush(self.queue, (trip.at, rank, prospect.tape.symbol, number, trip))

    def _leave_before(self, instant: int) -> None:
        """Book the exits that happened before `instant`."""
        while self.leaving and self.leaving[0][0] < instant:
            self._book(heapq.heappop(self.leaving)[1])

    def _book(self, number: int) -> None:
        qty, trip = self.held.pop(number)
        self.cash += trip.side * qty * (trip.out_px - trip.px) - self._fee(qty, trip.out_px)
        self.bound.pop(number)

    def _fee(self, qty: float, px: float) -> float:
        terms = self.terms
        return qty * px * terms.fee_rate + terms.fee_per_order + terms.fee_per_unit * qty

    def _rebase(self, start_us: int) -> None:
        """The equity at the start of a trading day, once a day: what left before it is booked, the rest is marked at
        the last closes before it."""
        if start_us <= self.base_us:
            return
        self._leave_before(start_us * _PHASES)
        self.base_us, self.base = start_us, self.cash
        for number in sorted(self.held):
            qty, trip = self.held[number]
            tape = self.symbols[number].prospect.tape
            before = int(np.searchsorted(tape.ts_us, start_us)) - 1
            marked = float(tape.close[before]) if before >= trip.entered else trip.px
            self.base += trip.side * qty * (marked - trip.px)

    def _serve(self, number: int, trip: _Trip) -> None:
        symbol = self.symbols[number]
        prospect = symbol.prospect
        if trip.turns:
            self.leaving = [entry for entry in self.leaving if entry[1] != number]
            heapq.heapify(self.leaving)
            self._book(number)
        if len(self.held) >= self.places:
            self._refuse(number, trip, "positions", 0.0)
            return
        free = self.cash - sum(self.bound[key] for key in sorted(self.bound))
        wanted = self._wanted(prospect, trip, free)
        qty = self._capped(prospect, trip, wanted)
        needed = qty * trip.px * prospect.margin_rate + self._fee(qty, trip.px)
        if qty < prospect.least:
            self._refuse(number, trip, "size", prospect.least * trip.px * prospect.margin_rate, free)
            return
        if needed > free * (1 + 1e-12):
            self._refuse(number, trip, "cash", needed, free)
            return
        symbol.qty[trip.decided] = wanted
        symbol.taken.append((trip.entered, qty))
        self.cash -= self._fee(qty, trip.px)
        self.bound[number] = qty * trip.px * prospect.margin_rate
        self.held[number] = qty, trip
        heapq.heappush(self.leaving, (trip.out_at, number))
        self._enqueue(number, symbol.after(trip))

    def _refuse(
        self, number: int, trip: _Trip, why: Literal["cash", "positions", "size"], needed: float, free: float = 0.0
    ) -> None:
        """Tell of an entry that is not taken, and go on without it."""
        symbol = self.symbols[number]
        tape = symbol.prospect.tape
        self.refused.append(Refusal(tape.symbol, trip.decided, int(tape.ts_us[trip.decided]), why, needed, free))
        self._enqueue(number, symbol.next(trip.event + 1))

    def _wanted(self, prospect: Prospect, trip: _Trip, free: float) -> float:
        """Whole lots for the budget of one position."""
        sizing, terms, rate = self.sizing, self.terms, prospect.margin_rate
        if sizing.kind == "units":
            return _lots(sizing.amount, 1.0, prospect.lot)
        if sizing.kind == "all_in":
            unit = trip.px * (rate + terms.fee_rate) + terms.fee_per_unit
            return _lots(free - terms.fee_per_order, unit, prospect.lot)
        budget = sizing.amount if sizing.kind == "cash" else sizing.amount * self.base / self.places
        return _lots(budget, float(prospect.tape.close[trip.decided]), prospect.lot)

    def _capped(self, prospect: Prospect, trip: _Trip, wanted: float) -> float:
        """As many as the engine will fill under the cap on volume (FILLS §5)."""
        share = self.terms.participation
        if not share:
            return wanted
        return min(wanted, float(np.floor(share * prospect.tape.volume[trip.entered] * (1 + 1e-12) + 1e-9)))


def _lots(budget: float, px: float, lot: float) -> float:
    return float(whole_lots(np.array([budget]), np.array([px]), lot)[0])


def _instant(tape: Tape, row: int, phase: int) -> int:
    return int(tape.ts_us[row]) * _PHASES + phase


def turnover_rank(tape: Tape) -> Floats:
    """The value traded so far in the session, by row: what is busiest is served first."""
    value = np.cumsum(tape.close * tape.volume)
    starts = np.flatnonzero(np.r_[True, tape.day[1:] != tape.day[:-1]])
    before = np.where(starts > 0, value[starts - 1], 0.0)
    return np.asarray(value - np.repeat(before, np.diff(np.r_[starts, len(tape)])), dtype=np.float64)
