"""Emergency Liquidate & Halt without the platform: needs the broker, and the fallback log if it can be had (§15).

For when the service hangs, the database is down or the feed is dead. The caller has fenced the platform. The order
of steps is the kernel's (trading/emergency.py): put it on record; cancel entries; then each symbol on its own way:
cancel its exits, wait at most five seconds, read the broker's position again, close no more than that less what
other orders on the closing side may still fill, one order at a time; look again until the broker says flat. Nothing
in here gives up because one symbol, one request or the record fails; it ends when all is flat or the caller's time
is over.
"""

import time
from collections.abc import Callable

from qmworkbench.domain import ids
from qmworkbench.ports import Broker
from qmworkbench.service.direct_executor import Executor
from qmworkbench.service.direct_record import DirectRecord
from qmworkbench.service.direct_report import DirectReport, Patience


def liquidate_direct(
    broker: Broker,
    record: DirectRecord,
    *,
    book: str,
    session_id: str,
    reason: str,
    operator: str,
    patience: Patience = Patience(),  # noqa: B008  (frozen)
    say: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> DirectReport:
    """Cancel and close everything at `broker`, and look until it is flat or the patience is over.

    `say` is told each step as it happens. Never raises on account of broker or record: what they refused is in the
    report. A lease that somebody else took ends it: two who close the same positions would close them twice.
    """
    began = record.now()
    name = ids.content_id(book, session_id, "direct", began.isoformat(), operator)
    record.began(name, operator, reason, int(patience.deadline_s))
    if record.trouble:
        say(f"this emergency cannot be recorded ({record.trouble}): it goes on, and the broker's history is the record")
    executor = Executor(broker, record, name, book, session_id, clock, say)
    start_s, overdue = clock(), False
    flat_since: float | None = None
    while True:
        flat = executor.look()
        elapsed_s = clock() - start_s
        flat_since = (elapsed_s if flat_since is None else flat_since) if flat else None
        settled = flat_since is not None and elapsed_s - flat_since >= patience.settle_s
        if settled or executor.cut_off or elapsed_s >= patience.wait_s:
            break
        if elapsed_s >= patience.deadline_s and not overdue and not flat:
            overdue = True
            record.overdue(name, int(patience.deadline_s), executor.open_symbols())
            still = f"not flat after {patience.deadline_s:g} s: {executor.open_symbols()}"
            say(f"P0: {still}. Close it at the broker by hand; trying goes on")
        sleep(min(patience.poll_s, max(0.0, patience.wait_s - elapsed_s)))
    if flat:
        record.completed(name, len(executor.ways), executor.realized_pnl())
    return DirectReport(
        emergency_id=name,
        flat=flat,
        lines=tuple(executor.ways[symbol].line for symbol in sorted(executor.ways)),
        entries_canceled=executor.entries_canceled,
        seconds=round(clock() - start_s, 3),
        recorded=not record.trouble,
        record_trouble=record.trouble,
        unread=executor.unread,
        urgent="" if flat else executor.what_is_left(),
    )
