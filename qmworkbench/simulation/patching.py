"""Patching for planted bugs: what was there comes back when the stack closes (§13, §19)."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from qmworkbench.trading import fold, kernel

FOLD: Final[dict[Any, Any]] = fold._APPLY
RULES: Final[dict[Any, Any]] = kernel.RULES


def replaced(stack: ExitStack, where: Any, name: str, value: Any) -> Any:
    """Replace a member until the stack closes; returns what was there. Raises KeyError where nothing was."""
    before = vars(where)[name]
    stack.callback(setattr, where, name, before)
    setattr(where, name, value)
    return before


def put(stack: ExitStack, table: dict[Any, Any], key: Any, make: Callable[[Any], Any]) -> None:
    """Replace an entry of a table by what `make` makes of it."""
    before = table[key]
    stack.callback(table.__setitem__, key, before)
    table[key] = make(before)
