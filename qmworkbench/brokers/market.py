"""Where a replayed market is told of, whoever plays the venue (§2, §4)."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Protocol

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.venue.bars import Frame, Universe


class Market(Protocol):
    """venue.exchange.Exchange in this process, RemoteMarket before one in its own. Told twice is harmless."""

    def open_session(
        self, session_id: str, at: datetime, *, day: date | None = None, actions: Iterable[CorporateAction] = ()
    ) -> None: ...

    def on_frame(self, frame: Frame, universe: Universe) -> None: ...

    def close_session(self, as_of: datetime) -> None: ...
