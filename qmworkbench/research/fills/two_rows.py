"""The fill model in vectorbt: two rows for every bar, so that its order of things becomes ours (FILLS §2–§7).

A bar becomes an *open row*, in which only its opening price exists and what was decided at the close before is done,
and a *range row* with its true prices, in which only stops, targets and the session's close act. Order records are
halved and snapped back to ticks; every figure comes from a new Portfolio on the real bars (`real_bars`).

vectorbt has an engine in Rust and one in numba. Which one ran is told: a time limit, a fixed stop beside a trail, and
a trail on prices off tick need a callback, and callbacks run in numba alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from qmworkbench.research.fills.fill_kernel import boundaries, cleaned_entries
from qmworkbench.research.fills.tape import Bools, Decisions, Fills, Ints, Tape, Terms
from qmworkbench.research.fills.tape_checks import check_decisions, check_tape
from qmworkbench.research.fills.two_row_records import fills_of_records
from qmworkbench.strategies.ticks import off_tick

Engine = Literal["rust", "numba"]

BIAS: Final = 1e-11
"""By how much each fraction is moved toward the price it is counted from, so that an exact tie is met (FILLS §7)."""


IDEAL: Final = Terms()


class TwoRowsLimit(ValueError):
    """What vectorbt cannot simulate as the fill model asks; the message says what and names the kernel instead."""


class CashBound(ValueError):
    """An order of a shared account was refused or cut for want of cash; with cash that binds nothing is comparable."""


@dataclass(frozen=True, eq=False)
class Column:
    """One simulation: a tape, the decisions on it, the terms."""

    tape: Tape
    decisions: Decisions
    terms: Terms = IDEAL


@dataclass(frozen=True)
class Method:
    """How vectorbt is asked. Anything but the default is wrong somewhere: for tests that must be able to fail."""

    bias: float = BIAS
    stop_entry_price: str | None = None
    swapped: bool = False


USUAL: Final = Method()


@dataclass(frozen=True, eq=False)
class TwoRows:
    """Fills column by column, and the engine that made them."""

    fills: tuple[Fills, ...]
    engine: Engine


def fills_of(tape: Tape, decisions: Decisions, terms: Terms, engine: Engine = "rust") -> Fills:
    """What `fill_kernel.simulate` answers, from vectorbt. Raises TapeFault, TwoRowsLimit."""
    return two_rows([Column(tape, decisions, terms)], engine).fills[0]


def two_rows(
    columns: Sequence[Column],
    engine: Engine = "rust",
    *,
    cash: float | None = None,
    ranks: Ints | None = None,
    method: Method = USUAL,
) -> TwoRows:
    """Simulate columns of one height in one call of vectorbt.

    Without `cash` each column has an account of its own that never binds, and fees come onto the records afterwards
    (vectorbt refuses a sale that does not cover its fee). With it all columns share one, at each open
    entries come first, by `ranks` (columns × rows, lower first; by column where None), so that what leaves there pays
    for none of them. Raises TapeFault, TwoRowsLimit, CashBound.
    """
    prepared = [_Prepared(column, method.bias) for column in columns]
    if len({len(column.tape) for column in columns}) != 1:
        raise TwoRowsLimit("two rows: columns of one call have bars of one height; call once for each height")
    asked = _arguments(prepared, method)
    if cash is None:
        asked["init_cash"] = np.array([each.ample_cash for each in prepared])
    else:
        order = _entries_first(prepared, ranks)
        terms = [column.terms for column in columns]
        asked |= {
            "fees": np.array([[each.fee_rate for each in terms]]),
            "fixed_fees": np.array([[each.fee_per_order for each in terms]]),
        }
        asked |= {"init_cash": cash, "cash_sharing": True, "group_by": True, "log": True, "call_seq": order}
    special = [each for each in prepared if each.needs_callback]
    used: Engine = "numba" if special else engine
    if special:
        asked |= _callbacks(prepared)
    portfolio = _simulated(asked, used)
    if cash is not None:
        _demand_free_cash(portfolio, columns, cash)
    fills = fills_of_records(portfolio.order_records, columns)
    if cash is None:
        for each, done in zip(prepared, fills, strict=True):
            each.demand_filled(done)
    return TwoRows(tuple(fills), used)


class _Prepared:
    """One column's arrays: decisions moved on by a bar, entries with a level on the wrong side taken back."""

    def __init__(self, column: Column, bias: float) -> None:
        self.column = column
        tape, decisions, terms = column.tape, column.decisions, column.terms
        check_tape(tape)
        check_decisions(tape, decisions)
        self.first = tape.open
        long, short = (_later(flags, False) for flags in cleaned_entries(tape, decisions))
        self.exit_long, self.exit_short = _later(decisions.exit_long, False), _later(decisions.exit_short, False)
        self.stop, self.target = _later(decisions.stop, np.nan), _later(decisions.target, np.nan)
        self.trail, self.hold = _later(decisions.trail_bps, 0), _later(decisions.max_hold_bars, 0)
        self.qty = _later(decisions.qty, 0.0)
        if terms.participation > 0:
            self.qty = np.minimum(self.qty, np.floor(terms.participation * tape.volume * (1 + 1e-12) + 1e-9))
        with np.errstate(invalid="ignore"):
            passed_long = (self.first <= self.stop) | (self.first >= self.target)
            passed_short = (self.first >= self.stop) | (self.first <= self.target)
        no_qty = ~(self.qty > 0)
        self.wrong = (long & passed_long) | (short & passed_short)
        # An entry that is taken back still ends the opposite position (FILLS §4).
        self.exit_short = self.exit_short | (long & (passed_long | no_qty))
        self.exit_long = self.exit_long | (short & (passed_short | no_qty))
        self.long, self.short = long & ~passed_long & ~no_qty, short & ~passed_short & ~no_qty
        entry = self.long | self.short
        self.stop, self.target = np.where(entry, self.stop, np.nan), np.where(entry, self.target, np.nan)
        self.trail, self.hold = np.where(entry, self.trail, 0), np.where(entry, self.hold, 0)
        self.qty = np.where(entry, self.qty, 0.0)
        self._fractions(bias)

    def _fractions(self, bias: float) -> None:
        """Levels as fractions of the price of the entry's fill; of its open where slippage has passed the target, for
        a fraction cannot point back."""
        tape, side, trails = self.column.tape, np.where(self.long, 1.0, -1.0), self.trail > 0
        paid = self.first * (1 + side * self.column.terms.slippage_rate)
        self.from_open = side * (self.target - paid) < 0
        if (self.from_open & trails).any():
            row = int(np.flatnonzero(self.from_open & trails)[0])
            raise TwoRowsLimit(
                f"{tape.symbol}: the target {self.target[row]} of a trailing position lies within the slippage of its "
                f"entry at {self.first[row]}, which vectorbt cannot hold; use the kernel, or less slippage"
            )
        paid = np.where(self.from_open, self.first, paid)
        prices = (tape.open, tape.high, tape.low, tape.close)
        uneven = bool(trails.any()) and any(off_tick(px, np.asarray(tape.tick)).any() for px in prices)
        self.adjusts = bool((trails & ~np.isnan(self.stop)).any()) or uneven
        fixed = np.maximum(side * (paid - self.stop) / paid - bias, 0.0)
        self.stop_fraction = np.where(trails, np.maximum(self.trail / 10_000.0 - bias, 0.0), fixed)
        self.target_fraction = np.maximum(side * (self.target - paid) / paid - bias, 0.0)

    @property
    def needs_callback(self) -> bool:
        return self.adjusts or bool((self.hold > 0).any())

    @property
    def ample_cash(self) -> float:
        """More than anything could cost: it moves no fill, and no figure is taken from this account."""
        return 1e4 + 4 * float((self.qty * self.column.tape.high).sum()) + 4 * float(self.column.tape.high.max())

    def demand_filled(self, done: Fills) -> None:
        """Entries have filled with what they asked for, else cash has bound after all."""
        after = np.cumsum(done.qty)
        opened = (np.abs(after) > 0.5) & (np.sign(after) != np.sign(after - done.qty))
        wanted = self.qty[done.at[opened]]
        if not np.allclose(np.abs(after[opened]), wanted, rtol=1e-9, atol=0):
            raise CashBound(f"{self.column.tape.symbol}: vectorbt filled other sizes than were asked for")


def _later(column: Any, first: Any) -> Any:
    moved = np.empty_like(column)
    moved[1:], moved[:1] = column[:-1], first
    return moved


def _rows(at_open: Sequence[Any], in_range: Sequence[Any]) -> Any:
    """Columns of 2n rows: the open's value in even rows, the range's in odd ones."""
    return np.ascontiguousarray(np.stack([np.array(at_open).T, np.array(in_range).T], axis=1).reshape(-1, len(at_open)))


def _arguments(prepared: Sequence[_Prepared], method: Method) -> dict[str, Any]:
    """What Portfolio.from_signals is given, callbacks and cash left out."""
    tapes = [each.column.tape for each in prepared]
    none = [np.full(len(tape), np.nan) for tape in tapes]
    never = [np.zeros(len(tape), np.bool_) for tape in tapes]
    flat = [tape.ends & each.column.decisions.flat_at_close for tape, each in zip(tapes, prepared, strict=True)]
    opens = [tape.open for tape in tapes]
    closes = _rows(opens, [tape.close for tape in tapes])
    stops = _rows([each.stop_fraction for each in prepared], none)
    targets = _rows([each.target_fraction for each in prepared], none)
    terms = [each.column.terms for each in prepared]
    turns = np.array([[3 if each.column.decisions.reverse else 1 for each in prepared]])  # OppositeEntryMode
    return {
        "close": closes,
        "open": _rows(opens, opens),
        "high": _rows(opens, [tape.high for tape in tapes]),
        "low": _rows(opens, [tape.low for tape in tapes]),
        "price": closes,
        "entries": _rows([each.long for each in prepared], never),
        "exits": _rows([each.exit_long for each in prepared], flat),
        "short_entries": _rows([each.short for each in prepared], never),
        "short_exits": _rows([each.exit_short for each in prepared], flat),
        "size": _rows([each.qty for each in prepared], [np.zeros(len(tape)) for tape in tapes]),
        "size_type": "amount",
        "sl_stop": targets if method.swapped else stops,
        "tp_stop": stops if method.swapped else targets,
        "sl_trail": _rows([each.trail > 0 for each in prepared], never),
        "slippage": np.array([[each.slippage_rate for each in terms]]),
        "upon_opposite_entry": turns,
        "upon_long_conflict": "exit",
        "upon_short_conflict": "exit",
        "stop_entry_price": method.stop_entry_price or _rows([each.from_open for each in prepared], never) * -1 + 2,
        "stop_exit_price": "stopmarket",
        "accumulate": False,
        "use_stops": True,
    }


def _entries_first(prepared: Sequence[_Prepared], ranks: Ints | None) -> Ints:
    """The order of the columns in every row: at an open entries by rank, then the others."""
    entering = np.array([each.long | each.short for each in prepared])
    rank = np.zeros(entering.shape, np.int64) if ranks is None else np.asarray(ranks, np.int64)
    at_open = np.lexsort((np.where(entering, _later(rank.T, 0).T, 0).T, ~entering.T), axis=1)
    in_range = np.broadcast_to(np.arange(len(prepared)), at_open.shape)
    return np.ascontiguousarray(np.stack([at_open, in_range], axis=1).reshape(-1, len(prepared)), np.int64)


def _callbacks(prepared: Sequence[_Prepared]) -> dict[str, Any]:
    from qmworkbench.research.fills.two_row_callbacks import followed_stop, signals_and_time_limit

    def columns(name: str) -> Any:
        return np.ascontiguousarray(np.array([getattr(each, name) for each in prepared]).T)

    flat = [each.column.tape.ends & each.column.decisions.flat_at_close for each in prepared]
    never: list[Bools] = [np.zeros(len(each.first), np.bool_) for each in prepared]
    flags = [
        _rows([each.long for each in prepared], never),
        _rows([each.exit_long for each in prepared], flat),
        _rows([each.short for each in prepared], never),
        _rows([each.exit_short for each in prepared], flat),
    ]
    clock = np.ascontiguousarray(np.array([boundaries(each.column.tape) for each in prepared]).T)
    entered = np.full(len(prepared), -1, np.int64)
    ticks = np.array([tick_numbers(each.column.tape.tick) for each in prepared])
    return {
        "signal_func_nb": signals_and_time_limit,
        "signal_args": (tuple(flags), columns("hold").astype(np.int64), clock, entered),
        "adjust_sl_func_nb": followed_stop,
        "adjust_sl_args": (columns("stop"), columns("trail").astype(np.int64), ticks, BIAS),
    }


def tick_numbers(tick: float) -> tuple[float, float, float]:
    """A tick as `trailing.level_behind` takes it: itself, in hundred-millionths, and how many make one unit."""
    units = tick * 1e8
    whole = float(round(units)) if abs(units - round(units)) < 1e-6 else 0.0
    return tick, whole, float(round(1 / tick)) if tick < 1 else 0.0


def _simulated(asked: dict[str, Any], engine: Engine) -> Any:
    import vectorbt as vbt

    if "signal_func_nb" in asked:
        for name in ("entries", "exits", "short_entries", "short_exits"):
            asked.pop(name)
    return vbt.Portfolio.from_signals(**asked, engine=engine)


def _demand_free_cash(portfolio: Any, columns: Sequence[Column], cash: float) -> None:
    """From vectorbt's own log: no order refused, none filled with less than it asked for (FILLS §5)."""
    log: Any = portfolio.log_records
    asked: Any = log[np.isfinite(log["req_size"]) & (log["req_size"] != 0)]
    filled: Any = np.where(np.isfinite(asked["res_size"]), asked["res_size"], 0.0)
    bound = (asked["res_status"] != 0) | ~np.isclose(np.abs(asked["req_size"]), filled, rtol=1e-9, atol=0)
    if bound.any():
        first: Any = asked[bound][0]
        tape = columns[int(first["col"])].tape
        raise CashBound(
            f"{tape.symbol}, bar {int(first['idx']) // 2}: an order for {abs(first['req_size']):g} filled "
            f"{filled[bound][0]:g} with cash {cash:g}; let the allocator reserve it, or give the account more"
        )
