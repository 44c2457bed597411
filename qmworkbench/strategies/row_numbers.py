"""Row numbers tell rows apart and are no values: what may be done with `i_index`, `i_day`, `i_symbol` (§3).

They count rows, sessions and symbols of whatever frame is at hand: with one more symbol or day in it they are others.
Two of a kind may be compared or taken from one another, filled forward, shifted, and used to look a row up; what comes
of that is the same in every frame. A number compared with 10, taken by 2 or shown as a feature is not.
"""

from collections.abc import Callable, Mapping
from typing import Final

from qmworkbench.strategies.expression_tree import Node

NUMBERINGS: Final = ("i_index", "i_day", "i_symbol")
_COMPARISONS: Final = frozenset({"Gt", "GtEq", "Lt", "LtEq", "Eq", "NotEq", "EqValidity", "NotEqValidity"})
_KEEP: Final = frozenset(
    {
        *("Shift", "ShiftAndFill"),
        *("FillNull", "Coalesce", "MaxHorizontal", "MinHorizontal", "Clip", "CumMax", "CumMin"),
        *("FillNullWithStrategy.Forward", "Boolean.IsNull", "Boolean.IsNotNull"),
    }
)
_KEEPING_AGGREGATES: Final = frozenset({"Max", "Min", "First", "Last"})
_TRUTHS: Final = frozenset({"Boolean.IsNull", "Boolean.IsNotNull"})


class Numbers:
    """Reads one expression: `kind` is the numbering its value belongs to, "" for a value of its own; `misused` are the
    operations that make a value of a row number. `known` says it of columns of earlier stages.
    """

    def __init__(self, tree: Node, known: Mapping[str, str]) -> None:
        self._known = {name: name for name in NUMBERINGS} | dict(known)
        self.misused: list[Node] = []
        self.kind = self._of(tree)

    def _of(self, node: Node) -> str:
        if node.kind == "column":
            return self._known.get(node.name, "")
        return _READ.get(node.kind, Numbers._other)(self, node)

    def _misuse(self, node: Node, kind: str = "") -> str:
        self.misused.append(node)
        return kind

    def _operator(self, node: Node) -> str:
        left, right = (self._of(one) for one in node.inputs)
        if not left and not right:
            return ""
        if left == right:
            return "" if node.name == "Minus" or node.name in _COMPARISONS else self._misuse(node)
        if node.name in _COMPARISONS:
            other = node.inputs[0] if right else node.inputs[1]
            return "" if not (left and right) and _is_none(other) else self._misuse(node)
        moved = (node.name == "Minus" and left) or (node.name == "Plus" and (left or right))
        return moved if moved and not (left and right) else self._misuse(node)

    def _ternary(self, node: Node) -> str:
        condition, *answers = (self._of(one) for one in node.inputs)
        kinds = {kind for kind in answers if kind}
        return self._misuse(node) if condition or len(kinds) > 1 else next(iter(kinds), "")

    def _function(self, node: Node) -> str:
        kinds = {kind for kind in map(self._of, node.inputs) if kind}
        if not kinds or node.name == "Diff":
            return ""
        if not _keeps(node) or len(kinds) > 1:
            return self._misuse(node)
        return "" if node.name in _TRUTHS else next(iter(kinds))

    def _aggregate(self, node: Node) -> str:
        kinds = {kind for kind in map(self._of, node.inputs) if kind}
        if not kinds:
            return ""
        return next(iter(kinds)) if node.name in _KEEPING_AGGREGATES and len(kinds) == 1 else self._misuse(node)

    def _inner(self, node: Node) -> str:
        """What is computed, whatever stands beside it: the grouping, the order, the row that is looked up."""
        for beside in node.inputs[1:]:
            self._of(beside)
        return self._of(node.inputs[0]) if node.inputs else ""

    def _other(self, node: Node) -> str:
        kinds = [kind for kind in map(self._of, node.inputs) if kind]
        return self._misuse(node) if kinds else ""


def _keeps(node: Node) -> bool:
    """Whether a row number that goes in comes out as one, or as whether there is one."""
    return node.name in _KEEP or (node.name == "RollingExpr" and node.options["function"] in ("Max", "Min"))


def _is_none(node: Node) -> bool:
    """Whether it stands for "no row": null, or a number that no row has."""
    value = node.options if node.kind == "literal" else 0
    return value is None or (isinstance(value, int | float) and value < 0)


_READ: Final[dict[str, Callable[[Numbers, Node], str]]] = {
    "operator": Numbers._operator,
    "ternary": Numbers._ternary,
    "function": Numbers._function,
    "aggregate": Numbers._aggregate,
    "over": Numbers._inner,
    "rolling": Numbers._inner,
    "gather": Numbers._inner,
    "cast": Numbers._inner,
}
