"""Whose rows a column may come from: how far an expression reads back, and what keeps it within its symbol (§3).

A frame holds its symbols one below the other. An expression without `.over` reads the rows above its own whoever they
belong to, which is ten times cheaper and right where a mask asks for the row's position. Here that is proved, or not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

from qmworkbench.strategies.bars import BARS_SCHEMA, KEYS
from qmworkbench.strategies.expression_tree import Node

ANYWHERE: Final = math.inf

CUMULATIVE: Final = frozenset(
    {
        *("CumSum", "CumMax", "CumMin", "CumProd", "CumCount", "FillNullWithStrategy.Forward", "RLEID", "EwmMeanBy"),
        *("EwmMean", "EwmStd", "EwmVar", "Boolean.IsFirstDistinct"),
    }
)
SHIFTS: Final = frozenset({"Shift", "ShiftAndFill", "Diff", "PctChange"})
POSITIONS: Final = ("i_row", "i_pos")
_WHOLE: Final = frozenset({*KEYS, "bar", "bars_left"})
_COMPARISONS: Final = frozenset({"Gt", "GtEq", "Lt", "LtEq", "Eq", "NotEq", "EqValidity", "NotEqValidity"})


@dataclass(frozen=True)
class Proof:
    """What is known where a condition holds: so many rows of the symbol above, and which row numbers are its own."""

    rows: float = 0
    mine: frozenset[Node] = frozenset()

    def __or__(self, other: "Proof") -> "Proof":
        return Proof(max(self.rows, other.rows), self.mine | other.mine)


NOTHING: Final = Proof()


@dataclass(frozen=True)
class Seen:
    """What an expression reads.

    `reach`: how many rows above its own; 0 if it has been shown to read its own symbol's alone, ANYWHERE for all above.
    `at` and `column`: the operation that reaches there, and the column it stands in. `whole`: whole numbers or truth
    values. `event`: the number of a row at or above its own, chosen by what that row's own symbol says. `total`: the
    reach of what an ungrouped running total of whole numbers counts, None for anything else. `proof`: what holds where
    it is true.
    """

    reach: float = 0
    at: Node | None = None
    column: str = ""
    whole: bool = False
    event: bool = False
    total: float | None = None
    proof: Proof = NOTHING


BASE: Final[Mapping[str, Seen]] = {
    name: Seen(whole=name in _WHOLE, event=name == "i_index") for name in (*BARS_SCHEMA, *KEYS)
}
"""The columns of prepared bars."""


def seen(column: str, tree: Node, known: Mapping[str, Seen]) -> Seen:
    """What `column`, computed by `tree` over the columns `known`, reads."""
    return _Reading(column, known).of(tree)


def moved_by(node: Node) -> int | None:
    """By how many rows a shift looks back, negative for ahead; None where that is no plain number."""
    amount = node.inputs[1].options if node.inputs[1].kind == "literal" else None
    return amount if isinstance(amount, int) and not isinstance(amount, bool) else None


def is_first_row(node: Node) -> bool:
    """Whether `node` is the number of the first row of the symbol or of its session."""
    return _is(node, "Minus") and _is_column(node.inputs[0], "i_index") and _is_column(node.inputs[1], *POSITIONS)


class _Reading:
    """Reads one column's tree."""

    def __init__(self, column: str, known: Mapping[str, Seen]) -> None:
        self._column, self._known = column, known

    def of(self, node: Node, mine: frozenset[Node] = frozenset(), *, grouped: bool = False) -> Seen:
        """What `node` reads where the row numbers `mine` are the symbol's own, inside an `.over` or not."""
        if mine and (node in mine or any(self._comes_with(node, event) for event in mine)):
            return replace(self.of(node, grouped=grouped), reach=0)
        if node.kind == "column":
            return self._known.get(node.name, Seen())
        if node.kind == "literal":
            return Seen(whole=isinstance(node.options, int) or node.options is None)
        if node.kind == "over":
            return replace(self.of(node.inputs[0], grouped=True), total=None, proof=NOTHING)
        if node.kind in {"rolling", "aggregate", "len"} or node.name == "RollingExprBy":
            if not node.columns and node.kind != "len":
                return Seen()
            found = self._all(node, mine, grouped)
            return replace(found, reach=found.reach if grouped and not found.reach else ANYWHERE, at=found.at or node)
        readers = {"ternary": self._ternary, "operator": self._operator, "gather": self._gathered}
        return readers.get(node.kind, self._function)(node, mine, grouped)

    def _function(self, node: Node, mine: frozenset[Node], grouped: bool) -> Seen:
        if node.name in CUMULATIVE:
            return self._running(node, grouped)
        if node.name in SHIFTS:
            rows = abs(moved_by(node) or 0)
            return self._behind(node, rows, grouped, keeps=node.name in {"Shift", "ShiftAndFill"})
        if node.name == "RollingExpr":
            return self._behind(node, node.options["options"]["window_size"] - 1, grouped, keeps=False)
        if node.name == "Boolean.AllHorizontal":
            return self._together(node, mine, grouped)
        return self._row_by_row(node, mine, grouped)

    def proof(self, condition: Node, truth: bool) -> Proof:
        """What holds in the rows where `condition` is true (or is not)."""
        if condition.kind == "function" and condition.name == "Boolean.Not":
            return self.proof(condition.inputs[0], not truth)
        if condition.name in (("And", "Boolean.AllHorizontal") if truth else ("Or", "Boolean.AnyHorizontal")):
            return reduce(Proof.__or__, (self.proof(one, truth) for one in condition.inputs))
        if condition.kind == "operator" and condition.name in _COMPARISONS:
            return _rows_proved(condition, truth) | (self._mine(condition) if truth else NOTHING)
        return self.of(condition).proof if truth else NOTHING

    def _mine(self, condition: Node) -> Proof:
        """`i_index - event <= i_pos`, or `event >= i_index - i_pos`: the event's row is one of the session's own."""
        greater, less = condition.inputs if condition.name in {"GtEq", "Gt"} else condition.inputs[::-1]
        if condition.name not in {"GtEq", "Gt", "LtEq", "Lt"}:
            return NOTHING
        beyond = 1 if condition.name in {"Gt", "Lt"} else 0
        event, rows = greater, _rows_after_first(less)
        if _is_column(greater, *POSITIONS) and _is(less, "Minus") and _is_column(less.inputs[0], "i_index"):
            event, rows = less.inputs[1], 0
        if rows is None or rows + beyond < 0 or not self.of(event).event:
            return NOTHING
        return Proof(rows + beyond, frozenset({event}))

    def _comes_with(self, node: Node, event: Node) -> bool:
        """Whether `node` carries a value on from the very row whose number `event` carries on."""
        if node.kind != "function" or (node.name, node.options) != (event.name, event.options):
            return False
        if node.name in {"Shift", "ShiftAndFill"}:
            return node.inputs[1:] == event.inputs[1:] and self._comes_with(node.inputs[0], event.inputs[0])
        if node.name != "FillNullWithStrategy.Forward" or event.inputs[0].kind != "ternary":
            return False
        value, (condition, row, otherwise) = node.inputs[0], event.inputs[0].inputs
        marked = condition.name == "Boolean.IsNotNull" and condition.inputs[0] == value
        picked = value.kind == "ternary" and value.inputs[0] == condition and value.inputs[1].name in BARS_SCHEMA
        return (
            (marked or (picked and _is_none(value.inputs[2])))
            and _is_column(row, "i_index")
            and _is_none(otherwise)
            and not self.of(value).reach
        )

    def _all(self, node: Node, mine: frozenset[Node], grouped: bool) -> Seen:
        """The farthest any input reads."""
        inputs = [self.of(one, mine, grouped=grouped) for one in node.inputs]
        farthest = max(inputs, key=lambda found: found.reach, default=Seen())
        return Seen(farthest.reach, farthest.at, farthest.column or self._column)

    def _row_by_row(self, node: Node, mine: frozenset[Node], grouped: bool) -> Seen:
        inputs = [self.of(one, mine, grouped=grouped) for one in node.inputs]
        found = self._all(node, mine, grouped)
        whole = node.name.startswith("Boolean.") or all(one.whole for one in inputs)
        if node.kind == "cast":
            whole = inputs[0].whole or node.name.startswith(("Int", "UInt", "Boolean"))
        filled = node.name == "FillNull"
        event = bool(inputs) and inputs[0].event and (node.kind == "cast" or (filled and _is_none(node.inputs[1])))
        keeps = filled and node.inputs[1].options is False
        proof = inputs[0].proof if keeps else NOTHING
        if node.name == "Boolean.Not":
            proof = self.proof(node, True)
        return replace(found, whole=whole, event=event, proof=proof)

    def _ternary(self, node: Node, mine: frozenset[Node], grouped: bool) -> Seen:
        condition, then, otherwise = node.inputs
        holds, fails = self.proof(condition, True), self.proof(condition, False)
        branches = [
            _kept(self.of(branch, mine | proof.mine, grouped=grouped), proof)
            for branch, proof in ((then, holds), (otherwise, fails))
        ]
        chosen = self.of(condition, mine, grouped=grouped)
        farthest = max((chosen, *branches), key=lambda found: found.reach)
        events = [found.event or _is_none(branch) for found, branch in zip(branches, (then, otherwise), strict=True)]
        return Seen(
            farthest.reach,
            farthest.at,
            farthest.column or self._column,
            whole=all(found.whole for found in branches),
            event=all(events) and not chosen.reach,
            proof=holds | branches[0].proof if _is_untrue(otherwise) else NOTHING,
        )

    def _operator(self, node: Node, mine: frozenset[Node], grouped: bool) -> Seen:
        left, right = node.inputs
        if node.name in _COMPARISONS and (self._mine(node).mine or self._is_after(node, mine)):
            return Seen(whole=True, proof=self.proof(node, True))
        if node.name == "And":
            return self._together(node, mine, grouped)
        total = self._difference(left, right) if node.name == "Minus" else None
        if total is not None:
            return replace(total, column=self._column)
        found = self._all(node, mine, grouped)
        counts = node.name in {"Plus", "Minus", "Multiply"} and all(self.of(one).whole for one in node.inputs)
        compares = node.name in _COMPARISONS
        whole = counts or compares or node.name in {"Or", "Xor"}
        return replace(found, whole=whole, proof=self.proof(node, True) if compares else NOTHING)

    def _together(self, node: Node, mine: frozenset[Node], grouped: bool) -> Seen:
        """Conditions that must all hold: each counts only where the others do."""
        proofs = [self.proof(one, True) for one in node.inputs]
        sides: list[Seen] = []
        for at, one in enumerate(node.inputs):
            others = reduce(Proof.__or__, (proof for place, proof in enumerate(proofs) if place != at), NOTHING)
            sides.append(_kept(self.of(one, mine | others.mine, grouped=grouped), others))
        farthest = max(sides, key=lambda found: found.reach)
        together = reduce(Proof.__or__, proofs, NOTHING)
        return Seen(farthest.reach, farthest.at, farthest.column, whole=True, proof=together)

    def _is_after(self, node: Node, mine: frozenset[Node]) -> bool:
        """An event anywhere before one of the session's own: true of any neighbour's, which only come before."""
        left, right = node.inputs if node.name in {"Lt", "LtEq"} else node.inputs[::-1]
        ordered = node.name in {"Lt", "LtEq", "Gt", "GtEq"}
        return ordered and right in mine and self.of(left).event

    def _difference(self, total: Node, earlier: Node) -> Seen | None:
        """A running total of whole numbers less itself some rows above: exactly what was counted in between."""
        running = self._known.get(total.name) if total.kind == "column" else None
        if running is None or running.total is None:
            return None
        if earlier.kind == "gather" and earlier.inputs[0] == total and is_first_row(earlier.inputs[1]):
            return Seen(0 if not running.total else ANYWHERE, earlier, whole=True)
        shifted = (
            earlier.kind == "function" and earlier.name in {"Shift", "ShiftAndFill"} and earlier.inputs[0] == total
        )
        rows = moved_by(earlier) if shifted else None
        return None if rows is None or rows < 1 else Seen(rows - 1 + running.total, earlier, whole=True)

    def _gathered(self, node: Node, mine: frozenset[Node], grouped: bool) -> Seen:
        what, where = self.of(node.inputs[0], grouped=grouped), self.of(node.inputs[1], mine, grouped=grouped)
        own = is_first_row(node.inputs[1]) or (where.event and not where.reach)
        if own and not what.reach:
            return replace(what, total=None, proof=NOTHING)
        return Seen(ANYWHERE, what.at or node, what.column or self._column, whole=what.whole)

    def _running(self, node: Node, grouped: bool) -> Seen:
        what = self.of(node.inputs[0], grouped=grouped)
        if grouped and not what.reach:
            return replace(what, total=None, proof=NOTHING)
        event = what.event and node.name in {"CumMax", "FillNullWithStrategy.Forward"}
        counted = node.name in {"CumSum", "CumCount"} and what.whole and not grouped
        at, column = (what.at, what.column) if what.reach else (node, self._column)
        whole = what.whole or node.name in {"CumCount", "RLEID"}
        limit = node.options if node.name == "FillNullWithStrategy.Forward" else None
        reach = ANYWHERE if limit is None else what.reach + limit
        return Seen(reach, at, column, whole, event, what.reach if counted else None)

    def _behind(self, node: Node, rows: int, grouped: bool, *, keeps: bool) -> Seen:
        what = self.of(node.inputs[0], grouped=grouped)
        fill = [self.of(one, grouped=grouped) for one in node.inputs[2:]]
        event = keeps and what.event and all(_is_none(one) for one in node.inputs[2:])
        if any(found.reach for found in fill):
            return Seen(ANYWHERE, node, self._column, event=event)
        if grouped and not what.reach:
            return Seen(whole=keeps and what.whole, event=event)
        at, column = (what.at, what.column) if what.reach else (node, self._column)
        return Seen(what.reach + rows, at if rows or what.reach else None, column, keeps and what.whole, event)


def _kept(found: Seen, proof: Proof) -> Seen:
    """What a branch reads where `proof` holds."""
    return replace(found, reach=0, at=None) if found.reach <= proof.rows else found


def _rows_proved(condition: Node, truth: bool) -> Proof:
    """How many rows of the symbol lie above where a comparison of i_row or i_pos with a number holds (or fails)."""
    left, right = condition.inputs
    if not _is_column(left, *POSITIONS) or right.kind != "literal" or not isinstance(right.options, int | float):
        return NOTHING
    least = {"GtEq": 0, "Gt": 1, "Eq": 0} if truth else {"Lt": 0, "LtEq": 1}
    return Proof(right.options + least[condition.name]) if condition.name in least else NOTHING


def _rows_after_first(node: Node) -> int | None:
    """How many rows after the symbol's (or session's) first a row number lies; None if it is no such number."""
    if is_first_row(node):
        return 0
    if node.kind != "operator" or node.name not in {"Plus", "Minus"}:
        return None
    start, more = _rows_after_first(node.inputs[0]), node.inputs[1].options
    if start is None or node.inputs[1].kind != "literal" or not isinstance(more, int):
        return None
    return start + more if node.name == "Plus" else start - more


def _is(node: Node, operator: str) -> bool:
    return node.kind == "operator" and node.name == operator


def _is_column(node: Node, *names: str) -> bool:
    return node.kind == "column" and node.name in names


def _is_untrue(node: Node) -> bool:
    return node.kind == "literal" and (node.options is None or node.options is False)


def _is_none(node: Node) -> bool:
    """Whether a literal stands for "no row": null or a number below every row."""
    value = node.options
    return node.kind == "literal" and (value is None or (isinstance(value, int) and value < 0))
