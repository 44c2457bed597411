"""When an order counts as absent: each of the four conditions, by itself."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events.orders import OrderQueried
from qmworkbench.domain.events.reconciliation import SessionRecovered
from qmworkbench.domain.orders import OrdStatus
from qmworkbench.trading import absence
from qmworkbench.trading.book_state import Asked
from qmworkbench.trading.fold import apply
from tests.trading.oms_cases import Desk, desk


def asked(absent: int | None = 2, *, queries: int = 2, seconds: float = 10, last_at: bool = True) -> Desk:
    """An order that was sent `seconds` ago and was not known in `absent` answers, where two are wanted."""
    built = desk(accepted=False)
    built.order.status = OrdStatus.UNKNOWN
    built.state.day.reconciliation = msgspec.structs.replace(
        built.state.day.reconciliation, queries_before_missing=queries, absence_grace_s=10
    )
    now = built.state.clock()
    built.order.last_at = now - timedelta(seconds=seconds) if last_at else None
    built.order.intended_at = now - timedelta(seconds=seconds)
    built.state.reconciliation.asked.clear()
    if absent is not None:
        built.state.reconciliation.asked[built.order.cl_ord_id] = Asked(at=now, absent=absent)
    return built


def absent(built: Desk, **changes: Any) -> bool:
    base: dict[str, Any] = {
        "at": built.state.clock(),
        "cl_ord_id": built.order.cl_ord_id,
        "complete": True,
        "cursor": built.state.heard_cursor,
        "found": None,
    }
    return absence.proven_absent(built.state, built.order, OrderQueried(**(base | changes)))


def test_all_four_together_prove_it() -> None:
    assert absent(asked())
    assert absent(asked(), cursor=asked().state.heard_cursor + 1)
    assert absent(asked(3))


def test_a_failed_query_an_order_found_or_an_old_answer_prove_nothing() -> None:
    built = asked()
    assert not absent(built, complete=False)
    assert not absent(built, found=built.as_told())
    assert not absent(built, cursor=built.state.heard_cursor - 1)


@pytest.mark.parametrize("times", [None, 0, 1])
def test_it_takes_as_many_answers_as_the_session_asks_for(times: int | None) -> None:
    assert not absent(asked(times))
    assert not absence.asked_often_enough(asked(times).state, asked(times).order.cl_ord_id)


def test_the_grace_after_the_last_sending_must_be_over() -> None:
    assert not absent(asked(seconds=9.9))
    assert absent(asked(seconds=10))
    assert not absent(asked(seconds=9.9, last_at=False)), "counted from the intent where nothing was sent since"
    built = asked(seconds=60)
    built.order.last_at = built.state.clock() - timedelta(seconds=1)
    assert not absent(built), "sent once more a second ago"


def test_what_no_answer_has_come_for_may_be_under_way_however_old_it_is() -> None:
    """A disk that takes half a minute: the order was decided long ago, and left just now."""
    built = asked(seconds=60)
    built.order.status = OrdStatus.INTENDED
    built.order.last_at = built.order.intended_at
    assert not absent(built)
    built.order.last_at = None
    assert not absent(built)


def test_what_an_earlier_life_left_may_have_been_sent_until_that_ended() -> None:
    built = asked(seconds=60)
    built.order.status = OrdStatus.INTENDED
    built.order.last_at = built.order.intended_at
    now = built.state.clock()
    apply(built.state, SessionRecovered(at=now - timedelta(seconds=9), from_seq=1, in_doubt=1))
    assert not absent(built)
    apply(built.state, SessionRecovered(at=now - timedelta(seconds=10), from_seq=1, in_doubt=1))
    assert absent(built)
    built.order.status = OrdStatus.UNKNOWN
    built.order.last_at = now - timedelta(seconds=50)
    apply(built.state, SessionRecovered(at=now, from_seq=1, in_doubt=1))
    assert absent(built), "what was given up by then had been sent before"


def test_a_clock_that_stood_still_over_a_restart_hides_nothing() -> None:
    built = asked(seconds=60)
    built.order.status = OrdStatus.INTENDED
    built.order.last_at = built.order.intended_at
    apply(built.state, SessionRecovered(at=built.order.intended_at, from_seq=1, in_doubt=1))
    assert absent(built)
