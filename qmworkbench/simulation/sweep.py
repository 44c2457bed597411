"""Many seeds: run, counted, and what failed made small (§13, §19)."""

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import msgspec

from qmworkbench.simulation.marks import known
from qmworkbench.simulation.plan import Plan, drawn
from qmworkbench.simulation.session import Outcome, run
from qmworkbench.simulation.shrink import shrink

_BATCH: Final = 25


class Swept(msgspec.Struct, kw_only=True):
    """What many sessions came to."""

    seeds: int = 0
    orders: int = 0
    records: int = 0
    crashes: int = 0
    seconds: float = 0.0
    failed: list[Outcome] = []
    marks: dict[str, int] = {}

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.orders += outcome.orders
        self.records += outcome.records
        self.crashes += outcome.crashes
        for mark in outcome.marks:
            self.marks[mark] = self.marks.get(mark, 0) + 1
        if outcome.violation is not None:
            self.failed.append(outcome)

    @property
    def sessions_per_s(self) -> float:
        return self.seeds / self.seconds if self.seconds else 0.0

    def unhit(self) -> list[str]:
        """Marks that this run has never seen."""
        return sorted(known() - self.marks.keys())


def _some(seeds: tuple[int, ...], orders: int) -> list[Outcome]:
    """A batch of seeds. What a session leaves behind is collected between batches, not in the middle of one."""
    gc.disable()
    try:
        return [run(drawn(seed, orders=orders)) for seed in seeds]
    finally:
        gc.enable()
        gc.collect()


def sweep(
    seeds: Iterable[int],
    *,
    orders: int = 30,
    workers: int | None = None,
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> Swept:
    """Run every seed; outcomes are told in the order of the seeds, whatever the number of processes."""
    swept = Swept()
    began = time.perf_counter()
    for outcome in _outcomes(list(seeds), orders, workers or os.cpu_count() or 1):
        swept.add(outcome)
        told(outcome)
    swept.seconds = time.perf_counter() - began
    return swept


def _outcomes(seeds: list[int], orders: int, workers: int) -> Iterator[Outcome]:
    pieces = [tuple(seeds[i : i + _BATCH]) for i in range(0, len(seeds), _BATCH)]
    if workers == 1 or len(pieces) == 1:
        for piece in pieces:
            yield from _some(piece, orders)
        return
    with ProcessPoolExecutor(workers) as pool:
        for outcomes in pool.map(_some, pieces, [orders] * len(pieces)):
            yield from outcomes


def smallest(seed: int, *, orders: int = 30, under: AbstractContextManager[None] | None = None) -> tuple[Plan, Outcome]:
    """The smallest plan of a failing seed, and its outcome; `under` is a planted bug to run it with."""
    with under if under is not None else nullcontext():
        plan = drawn(seed, orders=orders)
        return shrink(plan, run(plan), run)
