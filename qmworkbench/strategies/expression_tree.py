"""Polars expressions as trees that can be read: what the lint walks and rows are computed by (§3; DESIGN "Numbers")."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import polars as pl

Json = Any


class Unreadable(ValueError):
    """An expression that cannot be looked into; the message says why."""


@dataclass(frozen=True)
class Node:
    """One operation of an expression.

    `kind` tells how to read the rest: "column", "literal", "function", "aggregate", "operator", "ternary" (condition,
    then, otherwise), "over" (what is computed; `partition` and `order` beside it), "gather" (what, which rows), "cast",
    "python", "selector", "len", "rolling", and for all others "other". `name` is the column, function, operator or
    type, `options` what polars notes besides the inputs; for a literal its value, `NO_NUMBER` if it is none. `told` is
    what polars says of it, from which it can be made an expression again.
    """

    kind: str
    name: str = ""
    inputs: tuple["Node", ...] = ()
    options: Json = field(default=None, hash=False)
    partition: tuple["Node", ...] = ()
    order: tuple["Node", ...] = ()
    told: Json = field(default=None, compare=False, repr=False)

    @property
    def expr(self) -> pl.Expr:
        """The expression this is the tree of."""
        return pl.Expr.deserialize(json.dumps(self.told).encode(), format="json")

    def walk(self) -> Iterator["Node"]:
        """This node and all below it, each before its inputs."""
        yield self
        for below in (*self.inputs, *self.partition, *self.order):
            yield from below.walk()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column read, in the order met, each once."""
        return tuple(dict.fromkeys(node.name for node in self.walk() if node.kind == "column"))

    def shown(self, most: int = 90) -> str:
        """The expression in few words, for a person."""
        text = _shown(self)
        return text if len(text) <= most else text[: most - 1] + "…"


NO_NUMBER: Final = object()
"""Stands for a literal that is no number, truth value, text or null: a series, a list, a time."""

_FAMILIES: Final = frozenset(
    {
        *("Boolean", "Pow", "TemporalExpr", "StringExpr", "ListExpr", "ArrayExpr", "StructExpr", "BinaryExpr"),
        *("CategoricalExpr", "Bitwise", "Trigonometry", "Range", "Random", "FillNullWithStrategy"),
    }
)
_OPERATORS: Final = {
    **{"Plus": "+", "Minus": "-", "Multiply": "*", "Divide": "/", "TrueDivide": "/", "FloorDivide": "//"},
    **{"Gt": ">", "GtEq": ">=", "Lt": "<", "LtEq": "<=", "Eq": "==", "NotEq": "!=", "And": "&", "Or": "|"},
    **{"Modulus": "%", "Xor": "^"},
}


def read(expr: pl.Expr) -> Node:
    """The tree of an expression, names it is given left aside. Raises Unreadable."""
    try:
        told = json.loads(expr.meta.serialize(format="json"))
    except Exception as error:  # polars raises what the pickling of foreign Python code raises
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    try:
        return _node(told)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise Unreadable(f"polars {pl.__version__} tells it in a way this lint does not know: {error}") from error


def _node(told: Json) -> Node:
    if isinstance(told, str):
        return Node("len") if told == "Len" else Node("other", told)
    if not isinstance(told, dict) or len(told) != 1:
        raise Unreadable(f"no operation in {str(told)[:60]}")
    ((kind, payload),) = told.items()
    if kind in _READERS:
        node = _READERS[kind](payload)
        return node if kind == "Alias" else replace(node, told=told)
    name = {"AnonymousFunction": "python", "Selector": "selector"}.get(kind, "other")
    return Node(name, kind, tuple(_found(payload)), payload if name == "selector" else None)


def _found(told: Json) -> Iterator[Node]:
    """Operations somewhere inside a payload of unknown form."""
    if isinstance(told, dict):
        for key, below in told.items():
            if key in _READERS or key in {"AnonymousFunction", "Selector"}:
                yield _node({key: below})
            else:
                yield from _found(below)
    elif isinstance(told, list) and len(told) < 1000:  # longer ones are bytes
        for below in told:
            yield from _found(below)
    elif told == "Len":
        yield Node("len")


def _literal(told: Json) -> Node:
    ((_, inner),) = told.items()
    value: Json = NO_NUMBER
    if isinstance(inner, dict) and len(inner) == 1:
        ((kind, value),) = inner.items()
        if kind == "Null" or (kind.startswith("Float") and value is None):  # JSON has no infinity
            value = None if kind == "Null" else float("nan")
    return Node("literal", options=value if isinstance(value, int | float | str | None) else NO_NUMBER)


def _function(told: Json) -> Node:
    inputs, function = tuple(_node(one) for one in told["input"]), told["function"]
    if isinstance(function, str):
        return Node("function", function, inputs)
    ((name, options),) = function.items()
    if name in _FAMILIES and isinstance(options, str):
        return Node("function", f"{name}.{options}", inputs)
    if name in _FAMILIES and isinstance(options, dict) and len(options) == 1:
        ((inner, more),) = options.items()
        return Node("function", f"{name}.{inner}", inputs, more)
    return Node("function", name, inputs, options)


def _aggregate(told: Json) -> Node:
    ((name, payload),) = told.items()
    return Node("aggregate", name, tuple(_found(payload)))


def _over(told: Json) -> Node:
    order = told["order_by"]
    return Node(
        "over",
        told["mapping"],
        (_node(told["function"]),),
        order[1] if order else None,
        tuple(_node(one) for one in told["partition_by"]),
        (_node(order[0]),) if order else (),
    )


def _rolling(told: Json) -> Node:
    return Node("rolling", "", (_node(told["function"]), _node(told["index_column"])), told)


_READERS: Final = {
    "Column": lambda told: Node("column", told),
    "Literal": _literal,
    "Alias": lambda told: _node(told[0]),
    "Function": _function,
    "Agg": _aggregate,
    "BinaryExpr": lambda told: Node("operator", told["op"], (_node(told["left"]), _node(told["right"]))),
    "Ternary": lambda told: Node("ternary", "", tuple(_node(told[name]) for name in ("predicate", "truthy", "falsy"))),
    "Over": _over,
    "Gather": lambda told: Node("gather", "", (_node(told["expr"]), _node(told["idx"]))),
    "Cast": lambda told: Node("cast", str(told["dtype"].get("Literal", "")), (_node(told["expr"]),)),
    "Slice": lambda told: Node("other", "slice", (_node(told["input"]), _node(told["offset"]), _node(told["length"]))),
    "Filter": lambda told: Node("other", "filter", (_node(told["input"]), _node(told["by"]))),
    "Sort": lambda told: Node("other", "sort", (_node(told["expr"]),)),
    "SortBy": lambda told: Node("other", "sort_by", (_node(told["expr"]), *(_node(one) for one in told["by"]))),
    "Rolling": _rolling,
}


def _shown(node: Node) -> str:
    inputs = [_shown(one) for one in node.inputs]
    if node.kind == "column":
        return node.name
    if node.kind == "literal":
        return "…" if node.options is NO_NUMBER else str(node.options)
    if node.kind == "operator":
        return f"({inputs[0]} {_OPERATORS.get(node.name, node.name)} {inputs[1]})"
    if node.kind == "ternary":
        return f"when({inputs[0]}).then({inputs[1]}).otherwise({inputs[2]})"
    if node.kind == "over":
        return f"{inputs[0]}.over({', '.join(_shown(one) for one in node.partition)})"
    if node.kind == "len":
        return "len()"
    name = _snake(node.name.split(".")[-1]) if node.name else node.kind
    if node.name == "RollingExpr":
        name = (
            f"rolling_{_snake(str(node.options['function']) if isinstance(node.options['function'], str) else 'map')}"
        )
        inputs.append(str(node.options["options"]["window_size"]))
    if isinstance(node.options, dict) and node.options.get("reverse"):
        inputs.append("reverse")
    if node.kind == "cast":
        name, inputs = "cast", [inputs[0], node.name]
    return f"{inputs[0]}.{name}({', '.join(inputs[1:])})" if inputs else f"{name}()"


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() and at else c.lower() for at, c in enumerate(name))
