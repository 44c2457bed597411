"""What the broker has said, once each, under a cursor made from the facts themselves (§13).

A broker of this kind numbers nothing, so its times do: a report's cursor is when the broker says it happened, in
nanoseconds, which is the same whoever asks and in whichever life. News may come late, with a time before what was told
already. It keeps its cursor, and whoever asks for what is new gets it none the less, until it has moved on past it: a
report told twice has the same content and is dropped by its exec_id, one that is not told is lost.
"""

from bisect import bisect_right
from collections.abc import Sequence

from qmworkbench.domain.execution import ExecType, ExecutionReport


class Ledger:
    """Reports in the order in which they became known; several threads must take turns."""

    def __init__(self) -> None:
        self._places: list[int] = []
        self._log: list[ExecutionReport] = []
        self._known: dict[str, ExecutionReport] = {}
        self._fills: set[tuple[str, str]] = set()
        self.newest = 0

    def __contains__(self, exec_id: str) -> bool:
        return exec_id in self._known

    def add(self, report: ExecutionReport) -> bool:
        """Take in a report; says whether it was news. An execution is known by its id, and by what it filled up to."""
        fill = (report.order_id, str(report.cum_qty.normalize()))
        trades = report.exec_type is ExecType.TRADE
        if report.exec_id in self._known or (trades and fill in self._fills):
            return False
        self._known[report.exec_id] = report
        if trades:
            self._fills.add(fill)
        elif report.exec_type is ExecType.TRADE_CANCEL:
            # What was taken back may be filled anew, up to the same quantity.
            self._fills = {known for known in self._fills if known[0] != report.order_id}
        self._places.append(max(report.cursor, self._places[-1] + 1 if self._places else 0))
        self._log.append(report)
        self.newest = max(self.newest, report.cursor)
        return True

    def after(self, cursor: int) -> Sequence[ExecutionReport]:
        """What became known after `cursor` was all there was to know."""
        return self._log[bisect_right(self._places, cursor) :]

    @property
    def all(self) -> Sequence[ExecutionReport]:
        """Everything."""
        return self._log
