"""Each rule of a replace at both sides of its edges: what may be asked, and what each answer comes to (§13)."""

from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import AlertCleared, AlertRaised
from qmworkbench.domain.events.orders import (
    OrderChanged,
    OrderQueryRequested,
    ReplaceObserved,
    ReplaceRequested,
    ReportQuarantined,
    RiskDecided,
)
from qmworkbench.domain.execution import ExecType, SubmitOutcome
from qmworkbench.domain.ids import cl_ord_id
from qmworkbench.domain.orders import Arc, Leg, Order, OrdStatus, OrdType, Replacement, Side
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading import replacing
from qmworkbench.trading.decision import Decision
from tests.trading.oms_cases import D, Desk, desk, held, legs


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def ask(built: Desk, order: Order | None = None, **wanted: Any) -> tuple[str, list[Event]]:
    decision = Decision(built.state, built.world.at())
    terms = {"order_qty": None, "limit_px": None, "stop_px": None, "reason": "r"} | wanted
    return replacing.request_replace(decision, order or built.order, **terms), decision.events


def why_not(built: Desk, order: Order | None = None, **wanted: Any) -> str:
    refusal, events = ask(built, order, **wanted)
    assert bool(events) is not bool(refusal), "nothing is on record of what is refused"
    return refusal


def leg(built: Desk, which: Leg) -> Order:
    return next(order for order in legs(built) if order.leg is which)


def stop_of(side: Side, px: str = "17", **changes: Any) -> tuple[Desk, Order]:
    """A resting stop at `px` that sells what is long, or buys what is short; the market is at 20."""
    built = held()
    order = leg(built, Leg.STOP)
    order.side, order.stop_px = side, D(px)
    for name, value in changes.items():
        setattr(order, name, value)
    built.state.marks["AAA"] = msgspec.structs.replace(built.state.marks["AAA"], px=D(20))
    return built, order


# --- what may be asked ---------------------------------------------------------------------------------------------


def test_what_is_as_it_was_is_no_change_whichever_price_the_order_has() -> None:
    built = held()
    target, stop = leg(built, Leg.TARGET), leg(built, Leg.STOP)
    assert target.limit_px is not None
    assert stop.stop_px is not None
    for order, wanted in (
        (target, {}),
        (stop, {}),
        (target, {"limit_px": target.limit_px}),
        (stop, {"stop_px": stop.stop_px}),
    ):
        assert why_not(built, order, **wanted).startswith("nothing is to change")


def test_what_goes_out_was_judged_and_names_its_turn() -> None:
    built = desk()
    order = built.order

    def name(attempt: int) -> str:
        return cl_ord_id(
            book=built.state.book,
            session=built.state.day.session_id,
            strategy_id=order.strategy_id,
            symbol=order.symbol,
            signal_id=f"{order.cl_ord_id}/replace",
            leg=order.leg,
            attempt=attempt,
        )

    _, events = ask(built, order_qty=D(60))
    (judged,), (wanted,) = of(events, RiskDecided), of(events, ReplaceRequested)
    assert [(rule.code, rule.passed) for rule in judged.rules] == [("replace_lowers_risk", True)]
    assert judged.cl_ord_id == wanted.request.cl_ord_id == name(1)
    refused(built)
    _, events = ask(built, order_qty=D(60))
    assert of(events, ReplaceRequested)[0].request.cl_ord_id == name(2)


def refused(built: Desk) -> None:
    """The broker does not do it."""
    asked = built.order.replacing
    assert asked is not None
    observed(built, SubmitOutcome.REFUSED)


def test_an_instrument_that_is_not_of_this_session_has_no_grid_to_judge_by() -> None:
    built = desk()
    del built.state.day.instruments["AAA"]
    assert "not an instrument of this session" in why_not(built, order_qty=D(60))


@pytest.mark.parametrize(("qty", "may"), [(39, False), (40, False), (41, True)])
def test_an_entry_becomes_no_smaller_than_what_has_filled(qty: int, may: bool) -> None:
    built = desk()
    built.fill(40)
    assert ("40 have filled already" in why_not(built, order_qty=D(qty))) is not may


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ord_type": OrdType.LIMIT}, "without a fixed stop"),
        ({"stop_px": None}, "without a fixed stop"),
        ({"leg": Leg.ENTRY}, "the price of an entry stays"),
        ({"trail_bps": 50}, "follows the market by itself"),
        ({}, ""),
    ],
    ids=str,
)
def test_only_the_fixed_stop_of_an_exit_moves(changes: dict[str, Any], said: str) -> None:
    built, order = stop_of(Side.SELL, **changes)
    assert said in why_not(built, order, stop_px=D(18))
    assert bool(order.replacing) is not bool(said)


@pytest.mark.parametrize(
    ("side", "px", "said"),
    [
        (Side.SELL, "16.99", "looser than 17"),
        (Side.SELL, "17", "nothing is to change"),
        (Side.SELL, "17.01", ""),
        (Side.SELL, "19.99", ""),
        (Side.SELL, "20", "would trigger at once"),
        (Side.SELL, "20.01", "would trigger at once"),
        (Side.BUY, "23.01", "looser than 23"),
        (Side.BUY, "23", "nothing is to change"),
        (Side.BUY, "22.99", ""),
        (Side.BUY, "20.01", ""),
        (Side.BUY, "20", "would trigger at once"),
        (Side.BUY, "19.99", "would trigger at once"),
    ],
)
def test_a_stop_goes_towards_the_market_and_never_up_to_it(side: Side, px: str, said: str) -> None:
    built, order = stop_of(side, "17" if side is Side.SELL else "23")
    answer = why_not(built, order, stop_px=D(px))
    assert said in answer
    assert bool(answer) is bool(said)


@pytest.mark.parametrize("side", [Side.SELL, Side.BUY])
def test_without_a_price_of_today_a_stop_is_held_against_its_own_level_alone(side: Side) -> None:
    built, order = stop_of(side)
    built.state.marks.clear()
    assert why_not(built, order, stop_px=D(18) if side is Side.SELL else D(16)) == ""


def test_nothing_is_no_price() -> None:
    built = held()
    assert "0 is not a price" in why_not(built, leg(built, Leg.TARGET), limit_px=D(0))


# --- how sending it ended --------------------------------------------------------------------------------------------


def asked_for(qty: int = 60) -> Desk:
    """An entry of 100 that is asked to go on as `qty`."""
    built = desk()
    assert ask(built, order_qty=D(qty))[0] == ""
    built.state.alerts.clear()
    return built


def observed(built: Desk, outcome: SubmitOutcome, **changes: Any) -> list[Event]:
    asked = built.order.replacing
    base: dict[str, Any] = {
        "order": built.order.cl_ord_id,
        "cl_ord_id": asked.cl_ord_id if asked is not None else "gone",
        "outcome": outcome,
        "detail": "why",
    }
    decision = Decision(built.state, built.world.at())
    replacing.on_replace_observed(decision, ReplaceObserved(at=decision.at, **(base | changes)))
    return decision.events


def alarms(events: list[Event]) -> list[tuple[str, str, Priority]]:
    return [(e.alert.kind, e.alert.key, e.alert.priority) for e in of(events, AlertRaised)]


def unanswered(built: Desk) -> None:
    """It is known that no answer came."""
    Decision(built.state, built.world.at()).alarm("replace_unanswered", built.order.cl_ord_id, Priority.P1, "", "")


def test_one_that_was_sent_is_on_record_and_waits() -> None:
    built = asked_for()
    assert [type(event) for event in observed(built, SubmitOutcome.SENT)] == [ReplaceObserved]
    assert built.order.status is OrdStatus.PENDING_REPLACE


def test_a_refusal_leaves_the_order_as_it_was_and_is_told() -> None:
    built = asked_for()
    unanswered(built)
    events = observed(built, SubmitOutcome.REFUSED)
    assert alarms(events) == [("replace_refused", built.order.cl_ord_id, Priority.P2)]
    assert len(of(events, AlertCleared)) == 1, "what came of it is known"
    assert built.order.status is OrdStatus.ACCEPTED


@pytest.mark.parametrize(
    ("status", "after"),
    [
        (OrdStatus.PENDING_REPLACE, OrdStatus.UNKNOWN),
        (OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_CANCEL),
    ],
)
@pytest.mark.parametrize("connected", [True, False])
def test_a_lost_answer_is_told_and_asked_for_once_somebody_listens(
    status: OrdStatus, after: OrdStatus, connected: bool
) -> None:
    built = asked_for()
    built.order.status, built.state.connected = status, connected
    events = observed(built, SubmitOutcome.LOST)
    assert built.order.status is after
    assert alarms(events) == [("replace_unanswered", built.order.cl_ord_id, Priority.P1)]
    assert len(of(events, OrderQueryRequested)) == connected


@pytest.mark.parametrize("outcome", [SubmitOutcome.REFUSED, SubmitOutcome.LOST])
def test_what_was_answered_meanwhile_or_is_of_another_wish_changes_nothing(outcome: SubmitOutcome) -> None:
    def only_record(built: Desk, **changes: Any) -> bool:
        return [type(event) for event in observed(built, outcome, **changes)] == [ReplaceObserved]

    assert only_record(asked_for(), order="nobody")
    assert only_record(asked_for(), cl_ord_id="an earlier one")
    ended, answered = asked_for(), asked_for()
    ended.order.status = OrdStatus.CANCELED
    assert only_record(ended)
    answered.order.replacing = None
    assert only_record(answered)


# --- the broker's answer ---------------------------------------------------------------------------------------------


def answer(built: Desk, exec_type: ExecType, **changes: Any) -> Decision:
    asked = built.order.replacing
    told = {"cl_ord_id": asked.cl_ord_id if asked is not None else "later", "reason": "why"} | changes
    decision = Decision(built.state, built.world.at())
    replacing.on_replace_answer(decision, built.order, built.report(exec_type, **told))
    return decision


def exit_asked_for() -> Desk:
    """A stop-limit exit that is asked to go on at other prices."""
    built = held()
    built.order = leg(built, Leg.STOP)
    built.order.ord_type, built.order.limit_px, built.order.stop_px = OrdType.STOP_LIMIT, D(16), D(17)
    built.order.status = OrdStatus.PENDING_REPLACE
    built.order.replacing = Replacement(cl_ord_id="later", order_qty=D(100), limit_px=D("17.50"), stop_px=D("18"))
    return built


def test_confirmed_it_goes_on_as_was_asked() -> None:
    built = asked_for()
    unanswered(built)
    decision = answer(built, ExecType.REPLACED, order_qty=D(60))
    assert (built.order.order_qty, built.order.replacing) == (60, None)
    assert built.order.broker_id != built.order.cl_ord_id
    assert len(of(decision.events, AlertCleared)) == 1
    assert (alarms(decision.events), of(decision.events, OrderQueryRequested)) == ([], [])
    moved = exit_asked_for()
    answer(moved, ExecType.REPLACED)
    assert (moved.order.limit_px, moved.order.stop_px) == (D("17.50"), 18)


def test_confirmed_under_an_id_that_nobody_asked_for_it_keeps_its_prices() -> None:
    built = exit_asked_for()
    answer(built, ExecType.REPLACED, cl_ord_id="theirs")
    assert (built.order.limit_px, built.order.stop_px, built.order.broker_id) == (16, 17, "theirs")
    nothing_asked = exit_asked_for()
    nothing_asked.order.replacing = None
    answer(nothing_asked, ExecType.REPLACED)
    assert (nothing_asked.order.limit_px, nothing_asked.order.stop_px) == (16, 17)


@pytest.mark.parametrize(("said", "ended", "left"), [(60, False, 60), (0, False, 100), (60, True, 100), (0, True, 100)])
def test_the_quantity_is_the_brokers_unless_it_names_none_or_the_order_has_ended(
    said: int, ended: bool, left: int
) -> None:
    built = asked_for()
    if ended:
        built.order.status = OrdStatus.CANCELED
    answer(built, ExecType.REPLACED, order_qty=D(said))
    assert built.order.order_qty == left
    assert built.order.status is (OrdStatus.CANCELED if ended else OrdStatus.ACCEPTED)


@pytest.mark.parametrize(("cum", "wanted"), [(9, False), (10, False), (11, True)])
@pytest.mark.parametrize("exec_type", [ExecType.REPLACED, ExecType.REPLACE_REJECTED])
def test_fills_that_have_not_reached_us_are_looked_for(exec_type: ExecType, cum: int, wanted: bool) -> None:
    built = desk()
    built.fill(10)
    assert ask(built, order_qty=D(60))[0] == ""
    assert answer(built, exec_type, order_qty=D(60), cum_qty=D(cum)).want_reconciliation is wanted


def test_refused_it_goes_on_as_it_was_and_what_is_open_is_asked_for() -> None:
    for ended in (False, True):
        built = asked_for()
        unanswered(built)
        if ended:
            built.order.status = OrdStatus.CANCELED
        decision = answer(built, ExecType.REPLACE_REJECTED, order_qty=D(60))
        assert (built.order.order_qty, built.order.broker_id) == (100, built.order.cl_ord_id)
        assert alarms(decision.events) == [("replace_refused", built.order.cl_ord_id, Priority.P2)]
        assert len(of(decision.events, AlertCleared)) == 1
        assert len(of(decision.events, OrderQueryRequested)) == (not ended)


def test_an_answer_that_cannot_be_is_set_aside_and_nothing_else_follows() -> None:
    for exec_type in (ExecType.REPLACED, ExecType.REPLACE_REJECTED):
        built = desk()
        built.order.status = OrdStatus.REJECTED
        decision = answer(built, exec_type, cum_qty=D(50))
        (odd,) = of(decision.events, ReportQuarantined)
        assert odd.kind == "illegal_arc"
        assert of(decision.events, OrderChanged) == []
        assert [kind for kind, _, _ in alarms(decision.events)] == ["illegal_arc"]


# --- news under another id than it works under ----------------------------------------------------------------------


def news(built: Desk, exec_type: ExecType, name: str = "", **changes: Any) -> tuple[bool, Decision]:
    """Whether that was all about it; `name` is the id it comes under, the one asked for where none is given."""
    asked = built.order.replacing
    decision = Decision(built.state, built.world.at())
    told = {"cl_ord_id": name or (asked.cl_ord_id if asked is not None else "earlier")} | changes
    return replacing.proven_by(decision, built.order, built.report(exec_type, **told)), decision


def test_news_under_the_id_that_was_asked_for_proves_the_replace() -> None:
    for said, qty in ((55, 55), (1, 1), (0, 60)):
        built = asked_for()
        assert built.order.replacing is not None
        name = built.order.replacing.cl_ord_id
        done, decision = news(built, ExecType.NEW, order_qty=D(said))
        assert not done, "what it says is still to be heard"
        assert [event.arc for event in of(decision.events, OrderChanged)] == [Arc.REPLACE]
        assert (built.order.order_qty, built.order.broker_id) == (qty, name)


def test_its_prices_are_those_that_were_asked_for() -> None:
    built = exit_asked_for()
    news(built, ExecType.NEW)
    assert (built.order.limit_px, built.order.stop_px) == (D("17.50"), 18)


@pytest.mark.parametrize("exec_type", [ExecType.REPLACED, ExecType.REPLACE_REJECTED])
def test_the_answer_itself_is_not_news_about_it(exec_type: ExecType) -> None:
    done, decision = news(asked_for(), exec_type)
    assert (done, decision.events) == (False, [])
    done, decision = news(desk(), exec_type)
    assert (done, decision.events) == (False, [])


def test_news_under_an_older_id_or_after_the_end_proves_nothing() -> None:
    for exec_type in (ExecType.TRADE, ExecType.NEW):
        done, decision = news(asked_for(), exec_type, "an older one")
        assert (done, decision.events) == (False, [])
        ended = asked_for()
        ended.order.status = OrdStatus.CANCELED
        done, decision = news(ended, exec_type)
        assert (done, decision.events) == (False, [])


@pytest.mark.parametrize(
    "exec_type", [ExecType.CANCELED, ExecType.EXPIRED, ExecType.REJECTED, ExecType.CANCEL_REJECTED]
)
def test_the_last_words_on_an_id_that_was_given_up_are_asked_about_while_it_is_open(exec_type: ExecType) -> None:
    done, decision = news(desk(), exec_type)
    assert (done, len(of(decision.events, OrderQueryRequested))) == (True, 1)
    ended = desk()
    ended.order.status = OrdStatus.CANCELED
    done, decision = news(ended, exec_type)
    assert (done, decision.events) == (False, [])


# --- what a query tells of it ---------------------------------------------------------------------------------------


def settled(built: Desk, **found: Any) -> tuple[bool, Decision]:
    decision = Decision(built.state, built.world.at())
    return replacing.settled_by(decision, built.order, built.as_told(**found)), decision


def changes(decision: Decision) -> list[Arc]:
    return [event.arc for event in of(decision.events, OrderChanged)]


@pytest.mark.parametrize("ended", [False, True])
def test_an_answer_under_the_new_id_confirms_it(ended: bool) -> None:
    built = exit_asked_for()
    unanswered(built)
    status = OrdStatus.CANCELED if ended else OrdStatus.ACCEPTED
    done, decision = settled(
        built, cl_ord_id="later", ord_status=status, order_qty=D(90), limit_px=D("17.6"), stop_px=D("18.1")
    )
    assert done is not ended, "how it ended is still to be followed"
    assert changes(decision) == [Arc.REPLACE]
    assert (built.order.order_qty, built.order.limit_px, built.order.stop_px) == (90, D("17.6"), D("18.1"))
    assert len(of(decision.events, AlertCleared)) == 1


def test_an_answer_under_the_old_id_refuses_it_while_the_order_works() -> None:
    built = asked_for()
    unanswered(built)
    done, decision = settled(built)
    assert (done, changes(decision), len(of(decision.events, AlertCleared))) == (True, [Arc.REPLACE_REJECT], 1)


def test_what_settles_nothing_leaves_the_question_open() -> None:
    built = asked_for()
    unanswered(built)
    for found in (
        {"ord_status": OrdStatus.PENDING_REPLACE},
        {"ord_status": OrdStatus.CANCELED},
        {"cl_ord_id": "a third"},
        {"cl_ord_id": "a third", "ord_status": OrdStatus.CANCELED},
    ):
        done, decision = settled(built, **found)
        assert (done, decision.events) == (False, []), found
    nothing_asked = desk()
    done, decision = settled(nothing_asked)
    assert (done, decision.events) == (False, [])
