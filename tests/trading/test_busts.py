"""Busts of fills that no order of ours explains: they leave the books they were held in (§13, §14)."""

import pytest

from qmworkbench.domain.events.control import AlertRaised
from qmworkbench.domain.events.orders import FillReversed, OrderIntended
from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Side
from qmworkbench.trading.holdings import unsound
from qmworkbench.trading.state import EXTERNAL
from tests.trading.oms_cases import D, Desk, desk

STRANGE = {"cl_ord_id": "nobody", "order_id": "n"}


def stranger(built: Desk, symbol: str, side: Side, qty: int) -> str:
    """A fill of an order nobody here sent; returns its execution's id."""
    px = built.state.marks[symbol].px
    built.fill(qty, str(px), symbol=symbol, side=side, **STRANGE)
    return list(built.state.fills)[-1]


def taken_back(built: Desk, exec_id: str, symbol: str, side: Side, qty: int) -> None:
    px = built.state.marks[symbol].px
    busted = {"symbol": symbol, "side": side, "last_qty": D(qty), "last_px": px, "cum_qty": ZERO}
    built.say(ExecType.TRADE_CANCEL, ref_exec_id=exec_id, **busted, **STRANGE)


def test_a_bust_of_a_strangers_fill_leaves_externals_books_and_closes_nothing() -> None:
    built = desk()
    ref = stranger(built, "BBB", Side.BUY, 10)
    assert built.state.position(EXTERNAL, "BBB") is not None
    before = len([e for e in built.events if isinstance(e, OrderIntended)])
    taken_back(built, ref, "BBB", Side.BUY, 10)
    assert built.state.net_qty("BBB") == 0
    assert built.quarantined() == ["unknown_order"], "the fill alone"
    assert len([e for e in built.events if isinstance(e, OrderIntended)]) == before
    assert any(e.alert.kind == "trade_busted" for e in built.events if isinstance(e, AlertRaised))
    assert not unsound(built.state)


def test_a_bust_of_a_brokers_own_liquidation_gives_the_strategy_back_what_it_held_and_closes_it() -> None:
    built = desk()
    built.fill(100)
    owner = built.order.strategy_id
    ref = stranger(built, "AAA", Side.SELL, 100)
    assert built.state.position(owner, "AAA") is None
    taken_back(built, ref, "AAA", Side.SELL, 100)
    held = built.state.position(owner, "AAA")
    assert held is not None
    assert (held.qty, bool(held.exit_wanted)) == (100, True), "it rests on no exits any more"
    assert built.state.foreign_fills == {ref: owner}
    assert not unsound(built.state)


@pytest.mark.parametrize(
    ("symbol", "side", "qty", "kind"),
    [
        ("BBB", Side.SELL, 10, "bust_differs"),
        ("AAA", Side.BUY, 10, "bust_differs"),
        ("BBB", Side.BUY, 9, "bust_differs"),
    ],
)
def test_one_that_speaks_of_another_fill_changes_nothing(symbol: str, side: Side, qty: int, kind: str) -> None:
    built = desk()
    ref = stranger(built, "BBB", Side.BUY, 10)
    taken_back(built, ref, symbol, side, qty)
    assert built.state.net_qty("BBB") == 10
    assert built.quarantined() == ["unknown_order", kind]
    assert not [e for e in built.events if isinstance(e, FillReversed)]


def test_it_is_taken_back_once() -> None:
    built = desk()
    ref = stranger(built, "BBB", Side.BUY, 10)
    taken_back(built, ref, "BBB", Side.BUY, 10)
    taken_back(built, ref, "BBB", Side.BUY, 10)
    assert built.state.net_qty("BBB") == 0
    assert built.quarantined() == ["unknown_order", "bust_repeated"]
