"""The emergency of a running platform whose journal has failed: broker and fallback log alone (§15)."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qmworkbench.service.plan import DayPlan
    from qmworkbench.service.platform import Platform


class LastResort:
    """`liquidate` is what the Core API falls back on; `platform` is set once there is one."""

    def __init__(self, plan: "DayPlan") -> None:
        self.platform: Platform | None = None
        self._plan = plan

    async def liquidate(self, operator: str, reason: str) -> str:
        """Cancel and close everything at the broker; returns what was done, in one sentence."""
        return await asyncio.to_thread(self._liquidate, operator, reason)

    def _liquidate(self, operator: str, reason: str) -> str:
        from qmworkbench.ports import JournalFailed
        from qmworkbench.service.direct_emergency import liquidate_direct
        from qmworkbench.service.direct_record import DirectRecord
        from qmworkbench.storage.fallback import FallbackLog
        from qmworkbench.storage.journal_reader import JournalReader
        from qmworkbench.storage.refused import StorageRefused

        assert self.platform is not None, "commands come through the API of an open platform"
        paths = self._plan.paths
        try:
            with JournalReader(paths.journal) as journal:
                record = DirectRecord(FallbackLog(paths.fallback, journal.head()))
        except (JournalFailed, StorageRefused, OSError) as error:
            record = DirectRecord(None, trouble=str(error))
        done = liquidate_direct(
            self.platform.broker,
            record,
            book=self._plan.book,
            session_id=self._plan.session_id,
            reason=reason,
            operator=operator,
        )
        if done.flat:
            return f"flat after {done.seconds:.0f} s without the journal: {len(done.lines)} symbols closed"
        return done.urgent
