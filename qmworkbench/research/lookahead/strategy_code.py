"""Which code a strategy's answers come from, as one hash: an examination counts for that code and no other (§3)."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType
from typing import Final

from qmworkbench.strategies.definition import StrategyDefinition, StrategyStatus

_ROOT: Final = "qmworkbench.strategies"
# What holds a definition together without deciding any value of its columns.
_FRAMEWORK: Final = frozenset(f"{_ROOT}.{name}" for name in ("definition", "parameters", "completeness", "catalog"))
_RULES: Final = ("signals", "plan", "anchor", "warmup_bars")


class CodeUnreadable(ValueError):
    """The source of a strategy's rules cannot be read; the message names the function and the remedy."""


def code_hash(definition: StrategyDefinition) -> str:
    """16 hex digits over the code that decides what the strategy says: its module and those of this package it stands
    on, without comments, docstrings, layout and what the catalog entry says about itself.

    Approving a strategy, or adding to its validation history, leaves it as it is. Raises CodeUnreadable.
    """
    digest = hashlib.sha256()
    for name in sorted({module for rule in _RULES for module in _modules_behind(getattr(definition, rule))}):
        digest.update(f"{name}\n{_essence(name)}\n".encode())
    return digest.hexdigest()[:16]


def stale_examination(definition: StrategyDefinition) -> str:
    """Why the look-ahead examination that a paper- or live-approved entry holds does not count for the code that is
    here; "" if it does, or if the status needs none. That there is one at all is asked when the entry is imported.
    """
    if definition.status not in (StrategyStatus.PAPER_APPROVED, StrategyStatus.LIVE_APPROVED):
        return ""
    mine = definition.hash({})
    held = [piece.lookahead for piece in definition.validation if piece.lookahead is not None]
    examined = [one.code_hash for one in held if one.params_hash == mine]
    code = code_hash(definition)
    if code in examined:
        return ""
    return (
        f"its look-ahead examination was of code {examined[-1] if examined else 'unknown'} and the code here is "
        f"{code}: run `qm lookahead {definition.strategy_id} --data FILE --evidence` and add what it prints"
    )


def _modules_behind(rule: object) -> frozenset[str]:
    name = getattr(rule, "__module__", None)
    if not isinstance(name, str) or name not in sys.modules:
        raise CodeUnreadable(f"{rule!r} belongs to no module; define a strategy's rules as functions in a file")
    return _reached(name)


@lru_cache(maxsize=64)
def _reached(name: str) -> frozenset[str]:
    """The module and those of the strategies' floor it imports, whatever they import in turn."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in found or module in _FRAMEWORK:
            continue
        found.add(module)
        waiting += [one for one in _imported(_tree(module)) if one.startswith(f"{_ROOT}.")]
    return frozenset(found)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names if node.module == _ROOT)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def _tree(name: str) -> ast.Module:
    module = sys.modules.get(name)
    if not isinstance(module, ModuleType):
        raise CodeUnreadable(f"module {name} is not loaded; import the strategy before its code is read")
    try:
        return ast.parse(inspect.getsource(module))
    except (OSError, TypeError) as error:
        raise CodeUnreadable(f"the source of {name} cannot be read ({error}); keep the strategy in a file") from error


@lru_cache(maxsize=64)
def _essence(name: str) -> str:
    """The module's code as plain text, one form for each meaning."""
    tree = _Essential().visit(_tree(name))
    return ast.unparse(ast.fix_missing_locations(tree))


class _Essential(ast.NodeTransformer):
    """Takes out docstrings, and of a catalog entry everything but its rules."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "StrategyDefinition":
            node.keywords = [one for one in node.keywords if one.arg in _RULES]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        self.generic_visit(node)
        alone = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return ast.Pass() if alone else node
