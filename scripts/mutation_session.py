"""Mutants inside functions, asked quickly: the tests are collected once, and each mutant is a fork of that moment.

A fork swaps the code of the functions that the mutant changes and runs the tests that reach its statement, the quickest
first, until one fails. What a module computes when it is imported cannot be changed so: such mutants are asked in a
process that imports everything anew (scripts/mutants.py).
"""

import ast
import gc
import mmap
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from mutation_operators import Mutant

_WALL_S = 900
_MEMORY = 6 << 30
_LATELY = 8
_NOT_PLANTED = 77
UNPLANTED = (
    "unplanted"  # no living function has that code: it has to be asked in a process that imports everything anew
)


class Planting:
    """A pytest plugin that takes the place of its loop: the tests once as they are, then once for each mutant.

    `told` hears each mutant with its outcome, killed, survived or unplanted, and says whether to go on.
    """

    def __init__(self, module: str, todo: Sequence[Mutant], told: Callable[[Mutant, str], bool]) -> None:
        self._module, self._todo, self._told = module, todo, told
        self._lines: dict[int, list[int]] = {}
        self._cost: dict[int, float] = {}
        self._killers: list[
            int
        ] = []  # the tests that killed lately, the newest first: neighbours fall to the same ones
        self._which = mmap.mmap(-1, 8)  # where a fork says which test it was
        self._failed = False
        self.sound = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notice a failure."""
        self._failed |= report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """The run."""
        path = sys.modules[self._module].__file__ if self._module in sys.modules else None
        if path is None:
            raise pytest.UsageError(f"no test imports {self._module}")
        if session.testsfailed:
            return True
        began = time.process_time()
        for at, item in enumerate(session.items):
            self._traced(path, at, item)
            if self._failed:
                return True
        self.sound = True
        limit_s = 5 + 8 * (time.process_time() - began)
        functions = functions_of(path)
        gc.freeze()
        for mutant in self._todo:
            reached = [(at, session.items[at]) for at in self._in_order(mutant.statement)]
            outcome = self._asked(lambda tree=mutant.tree: swap(functions, path, tree), reached, limit_s)
            if not self._told(mutant, outcome):
                break
        return True

    def _traced(self, path: str, at: int, item: pytest.Item) -> None:
        """Run one test as it is, and remember which lines of the module it reached."""

        def local(frame: FrameType, event: str, argument: Any) -> Any:
            if event == "line":
                reached.add(frame.f_lineno)
            return local

        def enter(frame: FrameType, event: str, argument: Any) -> Any:
            if frame.f_code.co_filename != path:
                return None
            reached.update(line for _, _, line in frame.f_code.co_lines() if line == frame.f_code.co_firstlineno)
            return local

        reached: set[int] = set()
        began = time.process_time()
        sys.settrace(enter)
        try:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        finally:
            sys.settrace(None)
        self._cost[at] = time.process_time() - began
        for line in reached:
            self._lines.setdefault(line, []).append(at)

    def _in_order(self, lines: range) -> list[int]:
        """The tests that reach any of the lines: first those that killed lately, then the quickest."""
        lately = {at: place for place, at in enumerate(self._killers)}
        reached = {at for line_no in lines for at in self._lines.get(line_no, ())}
        return sorted(reached, key=lambda at: (lately.get(at, len(lately)), self._cost[at], at))

    def _asked(self, plant: Callable[[], int], items: Sequence[tuple[int, pytest.Item]], limit_s: float) -> str:
        if not items:
            return "survived"
        child = os.fork()
        if child == 0:
            signal.alarm(_WALL_S)
            resource.setrlimit(resource.RLIMIT_CPU, (round(limit_s) + 1, round(limit_s) + 1))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            try:
                if not plant():
                    os._exit(_NOT_PLANTED)
                for at, item in items:
                    item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
                    if self._failed:
                        self._which[:] = at.to_bytes(8, "little")
                        os._exit(1)
                os._exit(0)
            except BaseException:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return "survived"
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _NOT_PLANTED:
            return UNPLANTED
        if (at := int.from_bytes(self._which[:], "little")) in (known for known, _ in items):
            self._killers = [at, *(other for other in self._killers if other != at)][:_LATELY]
        return "killed"


def swap(functions: Sequence[FunctionType], path: str, tree: ast.Module) -> int:
    """Give every function of the module the code that `tree` has for it; says how many changed."""
    new: dict[tuple[str, int], CodeType] = {}
    _collect(compile(tree, path, "exec"), new)
    changed = 0
    for function in functions:
        code = new.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        if code is not None and code != function.__code__:
            function.__code__ = code
            changed += 1
    return changed


def functions_of(path: str) -> list[FunctionType]:
    """Every living function that was made from this file, of those the collector was told to pass over too."""
    gc.unfreeze()
    found = [one for one in gc.get_objects() if isinstance(one, FunctionType)]
    return [function for function in found if function.__code__.co_filename == path]


def _collect(code: CodeType, found: dict[tuple[str, int], CodeType]) -> None:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found[inner.co_qualname, inner.co_firstlineno] = inner
            _collect(inner, found)
