"""The fallback log on a simulated disk: torn, full, or cut off by the death of who writes it (§15, §19).

The log itself is the real one (storage/fallback.py), and so is what a restart takes over from it (service/recovery.py);
only the bytes lie here. What `write` has returned from is there after any death; of a line under way any beginning is.
"""

import errno
from typing import TYPE_CHECKING

from qmworkbench.service.recovery import to_take_over
from qmworkbench.simulation.plan import Faults
from qmworkbench.simulation.process import Crash, Process
from qmworkbench.storage.fallback_file import read_log

if TYPE_CHECKING:
    from qmworkbench.simulation.session import SimSession


class Killed(BaseException):
    """Who liquidates directly dies here. No Exception: the executor outlives those."""


class SimFile:
    """storage.fallback_file.LogFile: a disk that fails on purpose."""

    name = "the fallback log"

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._data = bytearray()

    def text(self) -> bytes:
        return bytes(self._data).partition(b"\0")[0]

    def take(self) -> None:
        """Nothing stands in the way."""

    def write(self, data: bytes, offset: int) -> None:
        faults = self.faults
        if faults.strikes("fallback_full", "log"):
            raise OSError(errno.ENOSPC, "No space left on device")
        if faults.strikes("direct_killed", "before fsync"):
            arrived = int(len(data) * faults.chance.unit("direct_killed/torn", faults.last_key()))
            self._put(data[:arrived], offset)
            raise Killed
        self._put(data, offset)
        if faults.strikes("direct_killed", "after fsync"):
            raise Killed

    def release(self, size: int) -> None:
        del self._data[size:]

    def retire(self) -> None:
        """It has been taken over, and is put aside."""
        self._data.clear()

    def _put(self, data: bytes, offset: int) -> None:
        self._data[offset : offset + len(data)] = data


def take_over(sim: "SimSession", process: Process) -> None:
    """What a direct emergency recorded goes on the journal before anything else is decided, as in the platform."""
    file = sim.fallback
    if b"\n" not in file.text() or process.state.now is None:
        return
    log = read_log(file)
    for given in to_take_over(process.journal, process.state, log, process.now):
        process.decide(given)
        if not process.works:
            return
    process.sync_at_once()
    if process.works:
        if sim.faults.strikes("crash_taking_over", "log"):
            raise Crash
        file.retire()
        sim.marks.hit.add("restart.took_over")
        if log.torn_bytes:
            sim.marks.hit.add("restart.torn_fallback")
