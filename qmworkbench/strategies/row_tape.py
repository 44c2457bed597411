"""Operations on one row of each of some symbols, and what they carry from row to row (DESIGN "Numbers").

A tape is a list of numpy calls between registers, arrays with a place for each symbol. Equal calls are noted once,
calls nobody needs are cut off. What an operation must know of earlier rows is carried: the last value of a running
one, or the values of as many rows as are looked back to.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Index = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Function = Callable[..., Any]

_FIRST: Final[Index] = np.zeros(1, dtype=np.int64)


class NotCarried(Exception):
    """Rows that have to be computed from whole columns: an operation or a value that is not known here."""


class Place:
    """The rows being computed: of each symbol its slot, and its row since the anchor and since the session's start.

    `first` is the number that `i_index` gives the symbol's first row. Rows that are looked back to by their number are
    kept one below the other, those at a fixed distance in a ring of `depth`, a power of two, all `width` slots wide.
    """

    def __init__(self) -> None:
        self.rows = self.depth = self.width = 1
        self._back = np.zeros((0, 1), dtype=np.int64)
        self.move(_FIRST, _FIRST, _FIRST, _FIRST)

    def look_back(self, rows: int) -> int:
        """The number under which `behind` finds the rows so many above."""
        self._back = np.append(self._back, [[rows]], axis=0)
        while self.depth <= rows:
            self.depth *= 2
        self.move(self.slots, self.row, self.pos, self.first)
        return len(self._back) - 1

    def move(self, slots: Index, row: Index, pos: Index, first: Index) -> None:
        """Go on to these rows, one of each symbol."""
        self.slots, self.row, self.pos, self.first = slots, row, pos, first
        self.flat = row * self.width + slots
        self.ring = (row & (self.depth - 1)) * self.width + slots
        self._behind = ((row - self._back) & (self.depth - 1)) * self.width + slots
        self._least_row, self._least_pos = int(row.min()), int(pos.min())

    @property
    def begins(self) -> bool:
        """Whether one of the rows is the first of its symbol's session."""
        return self._least_pos == 0

    def behind(self, number: int) -> Index:
        """Where in a ring the rows of a number given by `look_back` are."""
        behind: Index = self._behind[number]
        return behind

    def since(self, rows: int, group: str) -> Bools | bool:
        """Whether there are so many rows above of the same symbol, or of its session."""
        today = group == "i_day"
        if (self._least_pos if today else self._least_row) >= rows:
            return True
        return (self.pos if today else self.row) >= rows

    def numbered(self, index: Array, known: Bools | bool) -> Index:
        """Where the row of a number is, which must be the row itself or one above of the same symbol where `known`."""
        row = index - self.first
        strange = (row < 0) | (row > self.row)
        if (strange if known is True else strange & known).any():
            raise NotCarried("a row is looked up that is not one of the symbol's own until now")
        return row * self.width + self.slots


@dataclass(frozen=True)
class Seed:
    """Where the value of earlier rows comes from: a column of the whole computation, its values or where they are not
    null (`known`); `filled` within that group where a null leaves what was there before."""

    column: str
    known: bool
    filled: str | None = None


class Last:
    """The value of each symbol's row before; `fill` in the first row of `group`."""

    def __init__(self, place: Place, seed: Seed, fill: Any, dtype: Any, group: str) -> None:
        self.seed, self.group, self.fill, self._place, self._dtype = seed, group, fill, place, dtype
        self.allot()

    def allot(self) -> None:
        """Make room for as many symbols as there may be; what was kept is gone."""
        self.values = np.full(self._place.width, self.fill, dtype=self._dtype)

    def begin(self, slots: Index) -> None:
        """A group begins in these slots."""
        self.values[slots] = self.fill

    def read(self) -> Array:
        """The value in the row before."""
        return self.values[self._place.slots]

    def write(self, value: Array) -> None:
        """The value in this row."""
        self.values[self._place.slots] = value


class History:
    """The values of each symbol's rows: of the last ones in a ring, or all of them (`numbered`)."""

    def __init__(self, place: Place, seed: Seed, dtype: Any, *, numbered: bool) -> None:
        self.seed, self.numbered, self.fill, self._place, self._dtype = seed, numbered, dtype.type(0), place, dtype
        self.allot()

    def allot(self) -> None:
        """Make room for as many symbols and rows as there may be; what was kept is gone."""
        rows = self._place.rows if self.numbered else self._place.depth
        self.values = np.zeros(rows * self._place.width, dtype=self._dtype)

    def at(self, where: Index) -> Array:
        """The values in rows found by `Place.behind` or `Place.numbered`."""
        return self.values.take(where, mode="clip")

    def write(self, value: Array) -> None:
        """The value in this row."""
        self.values[self._place.flat if self.numbered else self._place.ring] = value


Carried = Last | History


@dataclass(frozen=True, eq=False)
class _Call:
    function: Function
    into: int
    takes: tuple[int, ...]
    reads: Carried | None = None
    writes: Carried | None = None


class Tape:
    """Calls in order; every call is tried on one row as it is noted, which tells the type of what it yields."""

    def __init__(self) -> None:
        self.registers: list[Any] = []
        self._calls: list[_Call] = []
        self._noted: dict[tuple[Any, ...], int] = {}
        self._ready: list[tuple[Function, int, int, tuple[int, ...]]] = []

    def given(self, sample: Any) -> int:
        """A register that is filled from outside."""
        self.registers.append(sample)
        return len(self.registers) - 1

    def constant(self, value: Any) -> int:
        """A register with a number or truth value."""
        key = (type(value), repr(value))  # zeros have signs
        if key not in self._noted:
            self._noted[key] = self.given(value)
        return self._noted[key]

    def call(self, function: Function, *takes: int, reads: Carried | None = None) -> int:
        """The register of what `function` makes of other registers. Raises NotCarried if it cannot take them."""
        key = (function, takes)
        if key not in self._noted:
            try:
                with np.errstate(all="ignore"):
                    into = self.given(function(*(self.registers[at] for at in takes)))
            except (TypeError, ValueError, OverflowError) as error:
                raise NotCarried(str(error)) from error
            self._calls.append(_Call(function, into, takes, reads=reads))
            self._noted[key] = into
        return self._noted[key]

    def keep(self, carried: Carried, value: int) -> None:
        """Carry a register's value on to the next row."""
        self._calls.append(_Call(carried.write, self.given(None), (value,), writes=carried))

    def cut(self, wanted: Iterable[int]) -> list[Carried]:
        """Leave out what the registers `wanted` do not need; what is carried for the rest."""
        needed: set[int] = set(wanted)
        carried: list[Carried] = []
        before = -1
        while len(needed) + len(carried) > before:
            before = len(needed) + len(carried)
            for call in reversed(self._calls):
                if call.into in needed or _among(call.writes, carried):
                    needed.update(call.takes)
                    if call.reads is not None and not _among(call.reads, carried):
                        carried.append(call.reads)
        used = [call for call in self._calls if call.into in needed or _among(call.writes, carried)]
        self._ready = [(call.function, len(call.takes), call.into, call.takes) for call in used]
        return carried

    def run(self, given: Sequence[tuple[int, Array]]) -> list[Any]:
        """All registers, from those given. Raises NotCarried."""
        registers = self.registers
        for at, values in given:
            registers[at] = values
        with np.errstate(all="ignore"):  # lanes that are null hold anything
            for function, count, into, takes in self._ready:
                if count == 2:  # told apart because it takes a quarter of the time
                    registers[into] = function(registers[takes[0]], registers[takes[1]])
                elif count == 1:
                    registers[into] = function(registers[takes[0]])
                else:
                    registers[into] = function(*[registers[at] for at in takes])
        return registers


def _among(one: Carried | None, these: Sequence[Carried]) -> bool:
    """Whether it is one of these very ones, and not merely like one."""
    return any(one is other for other in these)
