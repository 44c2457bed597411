"""Who computes the chunks of a sweep: this process's threads or a cluster, to the same results bit for bit (§2)."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol

import polars as pl

from qmworkbench.research.sweeps.grid import Combinations
from qmworkbench.research.sweeps.sweep_engine import Engine, Table
from qmworkbench.research.sweeps.sweep_tables import added_up, table_of

Part = tuple[pl.DataFrame, Table]
"""A chunk's rows and, a row for each combination, the equity of all symbols together."""


class Runner(Protocol):
    """Computes chunks in order, as a context."""

    @property
    def engine(self) -> str:
        """What computes, for the manifest."""

    def map(self, parts: Iterable[Combinations], *, ahead: bool) -> Iterator[Part]:
        """The results of chunks in the order they were given. Only where `ahead` is true may a chunk be asked for
        before the result of the one before is out."""

    def __enter__(self) -> "Runner": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def part_of(engine: Engine, combinations: Combinations) -> Part:
    """One chunk's results."""
    blocks = engine.run(combinations)
    rows = table_of(combinations, blocks, engine.bars, engine.setting, engine.definition)
    return rows, added_up(blocks, engine.bars, engine.setting)


class LocalRunner:
    """This process: one chunk after the other, each on all threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> str:
        """What computes, for the manifest."""
        return self._engine.engine

    def map(self, parts: Iterable[Combinations], *, ahead: bool) -> Iterator[Part]:
        """The results of chunks in order, each computed when it is asked for."""
        return (part_of(self._engine, part) for part in parts)

    def __enter__(self) -> "LocalRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.__exit__()
