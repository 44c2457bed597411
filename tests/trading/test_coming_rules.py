"""What an order counts for while it may still enlarge what is held: each term by itself (§11)."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.orders import Leg, Order, OrdStatus, Replacement
from qmworkbench.trading import holdings
from qmworkbench.trading.coming import Coming, coming, forget, intended, may_open, open_qty, opens, worst_px
from qmworkbench.trading.state import EXTERNAL
from tests.trading.oms_cases import D, Desk, desk, held

UNKNOWN = ("", D(1))


def order(**changes: Any) -> Order:
    """An entry of 100 decided at 20, with no price of its own."""
    plain: dict[str, Any] = {"decision_px": D(20), "limit_px": None, "stop_px": None, "reserve_notional": D(2000)}
    return msgspec.structs.replace(desk().order, **(plain | changes))


def asked(qty: int = 100, **px: Any) -> Replacement:
    return Replacement(cl_ord_id="later", order_qty=D(qty), **px)


def admitted(built: Desk, name: str, **changes: Any) -> Order:
    made = order(cl_ord_id=name, **changes)
    holdings.admit(built.state, made)
    forget(built.state)
    return made


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, 100),
        ({"status": OrdStatus.UNKNOWN}, 100),
        ({"status": OrdStatus.CANCELED}, 0),
        ({"cum_qty": D(30)}, 70),
        ({"cum_qty": D(130)}, 0),
        ({"replacing": asked(60)}, 100),
        ({"replacing": asked(160)}, 160),
        ({"replacing": asked(160), "cum_qty": D(30)}, 130),
    ],
    ids=str,
)
def test_what_may_still_fill(changes: dict[str, Any], left: int) -> None:
    assert open_qty(order(**changes)) == left


@pytest.mark.parametrize(
    ("leg", "owner", "does"),
    [
        (Leg.ENTRY, "test-1", True),
        (Leg.STOP, "test-1", False),
        (Leg.LIQUIDATE, "test-1", False),
        (Leg.STOP, EXTERNAL, True),
        (Leg.ENTRY, EXTERNAL, True),
    ],
)
def test_entries_open_and_whatever_a_stranger_sent(leg: Leg, owner: str, does: bool) -> None:
    assert opens(order(leg=leg, strategy_id=owner)) is does


@pytest.mark.parametrize(
    ("changes", "px"),
    [
        ({}, "20"),
        ({"limit_px": D(21)}, "21"),
        ({"limit_px": D(19)}, "20"),
        ({"stop_px": D(22)}, "22"),
        ({"stop_px": D(19)}, "20"),
        ({"limit_px": D(23), "stop_px": D(22)}, "23"),
        ({"limit_px": D(22), "stop_px": D(23)}, "23"),
        ({"replacing": asked()}, "20"),
        ({"replacing": asked(limit_px=D(24))}, "24"),
        ({"replacing": asked(stop_px=D(25))}, "25"),
        ({"replacing": asked(limit_px=D(19), stop_px=D(18))}, "20"),
        ({"limit_px": D(30), "replacing": asked(limit_px=D(24))}, "30"),
    ],
    ids=str,
)
def test_the_highest_price_it_may_fill_at_counts(changes: dict[str, Any], px: str) -> None:
    assert worst_px(order(**changes)) == Decimal(px)


def test_each_order_is_added_to_its_symbol_to_everybody_and_to_its_owner() -> None:
    state = desk().state
    instrument = state.day.instruments["AAA"]
    state.day.instruments["BBB"] = msgspec.structs.replace(
        instrument, symbol="BBB", currency="EUR", margin_rate=D("0.5")
    )
    sums = Coming()
    first, second = order(), order(symbol="BBB", strategy_id="test-2", limit_px=D(30))
    foreign = order(symbol="nowhere", strategy_id="test-2", reserve_notional=D(7))
    sums.add(state, first, D(40))
    sums.add(state, first, D(10))
    sums.add(state, second, D(5))
    sums.add(state, foreign, D(2))
    mine, half = (instrument.currency, instrument.margin_rate), ("EUR", D("0.5"))
    assert sums.count == 4
    assert sums.by_symbol == {
        "AAA": [(first, 40, 20), (first, 10, 20)],
        "BBB": [(second, 5, 30)],
        "nowhere": [(foreign, 2, 20)],
    }
    assert sums.everybody == {mine: (1000, 4000), half: (150, 2000), UNKNOWN: (40, 7)}
    assert sums.by_owner == {"test-1": {mine: (1000, 4000)}, "test-2": {half: (150, 2000), UNKNOWN: (40, 7)}}


def test_entries_what_strangers_have_open_and_what_may_have_filled_are_on_their_way() -> None:
    built = held()
    state = built.state
    entry = admitted(built, "entry", cum_qty=D(30))
    admitted(built, "way-out", leg=Leg.EXIT)
    strange = admitted(built, "strange", strategy_id=EXTERNAL, leg=Leg.STOP, symbol="BBB")
    both = admitted(built, "both", strategy_id=EXTERNAL, symbol="CCC")
    ended = order(cl_ord_id="ended", status=OrdStatus.CANCELED)
    closed = order(cl_ord_id="closed", status=OrdStatus.CANCELED, leg=Leg.EXIT)
    state.orders |= {"ended": ended, "closed": closed}
    state.unproven = {"gone": D(1), "closed": D(4), "ended": D(9)}
    assert may_open(state) == [(entry, 70), (both, 100), (strange, 100), (ended, 9)]


def test_the_sums_are_kept_until_anything_has_changed() -> None:
    built = desk()
    state = built.state
    forget(state)
    kept = coming(state)
    assert (kept.count, coming(state)) == (1, kept)
    forget(state)
    forget(state)
    assert coming(state) is not kept


def test_an_intended_entry_is_added_an_exit_changes_nothing_and_a_strangers_order_is_counted_anew() -> None:
    state = desk().state
    forget(state)
    intended(state, order())
    assert "coming" not in state.__dict__, "nobody has asked yet"
    kept = coming(state)
    intended(state, order(leg=Leg.EXIT))
    assert (coming(state), kept.count) == (kept, 1)
    intended(state, order(cum_qty=D(30)))
    assert (coming(state), kept.count) == (kept, 2)
    assert [qty for _, qty, _ in kept.by_symbol["AAA"]] == [100, 70]
    intended(state, order(leg=Leg.STOP, strategy_id=EXTERNAL))
    assert coming(state) is not kept
