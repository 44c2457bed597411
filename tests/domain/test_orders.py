"""The order table: every arc that is legal leads somewhere, every other one raises and changes nothing (§13)."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.orders import TABLE, TERMINAL, Arc, IllegalArc, OrderStyle, OrdStatus, Side, next_status
from tests.domain.order_cases import an_order

TEN = Decimal(10)

# Every status down, every arc across, by the first letters of where it leads with nothing filled: w is ACCEPTED here
# and PARTIALLY_FILLED with something filled, a dot is illegal. Written by hand from the prose, not from the table.
ARCS = "submit lose ack fill cancel_request cancel cancel_reject replace_request replace replace_reject"
ARCS += " restate reject expire abandon bust withhold"
GRID = """
intended          SUB UNK w   w   INT CAN .   .   .   .   w   REJ EXP CAN .   CAN
submitted         .   UNK w   w   PCA CAN .   .   .   .   w   REJ EXP CAN .   .
unknown           .   UNK w   w   UNK CAN UNK .   w   w   w   REJ EXP CAN UNK .
accepted          .   .   w   w   PCA CAN w   PRE w   w   w   REJ EXP .   w   .
partially_filled  .   .   w   w   PCA CAN w   PRE w   w   w   REJ EXP .   w   .
pending_cancel    .   UNK PCA PCA PCA CAN w   .   PCA PCA PCA REJ EXP .   PCA .
pending_replace   .   UNK PRE PRE PCA CAN PRE .   w   w   PRE REJ EXP .   PRE .
filled            .   .   FIL FIL .   .   FIL .   FIL FIL FIL .   .   .   FIL .
canceled          .   .   CAN CAN .   CAN CAN .   CAN CAN CAN .   CAN .   CAN .
rejected          .   .   .   .   .   .   REJ .   .   .   .   REJ .   .   .   .
expired           .   .   EXP EXP .   EXP EXP .   EXP EXP EXP .   EXP .   EXP .
denied            .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .
"""
SHORT = {
    "SUB": OrdStatus.SUBMITTED,
    "UNK": OrdStatus.UNKNOWN,
    "INT": OrdStatus.INTENDED,
    "PCA": OrdStatus.PENDING_CANCEL,
    "PRE": OrdStatus.PENDING_REPLACE,
    "FIL": OrdStatus.FILLED,
    "CAN": OrdStatus.CANCELED,
    "REJ": OrdStatus.REJECTED,
    "EXP": OrdStatus.EXPIRED,
}
CELLS = [
    (OrdStatus(line.split()[0]), Arc(arc), cell)
    for line in GRID.split("\n")
    if line
    for arc, cell in zip(ARCS.split(), line.split()[1:], strict=True)
]


def walk(status: OrdStatus, *arcs: Arc, cum: int = 0) -> OrdStatus:
    for arc in arcs:
        status = next_status(status, arc, order_qty=TEN, cum_qty=Decimal(cum))
    return status


def test_the_table_covers_every_status() -> None:
    assert set(TABLE) == set(OrdStatus)


def test_the_grid_has_a_cell_for_every_status_and_arc() -> None:
    assert {(status, arc) for status, arc, _ in CELLS} == {(status, arc) for status in OrdStatus for arc in Arc}
    assert len(CELLS) == len(OrdStatus) * len(Arc)


@pytest.mark.parametrize(("status", "arc", "cell"), CELLS)
def test_every_arc_leads_where_the_grid_says_or_raises(status: OrdStatus, arc: Arc, cell: str) -> None:
    for cum, works in ((0, OrdStatus.ACCEPTED), (4, OrdStatus.PARTIALLY_FILLED)):
        if cell == ".":
            with pytest.raises(IllegalArc, match=f"{status} cannot {arc}"):
                next_status(status, arc, order_qty=TEN, cum_qty=Decimal(cum))
        else:
            led = next_status(status, arc, order_qty=TEN, cum_qty=Decimal(cum))
            assert led is (works if cell == "w" else SHORT[cell])


@pytest.mark.parametrize("status", sorted(set(OrdStatus) - TERMINAL))
@pytest.mark.parametrize("arc", [Arc.FILL, Arc.ACK, Arc.REPLACE, Arc.RESTATE])
def test_an_open_order_of_which_nothing_is_left_is_filled(status: OrdStatus, arc: Arc) -> None:
    if arc in TABLE[status]:
        assert next_status(status, arc, order_qty=TEN, cum_qty=TEN) is OrdStatus.FILLED


@pytest.mark.parametrize("status", sorted(TERMINAL))
@pytest.mark.parametrize("arc", Arc)
def test_no_arc_leads_from_an_end_back_to_an_open_order(status: OrdStatus, arc: Arc) -> None:
    for cum in (0, 4, 10):
        if arc in TABLE[status]:
            assert next_status(status, arc, order_qty=TEN, cum_qty=Decimal(cum)) in TERMINAL


def test_a_replace_that_is_confirmed_refused_or_lost() -> None:
    pending = walk(OrdStatus.ACCEPTED, Arc.REPLACE_REQUEST)
    assert pending is OrdStatus.PENDING_REPLACE
    assert walk(pending, Arc.REPLACE, cum=4) is OrdStatus.PARTIALLY_FILLED
    assert walk(pending, Arc.REPLACE_REJECT) is OrdStatus.ACCEPTED
    assert walk(pending, Arc.LOSE) is OrdStatus.UNKNOWN, "it may be either"
    assert walk(pending, Arc.LOSE, Arc.REPLACE) is OrdStatus.ACCEPTED
    assert walk(pending, Arc.LOSE, Arc.REPLACE_REJECT) is OrdStatus.ACCEPTED
    assert walk(pending, Arc.ACK) is OrdStatus.PENDING_REPLACE, "an acknowledgement that came late is no answer"


def test_a_cancel_matters_more_than_a_replace() -> None:
    both = walk(OrdStatus.ACCEPTED, Arc.REPLACE_REQUEST, Arc.CANCEL_REQUEST)
    assert both is OrdStatus.PENDING_CANCEL
    assert walk(both, Arc.REPLACE) is OrdStatus.PENDING_CANCEL
    with pytest.raises(IllegalArc):
        walk(both, Arc.REPLACE_REQUEST)


def test_late_news_of_an_ended_order_is_legal_and_reopens_nothing() -> None:
    assert walk(OrdStatus.FILLED, Arc.CANCEL_REJECT) is OrdStatus.FILLED, "the cancel came too late"
    assert walk(OrdStatus.FILLED, Arc.ACK) is OrdStatus.FILLED
    assert walk(OrdStatus.CANCELED, Arc.REPLACE) is OrdStatus.CANCELED
    assert walk(OrdStatus.EXPIRED, Arc.CANCEL) is OrdStatus.EXPIRED, "one end, told in two words"


@given(st.integers(0, 10), st.integers(1, 20), st.sampled_from(OrdStatus))
def test_what_could_still_fill_counts_the_larger_quantity_while_a_replace_is_unanswered(
    cum: int, asked: int, status: OrdStatus
) -> None:
    order = an_order(status=status, order_qty=TEN, cum_qty=Decimal(cum), replacing_qty=Decimal(asked))
    assert order.leaves_qty == (Decimal(max(10, asked) - cum) if status not in TERMINAL else 0)
    order.replacing = None
    assert order.leaves_qty == (TEN - cum if status not in TERMINAL else 0)


def test_the_broker_has_an_order_under_its_newest_id() -> None:
    order = an_order()
    assert order.broker_id == order.cl_ord_id
    order.working_id = "second"
    assert order.broker_id == "second"


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


def test_the_other_side() -> None:
    assert (Side.BUY.opposite, Side.SELL.opposite) == (Side.SELL, Side.BUY)


@pytest.mark.parametrize("arc", [Arc.CANCEL_REQUEST, Arc.REPLACE_REQUEST, Arc.CANCEL_REJECT])
def test_only_arcs_that_fill_or_take_away_may_leave_nothing(arc: Arc) -> None:
    """An order of which nothing is left has filled; what merely asks does not say so."""
    status = OrdStatus.PENDING_CANCEL if arc is Arc.CANCEL_REJECT else OrdStatus.ACCEPTED
    assert next_status(status, arc, order_qty=TEN, cum_qty=TEN) is not OrdStatus.FILLED


@pytest.mark.parametrize("status", [OrdStatus.CANCELED, OrdStatus.EXPIRED])
def test_what_ended_is_filled_by_a_fill_alone(status: OrdStatus) -> None:
    for arc in (Arc.ACK, Arc.REPLACE, Arc.RESTATE):
        assert next_status(status, arc, order_qty=TEN, cum_qty=TEN) is status
    assert next_status(status, Arc.FILL, order_qty=TEN, cum_qty=TEN) is OrdStatus.FILLED


def test_an_order_begins_without_a_history() -> None:
    order, style = an_order(), OrderStyle()
    assert (order.attempt, order.cancels, order.cancel_failed) == (1, 0, False)
    assert (style.entry_offset_bps, style.exit_offset_bps) == (0, 0)
