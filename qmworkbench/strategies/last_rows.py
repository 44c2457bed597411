"""What rules say of each symbol's last bar, several rules in one pass and no more rows than they need (§9)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl
from polars.exceptions import PanicException

from qmworkbench.strategies.bars import BARS_SCHEMA, KEYS
from qmworkbench.strategies.contract import StrategyFault, checked
from qmworkbench.strategies.definition import THREADED_ROWS
from qmworkbench.strategies.expression_tree import NO_NUMBER, Node, Unreadable, read
from qmworkbench.strategies.rules import Rules
from qmworkbench.strategies.session_store import Index

Named = tuple[tuple[str, pl.Expr], ...]
_PLAIN: Final = frozenset({"column", "operator", "ternary", "cast"})
_ROW_BY_ROW: Final = frozenset(
    {
        *("Abs", "Sign", "Negate", "Round", "Floor", "Ceil", "Clip", "FillNull", "Coalesce", "FillNan"),
        *("MaxHorizontal", "MinHorizontal", "Boolean.AnyHorizontal", "Boolean.AllHorizontal"),
        *("Boolean.IsBetween", "Boolean.Not", "Boolean.IsNull", "Boolean.IsNotNull"),
        *("Boolean.IsFinite", "Boolean.IsInfinite", "Boolean.IsNan", "Boolean.IsNotNan"),
    }
)


def row_by_row(expr: pl.Expr) -> bool:
    """Whether the expression surely looks at nothing but its own row; False where that cannot be told."""
    try:
        tree = read(expr)
    except Unreadable:
        return False
    return all(map(_is_row_by_row, tree.walk()))


def _is_row_by_row(node: Node) -> bool:
    if node.kind == "literal":
        return node.options is not NO_NUMBER
    return node.kind in _PLAIN or (node.kind == "function" and node.name in _ROW_BY_ROW)


@dataclass(frozen=True)
class Part:
    """One program in two: `early` stages that need whole columns, and `late` ones that need the last rows alone."""

    rules: Rules
    early: tuple[Named, ...]
    late: tuple[Named, ...]
    row_reads: frozenset[str]

    @staticmethod
    def of(rules: Rules) -> "Part":
        needed: set[str] = set()
        early: list[Named] = []
        late: list[Named] = []
        for stage in reversed(rules.program.stages):
            whole = tuple((n, e) for n, e in stage if n in needed or not row_by_row(e))
            kept = {name for name, _ in whole}
            needed.update(name for _, expr in whole for name in expr.meta.root_names())
            early.append(whole)
            late.append(tuple((n, e) for n, e in stage if n not in kept))
        late = [stage for stage in reversed(late) if stage]
        return Part(rules, tuple(s for s in reversed(early) if s), tuple(late), _row_reads(rules, late))


def _row_reads(rules: Rules, late: Sequence[Named]) -> frozenset[str]:
    """Every column the late stages and the answers look at, those that late stages make left out."""
    made: set[str] = set()
    reads: set[str] = set()
    for stage in late:
        reads.update(name for _, expr in stage for name in expr.meta.root_names() if name not in made)
        made.update(name for name, _ in stage)
    return frozenset(reads | (rules.row_reads - made))


class LastRows:
    """Several rules compiled to be computed together over one frame; `frame_reads` are the columns it must have.

    An indicator that several need is computed once. What looks at its own row alone, and is not asked for earlier
    rows by anything else, is computed for the last rows only: the values are the same. `row_reads` are the bars columns
    wanted of the last rows, `kept` the others, `parts` each of the rules in two.
    """

    def __init__(self, rules: Sequence[Rules]) -> None:
        self.rules = tuple(rules)
        self.early: list[list[pl.Expr]] = []
        self.parts = tuple(Part.of(one) for one in rules)
        self._picks: list[dict[str, str]] = []  # for each part: a column the late stages read, and where it is kept
        shared: set[str] = set()
        for number, part in enumerate(self.parts):
            own = {name for stage in part.early for name, _ in stage}
            stages = [[expr.alias(name) for name, expr in stage if name not in shared] for stage in part.early]
            shared.update(name for name in own if name.startswith("i_"))
            picks = {name: name for name in sorted(part.row_reads) if name in KEYS or name in own}
            # The next program's steps may have the same names: what is read later is put aside.
            picks |= {name: f"{number}|{name}" for name in picks if name in own and not name.startswith("i_")}
            stages.append([pl.col(name).alias(kept) for name, kept in picks.items() if kept != name])
            self.early += [stage for stage in stages if stage]
            self._picks.append(picks)
        self.kept = sorted({kept for picks in self._picks for kept in picks.values()})
        reads = {name for part in self.parts for stage in part.early for _, e in stage for name in e.meta.root_names()}
        reads |= {"close", *(name for name in self.kept if name in KEYS)}
        self.frame_reads = tuple(name for name in (*BARS_SCHEMA, *KEYS) if name in reads)
        self.row_reads = tuple(name for name in BARS_SCHEMA if any(name in part.row_reads for part in self.parts))

    def late(self, rows: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, Sequence[Named], list[str]]]:
        """For each of the rules: of the last `rows` what its late stages read, these stages, and what is wanted."""
        columns = dict(zip(rows.columns, rows.get_columns(), strict=True))
        for part, picks in zip(self.parts, self._picks, strict=True):
            read = [columns[kept].alias(name) for name, kept in picks.items()]
            read += [columns[name] for name in self.row_reads if name in part.row_reads]
            yield pl.DataFrame(read), part.late, sorted(part.rules.row_reads)


@dataclass(frozen=True, eq=False)
class Lot:
    """What `computed` computes: rules over a frame, for its rows `last`, whose bars columns `row_reads` are `bars`."""

    compiled: LastRows
    frame: pl.DataFrame
    last: Index
    bars: pl.DataFrame


def computed(lots: Sequence[Lot]) -> list[list[pl.DataFrame]]:
    """For each of the rules of each lot the last rows with all that `contract.answers` reads; lots beside each other.

    Early stages run over the whole frame, late ones over its last rows, in the queries that eager calls would make.
    Raises StrategyFault if any of the rules raises or yields other types than agreed; by themselves, the others are
    well.
    """
    for program in (rules.program for lot in lots for rules in lot.compiled.rules):
        if program.broken is not None:
            raise StrategyFault(program.strategy_id, program.broken)
    try:
        tables = _late(lots, _early(lots))
    except (Exception, PanicException) as error:  # foreign code to the platform: it ends its own run only
        told, strategy_id = str(error).partition("\n")[0], lots[0].compiled.rules[0].program.strategy_id
        raise StrategyFault(strategy_id, f"raised {type(error).__name__}: {told}") from error
    left = iter(tables)
    return [[checked(rules.program, next(left)) for rules in lot.compiled.rules] for lot in lots]


def _early(lots: Sequence[Lot]) -> list[pl.DataFrame]:
    """Of each lot the last rows of all columns that are kept."""
    queries = []
    for lot in lots:
        query, wide, rows = lot.frame.lazy(), lot.frame.height > THREADED_ROWS, pl.Series("rows", lot.last)
        for stage in lot.compiled.early:
            query = query.with_columns(stage) if wide else query.with_columns_seq(stage)
        queries.append(query.select(*(pl.col(name).gather(rows) for name in lot.compiled.kept), *lot.bars))
    # The engine is named: the streaming one changes float sums from call to call.
    if len(queries) == 1:
        return [queries[0].collect(engine="in-memory", optimizations=_AS_WRITTEN)]
    return pl.collect_all(queries, engine="in-memory", optimizations=_AS_WRITTEN)  # noqa: TID251


def _late(lots: Sequence[Lot], rows: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """For each of the rules of each lot what it says of the last rows: too few to be handed to threads."""
    tables = []
    for lot, table in zip(lots, rows, strict=True):
        for bars, stages, wanted in lot.compiled.late(table):
            query = bars.lazy()
            for stage in stages:
                query = query.with_columns_seq([expr.alias(name) for name, expr in stage])
            tables.append(query.select(wanted).collect(engine="in-memory", optimizations=_AS_WRITTEN))
    return tables


_AS_WRITTEN: Final = pl.QueryOptFlags.none()
