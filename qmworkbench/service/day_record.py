"""One line for each closed session of a book: what it came to, kept beside it (§16 session summaries)."""

from collections.abc import Collection
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.domain.events.session import SessionClosed, SessionOpened, SessionSummarized
from qmworkbench.domain.numbers import ZERO
from qmworkbench.service.config import Config
from qmworkbench.service.result import DayResult
from qmworkbench.storage.atomic import write_whole
from qmworkbench.storage.stores import begun, open_reader

_FILE: Final = "day.json"


class DayLine(msgspec.Struct, frozen=True, kw_only=True):
    """A closed session in a period. Money in account currency, fields as in DayResult.

    `verdicts` by checklist and, where they were made, by report. `ran_before`: it was closed by an earlier process.
    Equity is None in books whose session was closed before lines were kept.
    """

    date: str
    session: str
    bars: int
    trades: int
    orders: int
    fills: int
    net_pnl: Decimal
    equity_start: Decimal | None
    equity_end: Decimal | None
    equity_high: Decimal | None
    equity_low: Decimal | None
    drawdown: Decimal
    breaks: int
    verdicts: dict[str, str]
    decision_head: str
    recovered: bool
    session_s: float
    wall_s: float
    ran_before: bool = False

    def with_verdicts(self, more: dict[str, str]) -> "DayLine":
        """The line with the verdicts of reports that were made of the session."""
        return msgspec.structs.replace(self, verdicts=self.verdicts | more)


def line_of(result: DayResult, date: str) -> DayLine:
    """A day's result as a line of a period."""
    told = {name: getattr(result, name) for name in result.__struct_fields__}
    return DayLine(date=date, **told | {"verdicts": {name: said.value for name, said in result.verdicts.items()}})


def keep_line(session_root: Path, line: DayLine) -> None:
    """Keep a session's line beside it, in the place of an earlier one."""
    write_whole(session_root / _FILE, msgspec.json.format(msgspec.json.encode(line)) + b"\n")


def closed_days(config: Config, session_ids: Collection[str]) -> list[DayLine]:
    """The lines of those sessions of the book that are closed, in order of closing. Raises StorageRefused."""
    paths = config.paths
    if not begun(paths):
        return []
    found: list[DayLine] = []
    with open_reader(paths) as journal:
        opened: SessionOpened | None = None
        summary: SessionSummarized | None = None
        for seq, event in journal.session_events():
            match event:
                case SessionOpened():
                    opened = event
                case SessionSummarized():
                    summary = event
                case SessionClosed() if opened is not None and summary is not None and event.session_id in session_ids:
                    told = _kept(paths.session(event.session_id).root / _FILE)
                    told = told or _from_record(opened, summary, journal.hash_at(seq) or "")
                    found.append(msgspec.structs.replace(told, ran_before=True))
                case _:
                    pass
    return found


def _kept(path: Path) -> DayLine | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=DayLine)
    except (OSError, msgspec.DecodeError):
        return None  # closed by a process that died at that moment, or edited: the journal has the figures


def _from_record(opened: SessionOpened, summary: SessionSummarized, head: str) -> DayLine:
    return DayLine(
        date=opened.window.date,
        session=opened.session_id,
        bars=0,
        trades=summary.trades,
        orders=summary.orders,
        fills=summary.fills,
        net_pnl=summary.net_pnl,
        equity_start=None,
        equity_end=None,
        equity_high=None,
        equity_low=None,
        drawdown=ZERO,
        breaks=summary.breaks,
        verdicts={},
        decision_head=head,
        recovered=summary.recovered,
        session_s=0.0,
        wall_s=0.0,
    )
