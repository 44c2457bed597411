"""The order table: every arc that is legal leads somewhere, every other one raises and changes nothing (§13)."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.orders import TABLE, TERMINAL, Arc, IllegalArc, OrdStatus, next_status

TEN = Decimal(10)


def walk(status: OrdStatus, *arcs: Arc, cum: int = 0) -> OrdStatus:
    for arc in arcs:
        status = next_status(status, arc, order_qty=TEN, cum_qty=Decimal(cum))
    return status


def test_the_table_covers_every_status() -> None:
    assert set(TABLE) == set(OrdStatus)


@pytest.mark.parametrize("status", OrdStatus)
@pytest.mark.parametrize("arc", Arc)
@pytest.mark.parametrize("cum", [0, 4, 10])
def test_an_arc_is_legal_or_raises(status: OrdStatus, arc: Arc, cum: int) -> None:
    if arc in TABLE[status]:
        assert isinstance(next_status(status, arc, order_qty=TEN, cum_qty=Decimal(cum)), OrdStatus)
    else:
        with pytest.raises(IllegalArc, match=f"{status} cannot {arc}"):
            next_status(status, arc, order_qty=TEN, cum_qty=Decimal(cum))


def test_the_usual_life() -> None:
    assert walk(OrdStatus.INTENDED, Arc.SUBMIT, Arc.ACK) is OrdStatus.ACCEPTED
    assert walk(OrdStatus.ACCEPTED, Arc.FILL, cum=4) is OrdStatus.PARTIALLY_FILLED
    assert walk(OrdStatus.PARTIALLY_FILLED, Arc.FILL, cum=10) is OrdStatus.FILLED


@pytest.mark.parametrize("status", [OrdStatus.INTENDED, OrdStatus.SUBMITTED, OrdStatus.UNKNOWN])
def test_a_fill_may_come_before_the_acknowledgement(status: OrdStatus) -> None:
    assert walk(status, Arc.FILL, cum=10) is OrdStatus.FILLED
    assert walk(status, Arc.FILL, cum=3) is OrdStatus.PARTIALLY_FILLED


def test_a_fill_after_the_cancel_still_counts() -> None:
    assert walk(OrdStatus.CANCELED, Arc.FILL, cum=4) is OrdStatus.CANCELED
    assert walk(OrdStatus.CANCELED, Arc.FILL, cum=10) is OrdStatus.FILLED
    assert walk(OrdStatus.EXPIRED, Arc.FILL, cum=4) is OrdStatus.EXPIRED


def test_a_cancel_that_fails_leaves_the_order_working() -> None:
    assert walk(OrdStatus.PENDING_CANCEL, Arc.CANCEL_REJECT) is OrdStatus.ACCEPTED
    assert walk(OrdStatus.PENDING_CANCEL, Arc.CANCEL_REJECT, cum=4) is OrdStatus.PARTIALLY_FILLED


def test_silence_is_unknown_and_never_rejected() -> None:
    assert walk(OrdStatus.SUBMITTED, Arc.LOSE) is OrdStatus.UNKNOWN
    assert walk(OrdStatus.UNKNOWN, Arc.ACK) is OrdStatus.ACCEPTED
    assert walk(OrdStatus.UNKNOWN, Arc.ABANDON) is OrdStatus.CANCELED


@pytest.mark.parametrize("status", [OrdStatus.ACCEPTED, OrdStatus.PARTIALLY_FILLED, OrdStatus.PENDING_CANCEL])
def test_what_the_broker_confirmed_is_never_absent(status: OrdStatus) -> None:
    with pytest.raises(IllegalArc):
        walk(status, Arc.ABANDON)


@pytest.mark.parametrize("status", [OrdStatus.SUBMITTED, OrdStatus.ACCEPTED, OrdStatus.FILLED, OrdStatus.DENIED])
def test_nothing_is_submitted_twice(status: OrdStatus) -> None:
    with pytest.raises(IllegalArc):
        walk(status, Arc.SUBMIT)


@pytest.mark.parametrize("arc", Arc)
def test_a_refusal_of_ours_is_final(arc: Arc) -> None:
    with pytest.raises(IllegalArc):
        walk(OrdStatus.DENIED, arc)


@given(st.lists(st.sampled_from(Arc), max_size=30), st.integers(0, 10))
def test_an_ended_order_never_works_again(arcs: list[Arc], cum: int) -> None:
    status = OrdStatus.INTENDED
    ended = False
    for arc in arcs:
        try:
            status = next_status(status, arc, order_qty=TEN, cum_qty=Decimal(cum))
        except IllegalArc:
            continue
        assert not ended or status in TERMINAL
        ended = ended or status in TERMINAL
