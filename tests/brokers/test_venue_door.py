"""A venue that is away: it is tried again and again, and how long it has owed an answer can be asked meanwhile."""

import socket
from datetime import UTC, datetime

import pytest

from qmworkbench.brokers.venue_door import RemoteMarket
from qmworkbench.domain.instruments import us_equity
from qmworkbench.venue.wire.address import VenueAddress

AT = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)


class Enough(Exception):
    """Waited long enough."""


def test_what_is_owed_is_told_as_long_as_it_is_owed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    owed_s: list[float] = []

    def sleep(_seconds: float) -> None:
        owed_s.append(market.silent_s())
        if len(owed_s) == 3:
            raise Enough

    address = VenueAddress(url=f"http://127.0.0.1:{port}", key_id="k", secret="s", token="t")
    market = RemoteMarket(address, [us_equity("AAA")], sleep=sleep)
    assert market.silent_s() == 0
    with pytest.raises(Enough):
        market.open_session("s", AT)
    assert 0 < owed_s[0] < owed_s[1] < owed_s[2]
    assert market.silent_s() == 0, "nothing is asked any more"
    market.close()
