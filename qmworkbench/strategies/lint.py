"""Does a definition look ahead, or at its neighbours? Read from its expressions, before any bar is seen (§3).

The lint proves from the trees what `truncation` tries with data. What it cannot prove it reports: a finding means "not
shown to be safe", with what to write instead. Exit plans are Python over the entries' own rows and are left to the
contract and to `truncation`.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec
import polars as pl

from qmworkbench.strategies.bars import BARS_SCHEMA, KEYS
from qmworkbench.strategies.contract import FLAGS
from qmworkbench.strategies.definition import Program, StrategyDefinition
from qmworkbench.strategies.expression_tree import Node, Unreadable, read
from qmworkbench.strategies.indicators import Stages
from qmworkbench.strategies.own_rows import ANYWHERE, BASE, CUMULATIVE, SHIFTS, Seen, is_first_row, moved_by, seen
from qmworkbench.strategies.parameters import Params
from qmworkbench.strategies.row_numbers import Numbers


class Rule(StrEnum):
    """What was broken, or could not be shown to hold."""

    LATER_ROW = "later row"
    WHOLE_FRAME = "whole frame"
    WHOLE_GROUP = "whole group"
    PICKED_ROWS = "picked rows"
    ORDER = "order over time"
    GROUP = "group"
    NEIGHBOURS = "neighbours"
    PYTHON = "python"
    COLUMN = "column"
    OVERWRITES = "overwrites"
    OWN_DATA = "own data"
    ROW_NUMBER = "row number"
    UNPROVEN = "unproven"
    RAISES = "raises"
    TWO_MEANINGS = "two meanings"


REMEDIES: Final[dict[Rule, str]] = {
    Rule.LATER_ROW: "read the row itself and rows before it: shift by a whole number from 0 up, fill forward, "
    "windows that end at the row",
    Rule.WHOLE_FRAME: "an aggregate sees every later bar; mask the rows that count and run over them: "
    "when(…).then(…).cum_max().over('i_day')",
    Rule.WHOLE_GROUP: "an aggregate over a session sees its later bars; use the running form (cum_max, cum_sum, …); "
    "only first() is known from the start",
    Rule.PICKED_ROWS: "rows picked by position depend on where the frame ends; mask with when(pl.col.bar < n) instead",
    Rule.ORDER: "a rank or an order over time places later bars among earlier ones; compare with a shifted or running "
    "value instead",
    Rule.GROUP: "group over 'i_day' (a symbol's session) or 'i_symbol', in the order of the rows",
    Rule.NEIGHBOURS: "rows above may be another symbol's: put .over('i_day') on it, or let a mask ask for the position "
    "(indicators.since)",
    Rule.PYTHON: "write it with polars expressions: Python code can neither be read here nor run ten times faster",
    Rule.COLUMN: "read bars (bars.BARS_SCHEMA), their keys, and columns of earlier stages",
    Rule.OVERWRITES: "give the column a name of its own, i_… for an indicator, s_… for a step",
    Rule.OWN_DATA: "rules see the bars alone; a table of values belongs into a parameter",
    Rule.ROW_NUMBER: "row numbers count whatever rows a frame has: compare them with one another, take one from "
    "another, or ask for i_pos or bar",
    Rule.UNPROVEN: "use the operations the lint knows, or show that this one reads no later row and add it to the lint",
    Rule.RAISES: "let signals(params) build its expressions for every set of parameters in range",
    Rule.TWO_MEANINGS: "an indicator is implemented once; take it from strategies.indicators or rename it",
}

_ROW_BY_ROW: Final = frozenset(
    {
        *("Negate", "FillNull", "Abs", "Round", "RoundSF", "Floor", "Ceil", "Sign", "Exp", "Log", "Log1p", "Clip"),
        *("Coalesce", "MaxHorizontal", "MinHorizontal", "SumHorizontal", "MeanHorizontal"),
        *(f"Boolean.{name}" for name in ("Not", "IsNull", "IsNotNull", "IsFinite", "IsInfinite", "IsNan", "IsNotNan")),
        *(f"Boolean.{name}" for name in ("IsBetween", "IsIn", "AllHorizontal", "AnyHorizontal")),
        *("FillNullWithStrategy.Zero", "FillNullWithStrategy.One"),
    }
)
_ROW_BY_ROW_FAMILIES: Final = ("Pow.", "Trigonometry.", "TemporalExpr.")
_AHEAD: Final = frozenset(
    {
        *("Reverse", "PeakMax", "PeakMin", "Interpolate", "InterpolateBy", "Boolean.IsLastDistinct"),
        "FillNullWithStrategy.Backward",
    }
)
_AGGREGATES: Final = frozenset(
    {
        *("ArgMax", "ArgMin", "Quantile", "NullCount", "Mode", "Skew", "Kurtosis", "Entropy", "Correlation", "Product"),
        *("MinBy", "MaxBy", "ApproxNUnique", "Hist", "ValueCounts", "UniqueCounts", "QCut", "SearchSorted"),
        *(f"Boolean.{name}" for name in ("Any", "All", "IsUnique", "IsDuplicated", "HasNulls")),
        *(f"FillNullWithStrategy.{name}" for name in ("Min", "Max", "Mean")),
    }
)
_ORDERS: Final = frozenset({"Rank", "ArgSort", "TopK", "TopKBy", "Random", "sort", "sort_by"})
_PICKS: Final = frozenset(
    {
        *("slice", "filter", "DropNulls", "DropNans", "Unique", "GatherEvery", "ExtendConstant", "Append", "RepeatBy"),
        *("Explode", "ArgWhere", "ArgUnique"),
    }
)
_OWN_GROUPS: Final = frozenset({"i_symbol", "i_day", "symbol"})
_IN_TIME: Final = frozenset({"ts", "bar", "i_index", "i_row", "i_pos"})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a definition that was not shown to be safe: the column, the rule, the operation, what to do."""

    strategy_id: str
    column: str
    rule: Rule
    where: str
    remedy: str

    def sentence(self) -> str:
        """The finding on one line."""
        return f"strategy {self.strategy_id}, column {self.column!r}: {self.rule}: {self.where}; {self.remedy}"


def lint(definition: StrategyDefinition, params: Params) -> tuple[Finding, ...]:
    """Everything in a definition's expressions that may see the future or another symbol; () if all is proved safe.

    `params` are overrides or a full set. Findings come in the order of the columns, causes before effects, each rule
    once a column. Raises ParameterError for parameters that do not fit.
    """
    return findings(definition.program(definition.parameters(params)))


def findings(program: Program) -> tuple[Finding, ...]:
    """What `lint` finds in a definition's program for one parameter set."""
    if program.broken is not None:
        return (_finding(program.strategy_id, "signals", Rule.RAISES, program.broken),)
    reading = _Reading(program.strategy_id)
    for stage in program.stages:
        reading.stage(stage)
    return reading.found((*FLAGS, *program.features))


def clashes(sets: Sequence[tuple[StrategyDefinition, Params]]) -> tuple[Finding, ...]:
    """Shared indicators that mean two things: `i_…` columns of one name with different expressions.

    Within a frame such a column is computed once, by whichever strategy comes first. Raises ParameterError.
    """
    first: dict[str, tuple[str, str]] = {}
    found: dict[tuple[str, str], Finding] = {}
    for definition, params in sets:
        for name, expr in _columns(definition.signals(definition.parameters(params))):
            told = str(expr.meta.serialize(format="json"))
            owner, meaning = first.setdefault(name, (definition.strategy_id, told))
            if meaning != told and name.startswith("i_"):
                where = f"{read(expr).shown()} is something else in strategy {owner}"
                finding = _finding(definition.strategy_id, name, Rule.TWO_MEANINGS, where)
                found.setdefault((definition.strategy_id, name), finding)
    return tuple(found.values())


def _columns(stages: Stages) -> Iterator[tuple[str, pl.Expr]]:
    return ((expr.meta.output_name(), expr) for stage in stages for expr in stage)


def _finding(strategy_id: str, column: str, rule: Rule, where: str) -> Finding:
    return Finding(strategy_id=strategy_id, column=column, rule=rule, where=where, remedy=REMEDIES[rule])


class _Reading:
    """Reads a definition stage by stage."""

    def __init__(self, strategy_id: str) -> None:
        self._strategy_id = strategy_id
        self._known: dict[str, Seen] = dict(BASE)
        self._order: list[str] = []
        self._numbers: dict[str, str] = {}  # columns that are row numbers, and of what
        self._findings: dict[tuple[str, Rule], Finding] = {}

    def stage(self, columns: Sequence[tuple[str, pl.Expr]]) -> None:
        """Columns computed side by side: none sees another of them."""
        new: dict[str, Seen] = {}
        numbers: dict[str, str] = {}
        for column, expr in columns:
            self._order.append(column)
            if column in BARS_SCHEMA or column in KEYS:
                self._note(column, Rule.OVERWRITES, f"{column} is a column of the bars")
            try:
                tree = read(expr)
            except Unreadable as error:
                self._note(column, Rule.UNPROVEN, f"the expression cannot be read ({error})")
                continue
            for name in tree.columns:
                if name not in self._known:
                    self._note(column, Rule.COLUMN, f"{name} is neither in the bars nor in an earlier stage")
            for rule, node in _broken(tree, None):
                self._note(column, rule, node.shown())
            new[column] = seen(column, tree, self._known)
            numbered = Numbers(tree, self._numbers)
            numbers[column] = numbered.kind
            for node in numbered.misused[:1]:
                self._note(column, Rule.ROW_NUMBER, node.shown())
            for node in tree.walk():
                if node.kind == "gather" and not self._is_behind(node.inputs[1]):
                    self._note(column, Rule.LATER_ROW, node.shown())
        self._known |= new
        self._numbers |= numbers

    def found(self, answers: Sequence[str]) -> tuple[Finding, ...]:
        """All findings, those of `answers` that may come from a neighbour's rows among them."""
        for answer in answers:
            if self._numbers.get(answer):
                self._note(answer, Rule.ROW_NUMBER, f"{answer} shows {self._numbers[answer]} itself")
            what = self._known.get(answer)
            if what is not None and what.reach and what.at is not None:
                rows = "any row above" if what.reach == ANYWHERE else f"{what.reach:.0f} rows above"
                self._note(what.column or answer, Rule.NEIGHBOURS, f"{what.at.shown()} lets {answer} see {rows}")
        order = {name: at for at, name in enumerate(self._order)}
        return tuple(sorted(self._findings.values(), key=lambda one: order.get(one.column, len(order))))

    def _is_behind(self, index: Node) -> bool:
        """Whether a row number is surely that of the row itself or of one before it."""
        if is_first_row(index) or seen("", index, self._known).event:
            return True
        less = index.kind == "operator" and index.name == "Minus" and seen("", index.inputs[0], self._known).event
        by = index.inputs[1].options if less and index.inputs[1].kind == "literal" else None
        return isinstance(by, int) and by >= 0

    def _note(self, column: str, rule: Rule, where: str) -> None:
        self._findings.setdefault((column, rule), _finding(self._strategy_id, column, rule, where))


def _broken(node: Node, over: Node | None) -> Iterator[tuple[Rule, Node]]:
    """The rules `node` and all below it break by themselves; `over` is the grouping they stand in."""
    rule = _rule_of(node, over)
    if rule is not None:
        yield rule, node
    within = node if node.kind in {"over", "rolling"} else over
    for below in node.inputs:
        yield from _broken(below, within)


def _rule_of(node: Node, over: Node | None) -> Rule | None:
    """The rule one operation breaks, or None."""
    name, constant = node.name, not node.columns and node.kind != "len"
    by_kind = {
        "python": Rule.PYTHON,
        "selector": Rule.COLUMN,
        "len": Rule.WHOLE_GROUP if over else Rule.WHOLE_FRAME,
        "gather": Rule.PICKED_ROWS if over else None,  # within a group rows have other numbers
    }
    if node.kind in by_kind:
        return by_kind[node.kind]
    if node.kind == "literal":
        return None if isinstance(node.options, int | float | str | None) else Rule.OWN_DATA
    if node.kind == "over":
        return None if _keeps_to_itself(node) else Rule.GROUP
    if node.kind == "rolling":
        return Rule.LATER_ROW if _reaches_ahead(node) else None
    if node.kind == "aggregate" or name in _AGGREGATES:
        known = constant or (name == "First" and over is not None) or (over is not None and over.kind == "rolling")
        return None if known else Rule.WHOLE_GROUP if over else Rule.WHOLE_FRAME
    by_name = ((_AHEAD, Rule.LATER_ROW), (_ORDERS, Rule.ORDER), (_PICKS, Rule.PICKED_ROWS))
    for names, rule in by_name:
        if name in names:
            return rule
    if node.kind == "function":
        return _rule_of_function(node)
    return Rule.UNPROVEN if node.kind == "other" else None


def _rule_of_function(node: Node) -> Rule | None:
    name, options = node.name, node.options
    if name in SHIFTS:
        rows = moved_by(node)
        return None if rows is not None and rows >= 0 else Rule.LATER_ROW
    if name in CUMULATIVE:
        return Rule.LATER_ROW if isinstance(options, dict) and options.get("reverse") else None
    if name == "RollingExpr":
        if not isinstance(options["function"], str):
            return Rule.PYTHON
        return Rule.LATER_ROW if options["options"]["center"] else None
    if name == "RollingExprBy":
        return None
    if name == "FoldHorizontal":
        return Rule.PYTHON
    proved = name in _ROW_BY_ROW or name.startswith(_ROW_BY_ROW_FAMILIES)
    return None if proved else Rule.UNPROVEN


def _keeps_to_itself(node: Node) -> bool:
    """Whether a grouping is by symbol or its session, in the order of time, one value for each row."""
    by = {one.name for one in node.partition if one.kind == "column"}
    ordered = all(name in _IN_TIME for one in node.order for name in one.columns)
    descending = bool(node.options and node.options["descending"])
    return bool(by & _OWN_GROUPS) and ordered and not descending and node.name == "GroupsToRows"


def _reaches_ahead(node: Node) -> bool:
    """Whether a window in time (`rolling`) ends after its row."""
    period, offset = (_length_ns(node.options[name]) for name in ("period", "offset"))
    return period + offset > 0


def _length_ns(duration: dict[str, int]) -> int:
    days = duration["months"] * 30 + duration["weeks"] * 7 + duration["days"]
    length = days * 86_400_000_000_000 + duration["nsecs"]
    return -length if duration["negative"] else length
