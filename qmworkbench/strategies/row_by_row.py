"""One set of rules from boundary to boundary: of each symbol the newest row alone (§9; DESIGN "Numbers").

What a row needs to know of those before it is carried along. A symbol that is new, or was left out for a while, starts
from its earlier bars in whole columns, computed once.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from polars.exceptions import PanicException

from qmworkbench.strategies.bars import BARS_SCHEMA, KEYS, no_scalars
from qmworkbench.strategies.contract import FLAGS, Answers, answered
from qmworkbench.strategies.row_compiler import Compiled
from qmworkbench.strategies.row_functions import where_known
from qmworkbench.strategies.row_tape import Carried, Last, NotCarried
from qmworkbench.strategies.rules import Rules
from qmworkbench.strategies.session_store import Floats, Index, SessionStore


class RowByRow:
    """What rules say of the newest row of symbols of a store, at one boundary after the other.

    The rules must be such that `lint` finds nothing: a row then says the same whatever follows it, and whatever other
    symbols do. Raises NotCarried for rules with an operation the tape does not know.
    """

    def __init__(self, rules: Rules, store: SessionStore) -> None:
        program = rules.program
        if program.broken is not None:
            raise NotCarried(program.broken)
        self._rules, self._store, self._compiled = rules, store, Compiled(program, (*FLAGS, *program.features))
        if any(self._compiled.kind(name) != ("b" if name in FLAGS else "f") for name in self._compiled.answers):
            raise NotCarried("answers of other types than agreed")
        reads = {name for stage in self._compiled.stages for expr in stage for name in expr.meta.root_names()}
        self._reads = [
            name for name in (*BARS_SCHEMA, *KEYS) if name in reads or name in {"close", "i_symbol", "i_day"}
        ]
        self._done = self._first = np.empty(0, dtype=np.int64)

    def answers(self, index: Index) -> tuple[Floats, Answers]:
        """Closes, and what the rules say, of the symbols at `index`, all with a bar at the boundary.

        Raises StrategyFault, and NotCarried if this boundary has to be computed in whole columns.
        """
        if not self._store.ordinary:
            raise NotCarried("a price or volume beyond all reason")
        slots, row, pos = self._store.rows(index, self._rules.anchor)
        self._make_room()
        place, tape, leaves = self._compiled.place, self._compiled.tape, self._compiled.leaves
        new = (self._done[slots] != row) & (row > 0)
        if new.any() and self._compiled.carried:
            self._start(index[new], slots[new])
        self._done[slots] = -1  # until it is done
        place.move(slots, row, pos, self._first[slots])
        if place.begins:
            self._begin(slots[row == 0], slots[pos == 0])
        newest = self._store.newest(index)
        for name, values in (("i_index", row + place.first), ("i_row", row), ("i_pos", pos)):
            newest[name] = values.astype(np.int32)
        found = tape.run([(at, newest[name]) for name, at in leaves.items()])
        self._done[slots] = row + 1
        return newest["close"], self._read(found, newest)

    def _read(self, found: Sequence[Any], newest: dict[str, Any]) -> Answers:
        """The answers from the registers."""
        height = len(newest["close"])
        nulls = dict.fromkeys(FLAGS, 0)
        columns = {name: newest[name] for name in ("close", "tick", "bars_left")}
        for name, value in self._compiled.answers.items():
            values, known = found[value.at], None if value.known is None else found[value.known]
            if name in nulls and known is not None:
                nulls[name] = height - int(np.count_nonzero(np.broadcast_to(known, height)))
            elif known is not None:
                values = where_known(values, known)
            columns[name] = values if np.ndim(values) else np.full(height, values)
        return answered(self._rules.program, columns, nulls)

    def _make_room(self) -> None:
        """Follow the store as it grows; what was carried is then computed anew."""
        place, (width, rows) = self._compiled.place, self._store.room
        if (place.width, place.rows) != (width, rows) or not len(self._done):
            place.width, place.rows = width, rows
            for carried in self._compiled.carried:
                carried.allot()
            self._done, self._first = np.full(width, -1, dtype=np.int64), np.zeros(width, dtype=np.int64)

    def _begin(self, symbols: Index, sessions: Index) -> None:
        """The first row of some symbols, and of some symbols' session."""
        for carried in self._compiled.carried:
            if isinstance(carried, Last):
                carried.begin(sessions if carried.group == "i_day" else symbols)

    def _start(self, index: Index, slots: Index) -> None:
        """Carry on from whole columns of the bars until now, those of the boundary left out."""
        frame, last = self._store.frame(self._reads, index, self._rules.anchor, newest=False)
        first = np.append(0, last[:-1] + 1)
        self._first[slots] = first
        rows = last - first + 1
        slot, row = np.repeat(slots, rows), np.arange(len(frame)) - np.repeat(first, rows)
        place = self._compiled.place
        recent = np.flatnonzero(row >= np.repeat(rows - place.depth, rows))
        numbered, ring = row * place.width + slot, ((row & (place.depth - 1)) * place.width + slot)[recent]
        for carried, column in zip(self._compiled.carried, self._whole_columns(frame), strict=True):
            values = column.to_numpy()[: len(frame)]
            if isinstance(carried, Last):
                carried.values[slots] = values[last]
            elif carried.numbered:
                carried.values[numbered] = values
            else:
                carried.values[ring] = values[recent]

    def _whole_columns(self, frame: pl.DataFrame) -> list[pl.Series]:
        """What is carried, in every row of prepared bars."""
        query = (frame if len(frame) > 1 else no_scalars(frame)).lazy()
        for stage in self._compiled.stages:
            query = query.with_columns_seq(stage)
        seeds = [_seeded(carried).alias(str(at)) for at, carried in enumerate(self._compiled.carried)]
        # The engine is named: the streaming one changes float sums from call to call.
        try:
            table = query.select(seeds).collect(engine="in-memory", optimizations=pl.QueryOptFlags.none())
        except (Exception, PanicException) as error:  # foreign code: the whole columns of a boundary say what is wrong
            raise NotCarried(str(error)) from error
        return table.get_columns()


def _seeded(carried: Carried) -> pl.Expr:
    """A column's values, or where it is not null."""
    seed = carried.seed
    column = pl.col(seed.column)
    if seed.filled is not None:
        column = column.forward_fill().over(seed.filled)
    return column.is_not_null() if seed.known else column.fill_null(carried.fill)
