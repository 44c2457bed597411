"""Small wrong turns that a module's source can take, one at a time: what mutation testing plants (scripts/mutants.py).

Each operator looks at one node of the syntax tree and proposes others in its place. Texts, annotations, docstrings and
decorators are left alone: nobody decides by them. A mutant is known by its line's text and what was changed there, so
that it keeps its name while other lines move.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DROPPED = frozenset({"abs", "sorted", "reversed"})


@dataclass(frozen=True)
class Mutant:
    """`line` is the source line's text, `change` what becomes of it, `nth` counts equal changes of equal lines.

    `tree` is the whole module with it. `inside` a function: what it does when it is called, not when it is imported.
    `statement` are the lines of the statement it is in (of one with a body, its head): who runs one of them runs it.
    """

    line_no: int
    line: str
    change: str
    nth: int
    tree: ast.Module
    inside: bool
    statement: range

    @property
    def name(self) -> str:
        return f"{self.line} :: {self.change} #{self.nth}"


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree, lines = ast.parse(source), source.splitlines()
    seen: Counter[tuple[str, str]] = Counter()
    bodies = [range(f.body[0].lineno, (f.end_lineno or 0) + 1) for f in ast.walk(tree) if isinstance(f, _FUNCTIONS)]
    statements = [_head(node) for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    for at, (node, *_) in enumerate(_sites(tree)):
        inside = any(node.lineno in body for body in bodies)
        here = range(node.lineno, node.lineno + 1)
        around = min((told for told in statements if node.lineno in told), key=len, default=here)
        for which, (change, _) in enumerate(_changes(node)):
            line = lines[node.lineno - 1].strip()
            seen[line, change] += 1
            yield Mutant(node.lineno, line, change, seen[line, change], _with(tree, at, which), inside, around)


def _head(node: ast.stmt) -> range:
    """The lines of a statement without those of its body."""
    body = getattr(node, "body", None)
    last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
    return range(node.lineno, max(last, node.lineno) + 1)


def _with(tree: ast.Module, at: int, which: int) -> ast.Module:
    """The module with the change number `which` made at site number `at`."""
    mutated = copy.deepcopy(tree)
    node, parent, field = next(site for number, site in enumerate(_sites(mutated)) if number == at)
    new = list(_changes(node))[which][1]
    held = getattr(parent, field)
    if isinstance(held, list):
        held[next(i for i, one in enumerate(held) if one is node)] = new
    else:
        setattr(parent, field, new)
    ast.copy_location(new, node)
    return ast.fix_missing_locations(mutated)


def _sites(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST, str]]:
    """Every node that may be changed, with where it hangs, from top to bottom."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "bases", "keywords") and not isinstance(tree, ast.Call):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_text(child) or isinstance(child, ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield child, tree, field
            yield from _sites(child)


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return any(isinstance(name, ast.Name) and name.id.startswith("__") for name in node.targets)
    return isinstance(node, ast.Raise)


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[str, ast.expr | ast.stmt]]:
    """What may stand in the node's place, each with its description."""
    if isinstance(node, ast.Compare):
        yield from _compared(node)
    elif isinstance(node, ast.BoolOp):
        yield from _joined(node)
    elif isinstance(node, ast.UnaryOp):
        yield f"drop {'not' if isinstance(node.op, ast.Not) else type(node.op).__name__}", node.operand
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _COMPUTED:
        other = copy.copy(node)
        other.op = _COMPUTED[type(node.op)]()
        yield f"{type(node.op).__name__} to {type(other.op).__name__}", other
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        yield from _calls(node, node.func)
    elif isinstance(node, ast.IfExp):
        yield "always the first", node.body
        yield "always the second", node.orelse
    elif isinstance(node, ast.Expr):
        yield "drop the statement", ast.Pass()
    elif isinstance(node, ast.If):
        for value in (True, False):
            other = copy.copy(node)
            other.test = ast.Constant(value)
            yield f"if {value}", other
    elif isinstance(node, ast.Continue):
        yield "break", ast.Break()


def _compared(node: ast.Compare) -> Iterator[tuple[str, ast.expr]]:
    for at, op in enumerate(node.ops):
        for other in _COMPARED.get(type(op), ()):
            changed = copy.copy(node)
            changed.ops = [*node.ops[:at], other(), *node.ops[at + 1 :]]
            yield f"{type(op).__name__} to {other.__name__}", changed


def _joined(node: ast.BoolOp) -> Iterator[tuple[str, ast.expr]]:
    word = "and" if isinstance(node.op, ast.And) else "or"
    other = copy.copy(node)
    other.op = ast.Or() if word == "and" else ast.And()
    yield f"{word} to {'or' if word == 'and' else 'and'}", other
    for at in range(len(node.values)):
        left = [value for number, value in enumerate(node.values) if number != at]
        yield f"drop part {at + 1} of {word}", left[0] if len(left) == 1 else ast.BoolOp(node.op, left)


def _constants(node: ast.Constant) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node.value, bool):
        yield f"{node.value} to {not node.value}", ast.Constant(not node.value)
    elif isinstance(node.value, int | float):
        yield f"{node.value} to {node.value + 1}", ast.Constant(node.value + 1)


def _calls(node: ast.Call, function: ast.Name) -> Iterator[tuple[str, ast.expr]]:
    if function.id in _CALLED:
        other = copy.copy(node)
        other.func = ast.Name(_CALLED[function.id], ast.Load())
        yield f"{function.id} to {_CALLED[function.id]}", other
    elif function.id in _DROPPED and len(node.args) == 1:
        yield f"drop {function.id}", node.args[0]
