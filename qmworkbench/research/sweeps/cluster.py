"""A sweep on a dask cluster: workers hold the bars and the compiled kernel, and are handed chunks (§2).

`distributed` is an extra of this package. Each worker makes one engine for a sweep when the first chunk reaches it and
keeps it: bars travel once, the kernel is compiled once. A worker that dies loses its chunk, which goes to another.
"""

import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any, Final

from qmworkbench.research.sweeps.grid import Combinations
from qmworkbench.research.sweeps.sweep_bars import SweepBars
from qmworkbench.research.sweeps.sweep_engine import Engine, Setting
from qmworkbench.research.sweeps.sweep_identity import code_hash
from qmworkbench.research.sweeps.sweep_runner import Part, part_of
from qmworkbench.strategies.definition import StrategyDefinition

_PATIENCE_S: Final = 20.0
_AHEAD: Final = 3
_engines: dict[str, Engine] = {}
_one_at_a_time = Lock()


class ClusterRefused(Exception):
    """The cluster cannot be used. The message says what is wrong, `remedy` what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def work(name: str, made: tuple[StrategyDefinition, SweepBars, Setting, int], combinations: Combinations) -> Part:
    """On a worker: one chunk, on the engine kept under `name`, which is made where there is none."""
    with _one_at_a_time:
        if name not in _engines:
            for old in list(_engines):
                _engines.pop(old).__exit__()
            definition, bars, setting, threads = made
            _engines[name] = Engine(definition, bars, setting, threads=threads)
        return part_of(_engines[name], combinations)


def code_here() -> str:
    """The code a worker computes with."""
    return code_hash()


class ClusterRunner:
    """Chunks to the workers of the scheduler at `address`. Raises ClusterRefused."""

    def __init__(self, address: str, definition: StrategyDefinition, bars: SweepBars, setting: Setting) -> None:
        try:
            import distributed
        except ImportError:
            raise ClusterRefused(
                "a cluster needs the package distributed, which is not installed",
                "install the extra: pip install qmworkbench[cluster]",
            ) from None
        try:
            dask: Any = distributed
            self._client = dask.Client(address, timeout=_PATIENCE_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterRefused(
                f"no dask scheduler answers at {address}: {type(error).__name__}: {error}",
                "start one with `dask scheduler`, and workers with `dask worker ADDRESS`",
            ) from error
        try:
            self._workers, self._threads = self._checked(address)
            made = (definition, bars, setting, self._threads)
            self._made = self._client.scatter(made, broadcast=True, hash=False)
        except BaseException:
            self._client.close()
            raise
        self._name = uuid.uuid4().hex
        self.engine = f"kernel, on {self._workers} dask workers"

    def _checked(self, address: str) -> tuple[int, int]:
        """How many workers there are, and the threads each has; all must have our code."""
        threads: dict[str, int] = self._client.nthreads()
        if not threads:
            raise ClusterRefused(f"the scheduler at {address} has no workers", "start some: `dask worker ADDRESS`")
        mine = code_hash()
        try:
            other = [name for name, code in self._client.run(code_here).items() if code != mine]
        except Exception as error:
            raise ClusterRefused(
                f"a worker cannot import this package: {error}", "install the same version on every worker"
            ) from error
        if other:
            raise ClusterRefused(
                f"{len(other)} workers have other code than this process, first {other[0]}",
                "install the same version everywhere and restart the workers",
            )
        return len(threads), max(threads.values())

    def map(self, parts: Iterable[Combinations], *, ahead: bool) -> Iterator[Part]:
        """The results of chunks in order; some are on their way while one is waited for."""
        depth = self._workers * _AHEAD if ahead else 1
        waiting: deque[Any] = deque()
        try:
            for part in parts:
                waiting.append(self._client.submit(work, self._name, self._made, part, pure=False))
                if len(waiting) >= depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def __enter__(self) -> "ClusterRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
